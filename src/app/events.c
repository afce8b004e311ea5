/* events.c - see events.h. On the control thread. */
#include "events.h"

#include <stdlib.h>

#include "pages.h"
#include "recent.h"
#include "rows.h"

enum { BEAT_US = 250000, BEATS_PER_FRAME = 4, ROWS_PER_BEAT = 13, FRAME_MAX = 8 * 1024 * 1024, LOOKS_PER_BEAT = 1024, LAST_MAX = 500 };

/* Which rows somebody wants: &route=NAME &status=5xx|503 &slow=MS */
struct row_filter { struct span route; unsigned status_from, status_to; uint64_t slower_us; };

struct reader {
	struct link       link;
	struct events    *events;
	struct exchange  *ex;
	bool              frames, rows, all, as_text;       /* all: not only what outrigger answered itself */
	struct row_filter filter;
	uint64_t          missed;             /* rows that it was not told of */
	uint64_t          cursors[];          /* [threads] */
};

struct events {
	struct admin  *admin;
	struct rows   *rows;
	struct recent *recent;                /* NULL while nobody reads */
	struct list    readers;
	unsigned       reader_count, beat;
	struct timer   timer;
};

/* ── what is asked for ── */

static struct span query_value(struct span query, struct span name)
{
	struct span one;
	while (query.at && span_next(&query, '&', &one))
		if (span_starts(one, name) && (one.len == name.len || one.at[name.len] == '='))
			return one.len == name.len ? SPAN("1") : span_from(one, name.len + 1);
	return SPAN_NONE;
}

static void read_filter(struct row_filter *f, const struct request *r)
{
	struct span status = query_value(r->query, SPAN("status"));
	uint64_t n;
	*f = (struct row_filter){ .route = query_value(r->query, SPAN("route")), .status_from = 0, .status_to = 999 };
	if (status.len == 3 && span_to_u64(span_first(status, 1), 9, &n) && span_eq_nocase(span_from(status, 1), SPAN("xx"))) {
		f->status_from = (unsigned)n * 100;
		f->status_to = f->status_from + 99;
	} else if (span_to_u64(status, 999, &n))
		f->status_from = f->status_to = (unsigned)n;
	if (span_to_u64(query_value(r->query, SPAN("slow")), UINT64_MAX / 1000, &n))
		f->slower_us = n * 1000;
}

static bool passes(const struct row_filter *f, const struct row *r)
{
	return (!f->route.len || span_eq(f->route, span_of(r->route))) && (unsigned)r->status >= f->status_from && (unsigned)r->status <= f->status_to
		&& r->duration_us >= f->slower_us;
}

bool events_wanted(const struct exchange *ex)
{
	bool follow = span_eq(ex->request.path, SPAN("/requests")) && query_value(ex->request.query, SPAN("follow")).len;
	return ex->request.method == METHOD_GET && (follow || span_eq(ex->request.path, SPAN("/events")));
}

/* ── telling ── */

static void put_event(struct text *out, const char *name)
{
	text_add(out, SPAN("event: "));
	text_add(out, span_of(name));
	text_add(out, SPAN("\ndata: "));
}

static void make_frame(struct events *e, struct text *out)
{
	struct json j;
	put_event(out, "frame");
	json_init(&j, out);
	json_open(&j, NULL, '{');
	pages_put_status(e->admin->server, &j);
	recent_json(e->recent, &j);
	json_close(&j, '}');
	text_add(out, SPAN("\n\n"));
}

static void put_row(const struct reader *r, const struct row *row, struct text *out)
{
	struct json j;
	if (r->as_text) {
		row_text(row, out);
		return;
	}
	put_event(out, "request");
	json_init(&j, out);
	row_json(row, &j);
	text_add(out, SPAN("\n\n"));
}

static void make_rows(struct reader *r, struct text *out)
{
	struct rows *rows = r->events->rows;
	struct row row;
	unsigned told = 0, looked = 0;
	for (unsigned t = 0; t < r->events->admin->server->thread_count; t++)
		while (looked++ < LOOKS_PER_BEAT && rows_next(rows, t, &r->cursors[t], &r->missed, &row)) {
			if (!passes(&r->filter, &row) || (!r->all && row.reason == REASON_NONE && row.would_refuse == REASON_NONE))
				continue;
			if (told++ < ROWS_PER_BEAT)
				put_row(r, &row, out);
			else
				r->missed++;
		}
	if (!r->missed)
		return;
	if (r->as_text)
		text_f(out, "... and %llu more\n", (unsigned long long)r->missed);
	else
		text_f(out, "event: missed\ndata: {\"rows\":%llu}\n\n", (unsigned long long)r->missed);
	r->missed = 0;
}

static void tell(struct reader *r, struct span frame)
{
	struct text out;
	if (!exchange_reply_open(r->ex))
		return;                           /* it does not keep up */
	text_init(&out, FRAME_MAX);
	if (r->frames)
		text_add(&out, frame);
	if (r->rows)
		make_rows(r, &out);
	if (out.len && !out.cut)
		exchange_upstream_body(r->ex, slice_of(text_span(&out)), false);      /* copies; may cancel r */
	text_fini(&out);
}

