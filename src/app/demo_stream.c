/* demo_stream.c - answers that last: /big, /sse, /echo, /upload. None holds more than its credit, however long it lasts. */
#include "demo.h"

#include <stdlib.h>

#include "http/h1_write.h"

enum { PIECE = 64 * 1024, SSE_EVERY_US = 1000000 };
#define BIG_PRESET ((uint64_t)1 << 20)
#define BIG_MAX    ((uint64_t)1 << 40)

/* ── /big ── */

struct big { struct demo_call call; uint64_t left; };

static const char line[65] = "outrigger demo: sixty-four bytes to a line, and so on and so on\n";

static bool make_pattern(struct demo *demo)
{
	if (demo->pattern)
		return true;
	demo->pattern = chunk_new(&demo->loop.worker.chunks, CHUNK_BODY);
	if (!demo->pattern)
		return false;
	for (unsigned at = 0; at < CHUNK_BODY; at += 64)
		memcpy(demo->pattern->data + at, line, 64);
	demo->pattern->used = CHUNK_BODY;
	return true;
}

/* As much as there is credit for. Afterwards the call may be over. */
static void big_send(struct demo_call *call)
{
	struct big *b = container_of(call, struct big, call);
	struct exchange *ex = call->ex;
	struct chunk *pattern = call->demo->pattern;

	while (b->left && exchange_reply_open(ex)) {
		size_t from = call->count % CHUNK_BODY, n = CHUNK_BODY - from;
		n = n < PIECE ? n : PIECE;
		n = n < b->left ? n : (size_t)b->left;
		call->count += n;
		b->left -= n;
		exchange_upstream_body(ex, slice_in(pattern, (struct span){ pattern->data + from, n }), b->left == 0);
	}
	call->ended = b->left == 0;
}

static void throw_away(struct demo_call *call, struct slice bytes, bool end)
{
	(void)end;
	exchange_request_taken(call->ex, bytes.len);
}

void *demo_big(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .body = throw_away, .want = big_send };
	uint64_t size = BIG_PRESET;
	struct reply *r = &ex->reply;

	if (!demo_query_size(ex->request.query, SPAN("size"), BIG_MAX, &size)) {
		demo_say(ex, 400, "size: write 64KiB, 10MB or 1GiB, at most 1024GiB\n");
		return NULL;
	}
	struct demo_call *call = demo_call_new(demo, ex, &kind, sizeof(struct big));
	if (!call)
		return NULL;
	if (!make_pattern(demo) || !fields_init(&r->fields, &ex->arena, 4) || !fields_add_id(&r->fields, FIELD_CONTENT_TYPE, SPAN("text/plain"))) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	r->status = 200;
	r->minor = 1;
	r->framing = BODY_LENGTH;
	r->content_length = size;
	r->has_length = true;
	exchange_upstream_head(ex);
	if (size == 0 || ex->request.method == METHOD_HEAD) {
		exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
		return NULL;
	}
	container_of(call, struct big, call)->left = size;
	big_send(call);
	return call->ended ? NULL : call;
}

/* ── /sse ── */

static void sse_event(struct timer *t)
{
	struct demo_call *call = container_of(t, struct demo_call, timer);
	struct worker *w = call->ex->worker;
	char memory[128];
	struct text event;

	worker_arm(w, t, SSE_EVERY_US, sse_event);
	if (!exchange_reply_open(call->ex))
		return;                           /* a reader that does not read misses events */
	text_over(&event, memory, sizeof(memory));
	text_add(&event, SPAN("id: "));
	text_u64(&event, ++call->count);
	text_add(&event, SPAN("\nevent: tick\ndata: {\"n\":"));
	text_u64(&event, call->count);
	text_add(&event, SPAN(",\"wall_ms\":"));
	text_u64(&event, w->wall_ms);
	text_add(&event, SPAN("}\n\n"));
	exchange_upstream_body(call->ex, slice_of(text_span(&event)), false);
}

void *demo_sse(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .body = throw_away };
	struct demo_call *call = demo_call_new(demo, ex, &kind, sizeof(*call));
	struct field fresh = { .name = SPAN("cache-control"), .value = SPAN("no-store") };

	if (!call || !demo_head(ex, 200, SPAN("text/event-stream"), fresh))
		return NULL;
	if (ex->request.method == METHOD_HEAD) {
		exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
		return NULL;
	}
	worker_arm(ex->worker, &call->timer, 0, sse_event);
	return call;
}

/* ── /upload ── */

static void upload_body(struct demo_call *call, struct slice bytes, bool end)
{
	char memory[64];
	struct text t;

	call->count += bytes.len;
	exchange_request_taken(call->ex, bytes.len);
	if (!end)
		return;
	text_over(&t, memory, sizeof(memory));
	text_u64(&t, call->count);
	text_add(&t, SPAN(" bytes came in\n"));
	service_answer(call->ex, 200, SPAN("text/plain"), text_span(&t), (struct field){ 0 });
}

void *demo_upload(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .body = upload_body };
	return demo_call_new(demo, ex, &kind, sizeof(struct demo_call));
}

/* ── /echo ── */

static void echo_want(struct demo_call *call) { demo_take(call, 0); }

static void echo_body(struct demo_call *call, struct slice bytes, bool end)
{
	struct exchange *ex = call->ex;
	if (ex->request.method == METHOD_HEAD)
		bytes.len = 0;
	if (bytes.len || end)
		exchange_upstream_body(ex, bytes, end);
	if (!end)
		demo_take(call, bytes.len);
}

static bool echo_head(struct exchange *ex)
{
	const struct request *r = &ex->request;
	size_t size = 64 + r->method_text.len + r->target.len + r->authority.len;
	struct text t;

	for (unsigned i = 0; i < r->fields.count; i++)
		size += r->fields.at[i].name.len + r->fields.at[i].value.len + 4;
	char *memory = arena_text(&ex->arena, size);
	if (!memory)
		return false;
	text_over(&t, memory, size);
	text_add(&t, r->method_text);
	text_char(&t, ' ');
	text_add(&t, r->target);
	text_add(&t, SPAN(" HTTP/1."));
	text_u64(&t, r->minor);
	text_add(&t, SPAN("\nhost: "));
	text_add(&t, r->authority);
	for (unsigned i = 0; i < r->fields.count; i++) {
		text_char(&t, '\n');
		text_add(&t, r->fields.at[i].name);
		text_add(&t, SPAN(": "));
		text_add(&t, r->fields.at[i].value);
	}
	text_add(&t, SPAN("\n\n"));
	exchange_upstream_body(ex, slice_of(text_span(&t)), false);
	return true;
}

void *demo_echo(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .body = echo_body, .want = echo_want };
	struct field nosniff = { .name = SPAN("x-content-type-options"), .value = SPAN("nosniff") };

	if (ex->request.upgrade.len)
		return demo_websocket(demo, ex);
	struct demo_call *call = demo_call_new(demo, ex, &kind, sizeof(*call));
	if (!call || !demo_head(ex, 200, SPAN("text/plain"), nosniff))
		return NULL;
	if (ex->request.method == METHOD_HEAD || echo_head(ex))
		return call;
	exchange_upstream_failed(ex, REASON_internal_error);
	return NULL;
}
