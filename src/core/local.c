/* local.c - answers that outrigger makes itself: status and reason are put in place while the exchange walks; fields and
 * body are made only at commit, so that a failure which a retry hides costs nothing (interface §6: RFC 9457, RFC 9209). */
#include "local.h"

#include <time.h>

#include "base/json.h"
#include "body.h"
#include "walk.h"

enum { EXTRA_MAX = 8, ERROR_BODY_MAX = 2048, ERRORS_AUTO = 0, ERRORS_JSON = 1, ERRORS_HTML = 2 };

void local_clear(struct exchange *ex)
{
	ex->local = false;
	ex->reason = REASON_NONE;
	ex->served_by = SERVED_BY_upstream;
	body_drop_reply(ex);
	ex->answer.retry_after_s = 0;
	ex->answer.canned = false;
	ex->answer.detail = ex->answer.content_type = ex->answer.body = ex->answer.allow = SPAN_NONE;
}

void local_refuse(struct exchange *ex, enum reason why, unsigned retry_after_s, const char *detail)
{
	local_clear(ex);
	ex->local = true;
	ex->served_by = SERVED_BY_proxy;
	ex->reason = why;
	ex->reply.status = reason_status(why);
	ex->reply.minor = 1;
	ex->answer.retry_after_s = retry_after_s;
	if (detail)
		ex->answer.detail = arena_copy(&ex->arena, span_of(detail));
}

void exchange_refuse(struct exchange *ex, enum reason why, unsigned retry_after_s, const char *detail)
{
	walk_drop_call(ex);
	local_refuse(ex, why, retry_after_s, detail);
}

enum answer exchange_turn_away(struct exchange *ex, bool dry_run, enum reason why, unsigned retry_after_s, const char *detail)
{
	if (!dry_run) {
		exchange_refuse(ex, why, retry_after_s, detail);
		return TURN;
	}
	counter_add(&ex->route->stats->would_refuse[why], 1);
	if (ex->would_refuse == REASON_NONE)
		ex->would_refuse = why;
	return PASS;
}

void exchange_serve(struct exchange *ex, enum served_by by, int status, struct span content_type, struct span body)
{
	enum reason why = ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
	if (status == 0)
		status = ex->reply.status ? ex->reply.status : reason_status(why);
	walk_drop_call(ex);
	local_clear(ex);
	ex->local = true;
	ex->reason = why;
	ex->served_by = by;
	ex->reply.status = status;
	ex->reply.minor = 1;
	ex->answer.canned = true;
	ex->answer.content_type = content_type;
	ex->answer.body = body;
}

/* Which shape does this client want an error in? */
static bool wants_html(const struct exchange *ex)
{
	unsigned format = ex->route->router->conf->errors.format;
	struct span accept = fields_value(&ex->request.fields, FIELD_ACCEPT), one;
	if (format != ERRORS_AUTO)
		return format == ERRORS_HTML;
	while (span_next(&accept, ',', &one))
		if (span_starts_nocase(one, SPAN("text/html")))
			return true;
	return false;
}

static void write_json(const struct exchange *ex, struct text *out)
{
	const struct reason_facts *f = reason_facts(ex->reason);
	struct json j;
	char type[80];
	struct text t;

	text_over(&t, type, sizeof(type));
	text_add(&t, SPAN("urn:outrigger:reason:"));
	text_add(&t, span_of(f->word));
	json_init(&j, out);
	json_open(&j, NULL, '{');
	json_span(&j, "type", text_span(&t));
	json_text(&j, "title", f->title);
	json_u64(&j, "status", (uint64_t)ex->reply.status);
	json_span(&j, "detail", ex->answer.detail.len ? ex->answer.detail : span_of(f->text));
	json_text(&j, "reason", f->word);
	json_span(&j, "request_id", (struct span){ ex->trace.request_id, ex->trace.request_id_len });
	if (ex->answer.retry_after_s)
		json_u64(&j, "retry_after", ex->answer.retry_after_s);
	if (ex->route->router->conf->errors.full_detail) {
		json_span(&j, "route", ex->route->name);
		json_span(&j, "upstream", ex->route->upstream ? ex->route->upstream->name : SPAN_NONE);
		json_span(&j, "endpoint", ex->endpoint ? ex->endpoint->name : SPAN_NONE);
		json_u64(&j, "attempts", ex->attempt);
	}
	json_close(&j, '}');
	text_char(out, '\n');
}

static void html_escape(struct text *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		switch (s.at[i]) {
		case '<': text_add(out, SPAN("&lt;")); break;
		case '>': text_add(out, SPAN("&gt;")); break;
		case '&': text_add(out, SPAN("&amp;")); break;
		case '"': text_add(out, SPAN("&quot;")); break;
		default:  text_char(out, s.at[i]);
		}
}

