/* capture.c - see capture.h. */
#include "capture.h"

#include <stdlib.h>

#include "base/must.h"

enum { HEAD_MAX = 64 * 1024, PIECE = 64 * 1024, FIRST = 4096 };

struct capture *capture_new(const struct reply *reply)
{
	struct capture *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->refs = 1;
	arena_init(&c->arena, NULL, HEAD_MAX);
	if (reply_copy(&c->reply, reply, &c->arena))
		return c;
	capture_unref(c);
	return NULL;
}

struct capture *capture_ref(struct capture *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void capture_unref(struct capture *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	arena_fini(&c->arena);
	free(c->body);
	free(c);
}

bool capture_add(struct capture *c, struct span bytes)
{
	if (c->len + bytes.len > c->size) {
		size_t size = c->size ? c->size * 2 : FIRST;
		while (size < c->len + bytes.len)
			size *= 2;
		char *body = realloc(c->body, size);
		if (!body)
			return false;
		c->body = body;
		c->size = size;
	}
	if (bytes.len)
		memcpy(c->body + c->len, bytes.at, bytes.len);
	c->len += bytes.len;
	return true;
}

void capture_drop(struct capture *c, size_t before)
{
	size_t n = before - c->base;
	must(before >= c->base && n <= c->len);
	if (n < c->len)
		memmove(c->body, c->body + n, c->len - n);
	c->len -= n;
	c->base += n;
}

/* ── reading ── */

static struct span etag_of(struct span tag) { return span_starts(tag, SPAN("W/")) ? span_from(tag, 2) : tag; }

/* Weak comparison; If-Modified-Since only counts without If-None-Match, and only as the same date. */
static bool client_has_it(const struct exchange *ex, const struct reply *r)
{
	const struct field *none_match = fields_find_name(&ex->request.fields, SPAN("if-none-match"));
	const struct field *since = fields_find_name(&ex->request.fields, SPAN("if-modified-since"));
	const struct field *etag = fields_find_name(&r->fields, SPAN("etag"));
	const struct field *modified = fields_find_name(&r->fields, SPAN("last-modified"));

	if (r->status != 200 || (ex->request.method != METHOD_GET && ex->request.method != METHOD_HEAD))
		return false;
	if (!none_match)
		return since && modified && span_eq(since->value, modified->value);
	struct span rest = none_match->value, one;
	while (span_next(&rest, ',', &one))
		if (span_eq(one, SPAN("*")) || (etag && span_eq(etag_of(one), etag_of(etag->value))))
			return true;
	return false;
}

static bool give_head(struct reading *r, struct exchange *ex)
{
	if (!reply_copy(&ex->reply, &r->capture->reply, &ex->arena)) {
		ex->reply.status = 0;
		exchange_upstream_failed(ex, REASON_internal_error);
		return false;
	}
	if (client_has_it(ex, &ex->reply)) {
		ex->reply.status = 304;
		ex->reply.phrase = SPAN_NONE;
		ex->reply.framing = BODY_NONE;
		ex->reply.has_length = false;
	}
	exchange_upstream_head(ex);
	if (!reply_has_no_body(ex->request.method, ex->reply.status))
		return true;
	exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
	return false;
}

bool reading_start(struct reading *r, struct exchange *ex, struct capture *c)
{
	*r = (struct reading){ .ex = ex, .capture = c };
	r->over = !give_head(r, ex);
	return !r->over;
}

bool reading_feed(struct reading *r)
{
	struct capture *c = r->capture;
	if (r->feeding || r->over)
		return !r->over;
	r->feeding = true;
	while (!r->over && exchange_reply_open(r->ex) && (r->sent < capture_total(c) || c->ended)) {
		size_t n = capture_total(c) - r->sent < PIECE ? capture_total(c) - r->sent : PIECE;
		struct span piece = { n ? c->body + (r->sent - c->base) : NULL, n };
		r->sent += n;
		bool end = c->ended && r->sent == capture_total(c);
		if (end && c->trailers.count && !fields_copy(&r->ex->reply_trailers, &c->trailers, &r->ex->arena, 0))
			r->ex->reply_trailers.count = 0;
		if (end)
			r->over = true;           /* nothing of r is touched behind the last call */
		else
			capture_ref(c);
		exchange_upstream_body(r->ex, slice_of(piece), end);
		if (end)
			return false;
		capture_unref(c);
	}
	r->feeding = false;
	return !r->over;
}
