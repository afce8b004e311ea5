/* access_line.c - see access_line.h: outrigger's own two forms.
 * Text that comes from peers is escaped the same way in both forms: it can neither end a line, nor forge
 * a field, nor move a terminal's cursor. The query never gets in: it is where people put tokens. */
#include "pen.h"

/* ── JSON ── */

static void json_who(struct pen *pen, const struct exchange *ex)
{
	const struct trace *t = &ex->trace;
	PUT(pen, "\",\"level\":\"info\",\"event\":\"request\",\"request_id\":\"");
	put_escaped(pen, (struct span){ t->request_id, t->request_id_len }, sizeof(t->request_id));
	PUT(pen, "\",\"trace_id\":\"");
	put(pen, t->trace_id, sizeof(t->trace_id));
	PUT(pen, "\",\"span_id\":\"");
	put(pen, t->span_id, sizeof(t->span_id));
	PUT(pen, "\",\"client\":\"");
	put_escaped(pen, ex->client_address, NAME_MAX_BYTES);
}

static void json_what(struct pen *pen, const struct exchange *ex)
{
	const struct request *r = &ex->request;
	PUT(pen, "\",\"method\":\"");
	put_escaped(pen, r->method_text, NAME_MAX_BYTES);
	PUT(pen, "\",\"host\":\"");
	put_escaped(pen, r->authority, NAME_MAX_BYTES);
	PUT(pen, "\",\"path\":\"");
	put_escaped(pen, r->path, PATH_MAX_BYTES);
	if (r->minor)
		PUT(pen, "\",\"protocol\":\"HTTP/1.1\",\"route\":\"");
	else
		PUT(pen, "\",\"protocol\":\"HTTP/1.0\",\"route\":\"");
	put_escaped(pen, ex->route->name, NAME_MAX_BYTES);
	if (ex->route->upstream) {
		PUT(pen, "\",\"upstream\":\"");
		put_escaped(pen, ex->route->upstream->name, NAME_MAX_BYTES);
	}
	if (ex->endpoint) {
		PUT(pen, "\",\"endpoint\":\"");
		put_escaped(pen, ex->endpoint->name, NAME_MAX_BYTES);
	}
}

static void json_tried(struct pen *pen, const struct exchange *ex)
{
	for (unsigned i = 0; i < ex->tried_count; i++) {
		const struct attempt *a = &ex->tried[i];
		put_word(pen, i ? ",{\"endpoint\":\"" : ",\"tried\":[{\"endpoint\":\"");
		put_escaped(pen, a->endpoint, NAME_MAX_BYTES);
		if (a->reason != REASON_NONE) {
			PUT(pen, "\",\"reason\":\"");
			put_word(pen, reason_name(a->reason));
			PUT(pen, "\",\"ms\":");
		} else if (!a->status) {
			PUT(pen, "\",\"cancelled\":true,\"ms\":");
		} else {
			PUT(pen, "\",\"status\":");
			put_u64(pen, (uint64_t)a->status);
			PUT(pen, ",\"ms\":");
		}
		put_ms(pen, a->us);
		PUT(pen, "}");
	}
	if (ex->tried_count)
		PUT(pen, "]");
}

static void json_answer(struct pen *pen, const struct exchange *ex, const struct measured *m)
{
	PUT(pen, "\",\"status\":");
	put_u64(pen, (uint64_t)m->status);
	if (ex->reason != REASON_NONE) {
		PUT(pen, ",\"reason\":\"");
		put_word(pen, reason_name(ex->reason));
		PUT(pen, "\"");
	}
	if (ex->would_refuse != REASON_NONE) {
		PUT(pen, ",\"would_refuse\":\"");
		put_word(pen, reason_name(ex->would_refuse));
		PUT(pen, "\"");
	}
	PUT(pen, ",\"served_by\":\"");
	put_word(pen, served_by_name(ex->served_by));
	PUT(pen, "\",\"attempts\":");
	put_u64(pen, ex->attempt);
}

static void json_times(struct pen *pen, const struct exchange *ex, const struct measured *m)
{
	PUT(pen, ",\"duration_ms\":");
	put_ms(pen, m->duration_us);
	PUT(pen, ",\"queue_ms\":");
	put_ms(pen, ex->timing.queue_us);
	PUT(pen, ",\"connect_ms\":");
	put_ms(pen, ex->timing.connect_us);
	if (m->replied) {
		PUT(pen, ",\"ttfb_ms\":");
		put_ms(pen, m->first_byte_us);
		PUT(pen, ",\"overhead_ms\":");
		put_ms(pen, m->overhead_us);
	}
	PUT(pen, ",\"bytes_in\":");
	put_u64(pen, ex->request_body.total);
	PUT(pen, ",\"bytes_out\":");
	put_u64(pen, m->bytes_out);
	PUT(pen, "}\n");
}

