/* otlp.c - records as spans, in the JSON of OTLP (protobuf's mapping: 64 bits are texts, ids are hex), with the attributes of OpenTelemetry's
 * semantic conventions for HTTP; what those have no name for begins with "outrigger.". On the control thread.
 */
#include <string.h>

#include "app/version.h"
#include "trace_record.h"

enum { KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };

/* ── attributes ── */

static void open_attribute(struct json *j, const char *key)
{
	json_open(j, NULL, '{');
	json_text(j, "key", key);
	json_open(j, "value", '{');
}

static void close_attribute(struct json *j)
{
	json_close(j, '}');
	json_close(j, '}');
}

static void put_span(struct json *j, const char *key, struct span value)
{
	if (!value.len)
		return;
	open_attribute(j, key);
	json_span(j, "stringValue", value);
	close_attribute(j);
}

static void put_text(struct json *j, const char *key, const char *value) { put_span(j, key, span_of(value)); }

static void put_u64(struct json *j, const char *key, uint64_t value)
{
	char digits[20];
	open_attribute(j, key);
	json_span(j, "intValue", (struct span){ digits, u64_to_text(value, digits) });
	close_attribute(j);
}

static void put_ms(struct json *j, const char *key, uint64_t us)
{
	open_attribute(j, key);
	json_fixed(j, "doubleValue", (double)us / 1e3, 3);
	close_attribute(j);
}

static void put_host(struct json *j, struct span authority)
{
	struct span host, port;
	uint64_t number;
	if (!authority_split(authority, &host, &port)) {
		put_span(j, "server.address", authority);
		return;
	}
	put_span(j, "server.address", host);
	if (port.at && span_to_u64(port, 65535, &number))
		put_u64(j, "server.port", number);
}

static const char *method_word(const struct trace_record *r)
{
	enum method m = method_of(span_of(r->method));
	return m == METHOD_OTHER ? "_OTHER" : method_name(m);
}

static void put_method(struct json *j, const struct trace_record *r)
{
	put_text(j, "http.request.method", method_word(r));
	if (method_of(span_of(r->method)) == METHOD_OTHER)
		put_text(j, "http.request.method_original", r->method);
}

/* ── one span ── */

static void put_time(struct json *j, const char *key, uint64_t us)
{
	char digits[24];
	size_t n = u64_to_text(us, digits);
	memcpy(digits + n, "000", 3);
	json_span(j, key, (struct span){ digits, n + 3 });
}

static void open_span(struct json *j, const struct trace_record *r, const char span_id[16], const char *parent_id)
{
	json_open(j, NULL, '{');
	json_span(j, "traceId", (struct span){ r->trace_id, sizeof(r->trace_id) });
	json_span(j, "spanId", (struct span){ span_id, 16 });
	if (parent_id)
		json_span(j, "parentSpanId", (struct span){ parent_id, 16 });
}

static void put_bounds(struct json *j, unsigned kind, uint64_t from_us, uint64_t us)
{
	json_u64(j, "kind", kind);
	put_time(j, "startTimeUnixNano", from_us);
	put_time(j, "endTimeUnixNano", from_us + us);
}

static void put_error(struct json *j, bool failed, const char *words)
{
	json_open(j, "status", '{');
	if (failed) {
		json_u64(j, "code", STATUS_ERROR);
		if (words[0])
			json_text(j, "message", words);
	}
	json_close(j, '}');
}

/* error.type: our reason, or the status that makes it an error. */
static void put_error_type(struct json *j, enum reason why, int status, int from)
{
	char digits[20];
	if (why != REASON_NONE)
		put_text(j, "error.type", reason_name(why));
	else if (status >= from)
		put_span(j, "error.type", (struct span){ digits, u64_to_text((uint64_t)status, digits) });
}

/* ── one try: a CLIENT span ── */

static void put_try(struct json *j, const struct trace_record *r, const struct trace_try *t)
{
	bool failed = t->reason != REASON_NONE || t->status >= 400;
	bool on_path = span_starts(span_of(t->endpoint), SPAN("unix:"));
	char url[512];
	struct text u;

	open_span(j, r, t->span_id, r->span_id);
	json_text(j, "name", method_word(r));
	put_bounds(j, KIND_CLIENT, r->wall_us + t->at_us, t->us);
	json_open(j, "attributes", '[');
	put_method(j, r);
	if (on_path)
		put_text(j, "server.address", t->endpoint + 5);
	else
		put_host(j, span_of(t->endpoint));
	text_over(&u, url, sizeof(url));
	text_f(&u, "http://%s%s", on_path ? "localhost" : t->endpoint, r->path);
	put_span(j, "url.full", text_span(&u));
	if (t->status)
		put_u64(j, "http.response.status_code", (uint64_t)t->status);
	if (t->number > 1)
		put_u64(j, "http.request.resend_count", t->number - 1);
	put_error_type(j, t->reason, t->status, 400);
	if (t->reason == REASON_NONE && !t->status)
		put_text(j, "outrigger.result", "called_off");        /* another try was faster (hedge) */
	put_text(j, "outrigger.upstream", r->upstream);
	put_ms(j, "outrigger.connect_ms", t->connect_us);
	if (t->reply_us)
		put_ms(j, "outrigger.ttfb_ms", t->reply_us);
	json_close(j, ']');
	put_error(j, failed, reason_name(t->reason));
	json_close(j, '}');
}

/* ── the request: a SERVER span ── */