static void write_html(const struct exchange *ex, struct text *out)
{
	const struct reason_facts *f = reason_facts(ex->reason);
	text_add(out, SPAN("<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>"));
	html_escape(out, span_of(f->title));
	text_add(out, SPAN("</title><style>body{font:16px/1.5 system-ui;max-width:34em;margin:15vh auto;padding:0 1em;color-scheme:light dark}"
		"code{opacity:.7}</style><h1>"));
	html_escape(out, span_of(f->title));
	text_add(out, SPAN("</h1><p>"));
	html_escape(out, ex->answer.detail.len ? ex->answer.detail : span_of(f->text));
	text_add(out, SPAN("</p><p><code>"));
	text_u64(out, (uint64_t)ex->reply.status);
	text_char(out, ' ');
	text_add(out, span_of(f->word));
	text_add(out, SPAN(" &middot; request "));
	html_escape(out, (struct span){ ex->trace.request_id, ex->trace.request_id_len });
	text_add(out, SPAN("</code></p>\n"));
}

static bool make_error_body(struct exchange *ex)
{
	char *memory = arena_text(&ex->arena, ERROR_BODY_MAX);
	struct text out;
	bool html = wants_html(ex);

	if (!memory)
		return false;
	text_over(&out, memory, ERROR_BODY_MAX);
	if (html)
		write_html(ex, &out);
	else
		write_json(ex, &out);
	ex->answer.body = text_span(&out);
	ex->answer.content_type = html ? SPAN("text/html; charset=utf-8") : SPAN("application/problem+json");
	return true;
}

static struct span http_date(struct exchange *ex)
{
	time_t now = (time_t)(ex->worker->wall_ms / 1000);
	char *out = arena_text(&ex->arena, 40);
	struct tm tm;
	if (!out || !gmtime_r(&now, &tm))
		return SPAN_NONE;
	return (struct span){ out, strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm) };
}

static struct span proxy_status(struct exchange *ex)
{
	const struct reason_facts *f = reason_facts(ex->reason);
	char *memory = arena_text(&ex->arena, 160);
	struct text t;
	if (!memory)
		return SPAN_NONE;
	text_over(&t, memory, 160);
	text_add(&t, SPAN("outrigger; error="));
	text_add(&t, span_of(f->token));
	text_add(&t, SPAN("; details=\""));
	text_add(&t, span_of(f->word));
	text_char(&t, '"');
	return text_span(&t);
}

static struct span number(struct exchange *ex, uint64_t n)
{
	char *out = arena_text(&ex->arena, 20);
	return (struct span){ out, out ? u64_to_text(n, out) : 0 };
}

static bool make_head(struct exchange *ex)
{
	struct fields *f = &ex->reply.fields;
	bool ok = fields_init(f, &ex->arena, 16 + ex->route->reply_set.count);

	if (ok && ex->answer.content_type.len)
		ok = fields_add_id(f, FIELD_CONTENT_TYPE, ex->answer.content_type);
	if (ok && ex->reason != REASON_NONE)
		ok = fields_add_id(f, FIELD_CACHE_CONTROL, SPAN("no-store"));
	if (ok && ex->answer.allow.len)
		ok = fields_add(f, SPAN("allow"), ex->answer.allow);
	if (ok && ex->answer.retry_after_s)
		ok = fields_add_id(f, FIELD_RETRY_AFTER, number(ex, ex->answer.retry_after_s));
	if (ok && ex->reason != REASON_NONE)
		ok = fields_add(f, SPAN("proxy-status"), proxy_status(ex));
	return ok && fields_add_id(f, FIELD_SERVER, SPAN("outrigger")) && fields_add_id(f, FIELD_DATE, http_date(ex));
}

bool local_finish_head(struct exchange *ex)
{
	const struct conf_route *conf = ex->route->conf;

	if (ex->spawned)                          /* nobody but a policy sees it: what concerns a client's connection is done for that client */
		return true;
	if (ex->local) {
		bool come_again = ex->reply.status == 429 || ex->reply.status == 503;
		if (come_again && !ex->answer.canned && !ex->answer.retry_after_s)
			ex->answer.retry_after_s = 1;     /* interface §4: always there, at least 1 */
		if (!ex->answer.canned && !make_error_body(ex))
			return false;
		if (!make_head(ex))
			return false;
		ex->reply.framing = BODY_LENGTH;
		ex->reply.has_length = true;
		ex->reply.content_length = ex->answer.body.len;
		if (reply_has_no_body(ex->request.method, ex->reply.status))
			ex->answer.body = SPAN_NONE;
	}
	return forward_reply(&ex->reply, &ex->trace, &ex->route->reply_set, conf ? conf->reply_remove.at : NULL,
		conf ? conf->reply_remove.count : 0, &ex->arena) && forward_add(&ex->reply.fields, &ex->extra, &ex->arena);
}

void exchange_add_reply_field(struct exchange *ex, struct span name, struct span value)
{
	bool kept = ex->extra.at ? ex->extra.count < EXTRA_MAX : fields_init(&ex->extra, &ex->arena, EXTRA_MAX);
	kept = kept && fields_add(&ex->extra, name, value);
	(void)kept;                               /* a reply without it is better than none */
}
