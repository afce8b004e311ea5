/* page.c - the inner end of an exchange whose answer this process makes itself.
 *
 * Always true: body bytes are passed on only against credit; a call is `over` once its last byte was passed on, or it was cancelled,
 * and then owns no memory and is on no list.
 */
#include "app/page.h"

#include "accept.h"
#include "gzip.h"

enum { PACK_FROM_BYTES = 1024, PIECE_BYTES = 64 * 1024, LONG_BYTES = 64 * 1024, WAITING_BYTES_MAX = 64 * 1024 * 1024 };

struct page_call {
	struct pages    *pages;
	struct exchange *ex;
	struct page      page;
	struct chore     more;                /* there is credit again */
	size_t           sent, waiting;       /* waiting: what it counts for in pages->waiting_bytes */
	bool             answered, packed, over;
};

void page_say(struct page *p, int status, const char *sentence)
{
	p->status = status;
	p->content_type = SPAN("text/plain; charset=utf-8");
	p->body.len = 0;
	text_add(&p->body, span_of(sentence));
	text_char(&p->body, '\n');
}

static void finish(struct page_call *call)
{
	link_remove(&call->more.link);
	text_fini(&call->page.body);
	call->pages->waiting_bytes -= call->waiting;
	call->over = true;
}

/* Passes on what there is credit for. */
static void push(struct page_call *call)
{
	const struct text *body = &call->page.body;
	while (!call->over && exchange_reply_open(call->ex)) {
		struct span piece = span_first(span_from(text_span(body), call->sent), PIECE_BYTES);
		call->sent += piece.len;
		bool end = call->sent == body->len;
		exchange_upstream_body(call->ex, slice_of(piece), end);     /* copies; may cancel us when memory runs out */
		if (end && !call->over)
			finish(call);
	}
}

static void push_more(struct chore *c) { push(container_of(c, struct page_call, more)); }

static bool make_head(const struct page_call *call, struct reply *r)
{
	const struct page *p = &call->page;
	*r = (struct reply){ .status = p->status, .minor = 1, .framing = BODY_LENGTH, .content_length = p->body.len, .has_length = true };
	return fields_init(&r->fields, &call->ex->arena, 8)
		&& fields_add_id(&r->fields, FIELD_CONTENT_TYPE, p->content_type)
		&& fields_add_id(&r->fields, FIELD_CACHE_CONTROL, SPAN("no-store"))
		&& fields_add(&r->fields, SPAN("x-content-type-options"), SPAN("nosniff"))
		&& (!p->packs || fields_add_id(&r->fields, FIELD_VARY, SPAN("accept, accept-encoding")))
		&& (!call->packed || fields_add_id(&r->fields, FIELD_CONTENT_ENCODING, SPAN("gzip")))
		&& (!p->extra.name.len || fields_add(&r->fields, p->extra.name, p->extra.value));
}

static bool takes_gzip(const struct exchange *ex)
{
	const struct field *f = fields_find_name(&ex->request.fields, SPAN("accept-encoding"));
	return f && accept_weight(f->value, SPAN("gzip"));
}

static void answer(struct page_call *call)
{
	struct exchange *ex = call->ex;
	struct page *p = &call->page;

	call->answered = true;
	call->pages->answer(call->pages->self, ex, p);
	if (p->body.cut) {
		text_fini(&p->body);
		page_say(p, 500, "This page became too long, or memory ran out.");
	}
	if (p->packs && p->body.len >= PACK_FROM_BYTES && takes_gzip(ex))
		call->packed = gzip_text(&p->body);
	if (p->body.len > LONG_BYTES && call->pages->waiting_bytes + p->body.len > WAITING_BYTES_MAX && call->pages->waiting_bytes) {
		text_fini(&p->body);
		page_say(p, 503, "Too many clients are slow to read their pages. Try again.");
		call->packed = false;
	}
	call->waiting = p->body.len > LONG_BYTES ? p->body.len : 0;
	call->pages->waiting_bytes += call->waiting;
	if (!make_head(call, &ex->reply)) {
		finish(call);
		ex->reply.status = 0;
		exchange_upstream_failed(ex, REASON_internal_error);
		return;
	}
	if (reply_has_no_body(ex->request.method, p->status))
		text_fini(&p->body);
	exchange_upstream_head(ex);
	push(call);
}

/* ── the table ── */

static void *page_start(void *self, struct exchange *ex)
{
	struct page_call *call = arena_take_zeroed(&ex->arena, sizeof(*call));
	if (!call) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	call->pages = self;
	call->ex = ex;
	call->page = (struct page){ .status = 200, .content_type = SPAN("text/plain; charset=utf-8") };
	text_init(&call->page.body, PAGE_MAX_BYTES);
	chore_init(&call->more, push_more);
	return call;
}

static void page_body(void *handle, struct slice bytes, bool end)
{
	struct page_call *call = handle;
	if (bytes.len)
		exchange_request_taken(call->ex, bytes.len);
	if (end && !call->answered)
		answer(call);
}

static void page_want(void *handle, size_t n)
{
	struct page_call *call = handle;
	(void)n;
	if (call->answered && !call->over)
		chore_add(&call->pages->loop->again, &call->more);        /* not from inside the write that made room */
}

static void page_cancel(void *handle)
{
	struct page_call *call = handle;
	if (!call->over)
		finish(call);
}

const struct upstream_ops page_ops = { .start = page_start, .body = page_body, .want = page_want, .cancel = page_cancel };
