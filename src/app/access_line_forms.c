/* access_line_forms.c - the forms of a line that others have defined.
 *
 * clf: the Combined Log Format of httpd, as nginx writes it; the request's line and the Referer without their queries: that is where people put
 * tokens. otel: a line of OTLP's file format, one log record with the attributes of OpenTelemetry's semantic conventions for HTTP servers;
 * what those have no name for begins with "outrigger.".
 */
#include "pen.h"

/* ── Combined Log Format ── */

/* 20/Nov/2026:23:12:04 +0000, out of 2026-11-20T23:12:04. */
static void clf_time(struct pen *pen, struct access_clock *clock, uint64_t wall_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const char *t = clock->text;
	clock_set(clock, wall_ms / 1000);
	int month = (t[5] - '0') * 10 + t[6] - '1';
	put(pen, t + 8, 2);
	PUT(pen, "/");
	put(pen, months + 3 * month, 3);
	PUT(pen, "/");
	put(pen, t, 4);
	PUT(pen, ":");
	put(pen, t + 11, 8);
	PUT(pen, " +0000");
}

static void clf_text(struct pen *pen, struct span s, size_t max)
{
	if (s.len)
		put_escaped(pen, s, max);
	else
		PUT(pen, "-");
}

static struct span without_query(struct span url)
{
	const char *end = url.len ? memchr(url.at, '?', url.len) : NULL;
	return end ? span_between(url.at, end) : url;
}

size_t access_line_clf(char out[ACCESS_LINE_MAX], struct access_clock *clock, const struct exchange *ex, const struct measured *m)
{
	struct pen pen = { out, out + ACCESS_LINE_MAX, false };
	const struct request *r = &ex->request;
	const struct field *referer = fields_find_name(&r->fields, SPAN("referer"));

	clf_text(&pen, ex->client_address, NAME_MAX_BYTES);
	PUT(&pen, " - - [");
	clf_time(&pen, clock, ex->worker->wall_ms);
	PUT(&pen, "] \"");
	clf_text(&pen, r->method_text, NAME_MAX_BYTES);
	PUT(&pen, " ");
	clf_text(&pen, r->path, PATH_MAX_BYTES);
	if (r->minor)
		PUT(&pen, " HTTP/1.1\" ");
	else
		PUT(&pen, " HTTP/1.0\" ");
	put_u64(&pen, (uint64_t)m->status);
	PUT(&pen, " ");
	put_u64(&pen, m->bytes_out);
	PUT(&pen, " \"");
	clf_text(&pen, referer ? without_query(referer->value) : SPAN_NONE, PATH_MAX_BYTES);
	PUT(&pen, "\" \"");
	clf_text(&pen, fields_value(&r->fields, FIELD_USER_AGENT), PATH_MAX_BYTES);
	PUT(&pen, "\"\n");
	return pen.full ? 0 : (size_t)(pen.p - out);
}

/* ── OpenTelemetry ── */

/* ,{"key":"...","value":{"stringValue":"..."}}; nothing when there is no text. */
static void otel_text(struct pen *pen, const char *key, struct span value, size_t max)
{
	if (!value.len)
		return;
	PUT(pen, ",{\"key\":\"");
	put_word(pen, key);
	PUT(pen, "\",\"value\":{\"stringValue\":\"");
	put_escaped(pen, value, max);
	PUT(pen, "\"}}");
}

/* 64 bits are a text in the JSON of protobuf. */
static void otel_u64(struct pen *pen, const char *key, uint64_t value)
{
	PUT(pen, ",{\"key\":\"");
	put_word(pen, key);
	PUT(pen, "\",\"value\":{\"intValue\":\"");
	put_u64(pen, value);
	PUT(pen, "\"}}");
}

static void otel_ms(struct pen *pen, const char *key, uint64_t us)
{
	PUT(pen, ",{\"key\":\"");
	put_word(pen, key);
	PUT(pen, "\",\"value\":{\"doubleValue\":");
	put_ms(pen, us);
	PUT(pen, "}}");
}