static void put_request(struct json *j, const struct trace_record *r)
{
	put_method(j, r);
	put_text(j, "url.scheme", r->scheme);
	put_text(j, "url.path", r->path);
	if (r->pattern[0] == '/' || r->pattern[0] == '=')
		put_text(j, "http.route", r->pattern + (r->pattern[0] == '='));
	put_host(j, span_of(r->host));
	put_text(j, "client.address", r->client);
	put_text(j, "user_agent.original", r->agent);
	put_text(j, "network.protocol.version", r->http11 ? "1.1" : "1.0");
	put_u64(j, "http.request.body.size", r->bytes_in);
}

static void put_answer(struct json *j, const struct trace_record *r)
{
	if (r->status)
		put_u64(j, "http.response.status_code", (uint64_t)r->status);
	put_u64(j, "http.response.body.size", r->bytes_out);
	put_error_type(j, r->reason, r->status, 500);
	put_text(j, "outrigger.request_id", r->request_id);
	put_text(j, "outrigger.route", r->route);
	put_text(j, "outrigger.upstream", r->upstream);
	put_text(j, "outrigger.served_by", served_by_name(r->served_by));
	put_u64(j, "outrigger.attempts", r->tries_total);
	if (!r->replied)
		return;
	put_ms(j, "outrigger.ttfb_ms", r->first_byte_us);
	put_ms(j, "outrigger.overhead_ms", r->overhead_us);
}

static void open_event(struct json *j, const char *name, uint64_t at_us)
{
	json_open(j, NULL, '{');
	put_time(j, "timeUnixNano", at_us);
	json_text(j, "name", name);
	json_open(j, "attributes", '[');
}

static void close_event(struct json *j)
{
	json_close(j, ']');
	json_close(j, '}');
}

static void put_reason_event(struct json *j, const char *name, uint64_t at_us, enum reason why)
{
	if (why == REASON_NONE)
		return;
	open_event(j, name, at_us);
	put_text(j, "outrigger.reason", reason_name(why));
	close_event(j);
}

static void put_wait_event(struct json *j, const char *name, uint64_t at_us, uint64_t waited_us)
{
	if (!waited_us)
		return;
	open_event(j, name, at_us);
	put_ms(j, "outrigger.waited_ms", waited_us);
	close_event(j);
}

/* The wait in doors ends where the first try begins, or else where the answer was given. */
static void put_events(struct json *j, const struct trace_record *r)
{
	uint64_t answered_us = r->wall_us + (r->replied ? r->first_byte_us : r->duration_us);
	uint64_t let_in_us = r->try_count ? r->wall_us + r->tries[0].at_us : answered_us;
	bool upstream_did = r->reason != REASON_NONE && reason_facts(r->reason)->by_upstream;
	json_open(j, "events", '[');
	put_wait_event(j, "outrigger.queued", let_in_us, r->queue_us);
	put_reason_event(j, "outrigger.would_refuse", let_in_us, r->would_refuse);
	put_wait_event(j, "outrigger.backed_off", r->try_count ? r->wall_us + r->tries[r->try_count - 1].at_us : answered_us, r->pause_us);
	if (r->link.set) {
		open_event(j, "outrigger.coalesced", let_in_us);
		close_event(j);
	}
	if (!upstream_did && r->reason != REASON_client_closed)
		put_reason_event(j, "outrigger.refused", answered_us, r->reason);
	json_close(j, ']');
}

static void put_links(struct json *j, const struct trace_record *r)
{
	json_open(j, "links", '[');
	if (r->link.set) {
		json_open(j, NULL, '{');
		json_span(j, "traceId", (struct span){ r->link.trace_id, sizeof(r->link.trace_id) });
		json_span(j, "spanId", (struct span){ r->link.span_id, sizeof(r->link.span_id) });
		json_close(j, '}');
	}
	json_close(j, ']');
}

void otlp_put(struct json *j, const struct trace_record *r)
{
	char name[96];
	struct text n;

	text_over(&n, name, sizeof(name));
	text_f(&n, "%s %s", method_word(r), r->route);
	open_span(j, r, r->span_id, r->has_parent ? r->parent_id : NULL);
	json_span(j, "name", text_span(&n));
	put_bounds(j, KIND_SERVER, r->wall_us, r->duration_us);
	json_open(j, "attributes", '[');
	put_request(j, r);
	put_answer(j, r);
	json_close(j, ']');
	put_events(j, r);
	put_links(j, r);
	put_error(j, r->status >= 500 || (r->reason != REASON_NONE && reason_facts(r->reason)->by_upstream), reason_name(r->reason));
	json_close(j, '}');
	for (unsigned i = 0; i < r->try_count; i++)
		put_try(j, r, &r->tries[i]);
}

/* ── around them ── */

void otlp_open(struct json *j, struct span service, struct span instance)
{
	json_open(j, NULL, '{');
	json_open(j, "resourceSpans", '[');
	json_open(j, NULL, '{');
	json_open(j, "resource", '{');
	json_open(j, "attributes", '[');
	put_span(j, "service.name", service);
	put_span(j, "service.instance.id", instance);
	put_text(j, "service.version", version_number());
	json_close(j, ']');
	json_close(j, '}');
	json_open(j, "scopeSpans", '[');
	json_open(j, NULL, '{');
	json_open(j, "scope", '{');
	json_text(j, "name", "outrigger");
	json_text(j, "version", version_number());
	json_close(j, '}');
	json_open(j, "spans", '[');
}

void otlp_close(struct json *j)
{
	json_close(j, ']');
	json_close(j, '}');
	json_close(j, ']');
	json_close(j, '}');
	json_close(j, ']');
	json_close(j, '}');
}