static void beat(struct timer *t)
{
	struct events *e = container_of(t, struct events, timer);
	struct text frame;
	bool whole = e->beat++ % BEATS_PER_FRAME == 0;

	worker_arm(&e->admin->server->control.worker, t, BEAT_US, beat);
	text_init(&frame, FRAME_MAX);
	if (whole && e->recent) {
		recent_tick(e->recent);
		make_frame(e, &frame);
	}
	list_each(l, &e->readers)
		tell(container_of(l, struct reader, link), frame.cut ? SPAN_NONE : text_span(&frame));
	text_fini(&frame);
}

/* ── readers come and go ── */

static void end_of(struct reader *r)
{
	struct events *e = r->events;
	struct worker *w = &e->admin->server->control.worker;
	link_remove(&r->link);
	if (r->all)
		rows_watch(e->rows, false);
	free(r);
	if (--e->reader_count)
		return;
	worker_disarm(w, &e->timer);
	recent_free(e->recent);
	e->recent = NULL;
}

static struct reader *reader_new(struct events *e, struct exchange *ex)
{
	unsigned threads = e->admin->server->thread_count;
	struct span query = ex->request.query;
	struct reader *r = calloc(1, sizeof(*r) + threads * sizeof(*r->cursors));
	if (!r)
		return NULL;
	r->events = e;
	r->ex = ex;
	r->frames = span_eq(ex->request.path, SPAN("/events"));
	r->as_text = !r->frames;
	r->all = r->as_text || span_eq(query_value(query, SPAN("requests")), SPAN("all"));
	r->rows = r->all || query_value(query, SPAN("requests")).len;
	read_filter(&r->filter, &ex->request);
	for (unsigned t = 0; t < threads; t++)
		r->cursors[t] = rows_now(e->rows, t);
	return r;
}

static bool begin(struct reader *r)
{
	struct reply *head = &r->ex->reply;
	*head = (struct reply){ .status = 200, .minor = 1, .framing = BODY_STREAM };
	return fields_init(&head->fields, &r->ex->arena, 8)
		&& fields_add_id(&head->fields, FIELD_CONTENT_TYPE, r->as_text ? SPAN("text/plain; charset=utf-8") : SPAN("text/event-stream"))
		&& fields_add_id(&head->fields, FIELD_CACHE_CONTROL, SPAN("no-store"));
}

static void *events_start(void *self, struct exchange *ex)
{
	struct events *e = self;
	if (e->reader_count >= EVENT_READERS) {
		service_answer(ex, 503, SPAN("text/plain; charset=utf-8"), SPAN("Too many are watching. Close another page or tap.\n"),
			(struct field){ 0 });
		return NULL;
	}
	struct reader *r = reader_new(e, ex);
	if (!r || (!e->recent && !(e->recent = recent_new(e->admin->server))) || !begin(r)) {
		free(r);
		ex->reply.status = 0;
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	list_append(&e->readers, &r->link);
	if (r->all)
		rows_watch(e->rows, true);
	if (e->reader_count++ == 0)
		e->beat = 0;
	worker_arm(ex->worker, &e->timer, 0, beat);
	exchange_upstream_head(ex);
	return r;
}

static void events_body(void *call, struct slice bytes, bool end)
{
	(void)end;
	if (bytes.len)
		exchange_request_taken(((struct reader *)call)->ex, bytes.len);
}

static void events_want(void *call, size_t n) { (void)call; (void)n; }
static void events_cancel(void *call) { end_of(call); }

const struct upstream_ops events_ops = { .start = events_start, .body = events_body, .want = events_want, .cancel = events_cancel };

struct events *events_new(struct admin *a)
{
	struct events *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->admin = a;
	e->rows = a->server->rows;
	list_init(&e->readers);
	return e;
}

void events_free(struct events *e)
{
	if (!e)
		return;
	recent_free(e->recent);
	free(e);
}

/* ── the last ones ── */

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct row *)a)->wall_ms, y = ((const struct row *)b)->wall_ms;
	return x < y ? 1 : x > y ? -1 : 0;
}

void page_requests(struct admin *a, const struct exchange *ex, struct page *out)
{
	const struct server *s = a->server;
	struct row_filter filter;
	size_t max = (size_t)s->thread_count * ROWS_PER_THREAD, count = 0;
	struct row *all = calloc(max, sizeof(*all));
	struct json j;

	if (!all) {
		page_say(out, 500, "Out of memory.");
		return;
	}
	read_filter(&filter, &ex->request);
	for (unsigned t = 0; t < s->thread_count; t++) {
		uint64_t cursor = 0, missed = 0;
		while (count < max && rows_next(s->rows, t, &cursor, &missed, &all[count]))
			count += passes(&filter, &all[count]);
	}
	qsort(all, count, sizeof(*all), newest_first);
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < count && i < LAST_MAX; i++)
		row_json(&all[i], &j);
	json_close(&j, ']');
	text_char(&out->body, '\n');
	free(all);
}