/* The first attribute has no comma in front of it: there always is one. */
static void otel_request(struct pen *pen, const struct exchange *ex)
{
	const struct request *r = &ex->request;
	struct span host = r->authority, port = SPAN_NONE;
	uint64_t number;

	PUT(pen, "{\"key\":\"http.request.method\",\"value\":{\"stringValue\":\"");
	put_word(pen, r->method == METHOD_OTHER ? "_OTHER" : method_name(r->method));
	PUT(pen, "\"}}");
	if (r->method == METHOD_OTHER)
		otel_text(pen, "http.request.method_original", r->method_text, NAME_MAX_BYTES);
	otel_text(pen, "url.scheme", ex->scheme, NAME_MAX_BYTES);
	otel_text(pen, "url.path", r->path, PATH_MAX_BYTES);
	(void)authority_split(r->authority, &host, &port);
	otel_text(pen, "server.address", host, NAME_MAX_BYTES);
	if (span_to_u64(port, 65535, &number))
		otel_u64(pen, "server.port", number);
	otel_text(pen, "client.address", ex->client_address, NAME_MAX_BYTES);
	otel_text(pen, "user_agent.original", fields_value(&r->fields, FIELD_USER_AGENT), PATH_MAX_BYTES);
	otel_text(pen, "network.protocol.version", r->minor ? SPAN("1.1") : SPAN("1.0"), NAME_MAX_BYTES);
	otel_u64(pen, "http.request.body.size", ex->request_body.total);
}

static void otel_answer(struct pen *pen, const struct exchange *ex, const struct measured *m)
{
	otel_u64(pen, "http.response.status_code", (uint64_t)m->status);
	otel_u64(pen, "http.response.body.size", m->bytes_out);
	if (ex->attempt > 1)
		otel_u64(pen, "http.request.resend_count", ex->attempt - 1);
	otel_text(pen, "error.type", span_of(reason_name(ex->reason)), NAME_MAX_BYTES);
}

static void otel_own(struct pen *pen, const struct exchange *ex, const struct measured *m)
{
	otel_text(pen, "outrigger.request_id", (struct span){ ex->trace.request_id, ex->trace.request_id_len }, NAME_MAX_BYTES);
	otel_text(pen, "outrigger.route", ex->route->name, NAME_MAX_BYTES);
	if (ex->route->upstream)
		otel_text(pen, "outrigger.upstream", ex->route->upstream->name, NAME_MAX_BYTES);
	if (ex->endpoint)
		otel_text(pen, "outrigger.endpoint", ex->endpoint->name, NAME_MAX_BYTES);
	otel_text(pen, "outrigger.served_by", span_of(served_by_name(ex->served_by)), NAME_MAX_BYTES);
	otel_text(pen, "outrigger.would_refuse", span_of(reason_name(ex->would_refuse)), NAME_MAX_BYTES);
	otel_ms(pen, "outrigger.duration_ms", m->duration_us);
	otel_ms(pen, "outrigger.queue_ms", ex->timing.queue_us);
	if (m->replied) {
		otel_ms(pen, "outrigger.ttfb_ms", m->first_byte_us);
		otel_ms(pen, "outrigger.overhead_ms", m->overhead_us);
	}
}

static void otel_head(struct pen *pen, const struct exchange *ex)
{
	struct span service = ex->route->router->conf->tracing.service;
	PUT(pen, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"");
	put_escaped(pen, service.len ? service : SPAN("outrigger"), NAME_MAX_BYTES);
	PUT(pen, "\"}}]},\"scopeLogs\":[{\"scope\":{\"name\":\"outrigger\"},\"logRecords\":[{\"timeUnixNano\":\"");
	put_u64(pen, ex->worker->wall_ms);
	PUT(pen, "000000\",\"severityNumber\":9,\"severityText\":\"INFO\",\"body\":{\"stringValue\":\"request\"},\"traceId\":\"");
	put(pen, ex->trace.trace_id, sizeof(ex->trace.trace_id));
	PUT(pen, "\",\"spanId\":\"");
	put(pen, ex->trace.span_id, sizeof(ex->trace.span_id));
	if (ex->trace.sampled)
		PUT(pen, "\",\"flags\":1,\"attributes\":[");
	else
		PUT(pen, "\",\"flags\":0,\"attributes\":[");
}

size_t access_line_otel(char out[ACCESS_LINE_MAX], struct access_clock *clock, const struct exchange *ex, const struct measured *m)
{
	struct pen pen = { out, out + ACCESS_LINE_MAX, false };
	(void)clock;
	otel_head(&pen, ex);
	otel_request(&pen, ex);
	otel_answer(&pen, ex, m);
	otel_own(&pen, ex, m);
	PUT(&pen, "]}]}]}]}\n");
	return pen.full ? 0 : (size_t)(pen.p - out);
}