size_t access_line_json(char out[ACCESS_LINE_MAX], struct access_clock *clock, const struct exchange *ex, const struct measured *m)
{
	struct pen pen = { out, out + ACCESS_LINE_MAX, false };
	PUT(&pen, "{\"time\":\"");
	put_time(&pen, clock, ex->worker->wall_ms, 0);
	PUT(&pen, "Z");
	json_who(&pen, ex);
	json_what(&pen, ex);
	json_answer(&pen, ex, m);
	json_tried(&pen, ex);
	json_times(&pen, ex, m);
	return pen.full ? 0 : (size_t)(pen.p - out);
}

/* ── text: 23:12:04.123 GET 200 48ms shop.example.com/orders/42 → orders 10.0.8.4:8080 (2nd try; 10.0.8.3:8080 refused) ── */

static void text_duration(struct pen *pen, uint64_t us)
{
	if (us < 9950) {                          /* 0.4ms */
		put_u64(pen, (us + 50) / 1000);
		PUT(pen, ".");
		put_u64(pen, (us + 50) / 100 % 10);
		PUT(pen, "ms");
	} else if (us < 10000000) {
		put_u64(pen, (us + 500) / 1000);
		PUT(pen, "ms");
	} else {
		put_u64(pen, (us + 500000) / 1000000);
		PUT(pen, "s");
	}
}

/* "connection_refused" is a long word for a line that people read: without what is clear anyway. */
static void text_reason(struct pen *pen, enum reason why)
{
	struct span word = span_of(reason_name(why));
	if (span_starts(word, SPAN("connection_")))
		word = span_from(word, 11);
	else if (span_starts(word, SPAN("upstream_")))
		word = span_from(word, 9);
	put(pen, word.at, word.len);
}

static void text_tried(struct pen *pen, const struct exchange *ex)
{
	static const char *const endings[] = { "th", "st", "nd", "rd" };
	unsigned n = ex->attempt, last = n % 10;
	PUT(pen, " (");
	put_u64(pen, n);
	put_word(pen, endings[last < 4 && n / 10 % 10 != 1 ? last : 0]);
	PUT(pen, " try");
	for (unsigned i = 0; i < ex->tried_count; i++) {
		const struct attempt *a = &ex->tried[i];
		put_word(pen, i ? ", " : "; ");
		put_escaped(pen, a->endpoint, NAME_MAX_BYTES);
		PUT(pen, " ");
		if (a->reason != REASON_NONE)
			text_reason(pen, a->reason);
		else if (!a->status)
			PUT(pen, "cancelled");
		else
			put_u64(pen, (uint64_t)a->status);
	}
	PUT(pen, ")");
}

static void text_where(struct pen *pen, const struct exchange *ex)
{
	PUT(pen, " → ");
	put_escaped(pen, ex->route->upstream ? ex->route->upstream->name : ex->route->name, NAME_MAX_BYTES);
	if (ex->endpoint) {
		PUT(pen, " ");
		put_escaped(pen, ex->endpoint->name, NAME_MAX_BYTES);
	}
	if (ex->reason != REASON_NONE) {
		PUT(pen, " ");
		put_word(pen, reason_name(ex->reason));
	}
	if (ex->served_by != SERVED_BY_upstream && ex->served_by != SERVED_BY_proxy) {
		PUT(pen, " ");
		put_word(pen, served_by_name(ex->served_by));
	}
}

size_t access_line_text(char out[ACCESS_LINE_MAX], struct access_clock *clock, const struct exchange *ex, const struct measured *m)
{
	struct pen pen = { out, out + ACCESS_LINE_MAX, false };
	put_time(&pen, clock, ex->worker->wall_ms, 11);
	PUT(&pen, " ");
	put_escaped(&pen, ex->request.method_text.len ? ex->request.method_text : SPAN("-"), NAME_MAX_BYTES);
	PUT(&pen, " ");
	put_u64(&pen, (uint64_t)m->status);
	PUT(&pen, " ");
	text_duration(&pen, m->duration_us);
	PUT(&pen, " ");
	put_escaped(&pen, ex->request.authority, NAME_MAX_BYTES);
	put_escaped(&pen, ex->request.path.len || ex->request.authority.len ? ex->request.path : SPAN("-"), PATH_MAX_BYTES);
	text_where(&pen, ex);
	if (ex->tried_count)
		text_tried(&pen, ex);
	PUT(&pen, "\n");
	return pen.full ? 0 : (size_t)(pen.p - out);
}
