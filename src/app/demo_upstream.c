/* demo_upstream.c - which path of the demo does what; the short ones are here. */
#include "demo.h"

#include "edge/front_h1.h"

enum { SLOW_PRESET_MS = 1000, SLOW_MAX_MS = 3600 * 1000, FALTER_US = 1000 };
#define DOWN_PRESET_US ((uint64_t)5000000)
#define DOWN_MAX_US    ((uint64_t)3600 * 1000000)
#define FAIL_PRESET    0.3

/* ── what all calls have in common ── */

struct demo_call *demo_call_new(struct demo *demo, struct exchange *ex, const struct demo_kind *kind, size_t size)
{
	struct demo_call *call = arena_take_zeroed(&ex->arena, size);
	if (!call) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	call->kind = kind;
	call->demo = demo;
	call->ex = ex;
	return call;
}

void demo_take(struct demo_call *call, size_t n)
{
	call->owed += n;
	if (!call->ended && !exchange_reply_open(call->ex))
		return;
	n = call->owed;
	call->owed = 0;
	if (n)
		exchange_request_taken(call->ex, n);
}

bool demo_head(struct exchange *ex, int status, struct span content_type, struct field extra)
{
	struct reply *r = &ex->reply;
	if (!fields_init(&r->fields, &ex->arena, 4) || !fields_add_id(&r->fields, FIELD_CONTENT_TYPE, content_type)
			|| (extra.name.len && !fields_add(&r->fields, extra.name, extra.value))) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return false;
	}
	r->status = status;
	r->minor = 1;
	r->framing = BODY_STREAM;
	exchange_upstream_head(ex);
	return true;
}

void demo_say(struct exchange *ex, int status, const char *text)
{
	service_answer(ex, status, SPAN("text/plain; charset=utf-8"), span_of(text), (struct field){ 0 });
}

static void demo_body(void *handle, struct slice bytes, bool end)
{
	struct demo_call *call = handle;
	if (call->kind->body)
		call->kind->body(call, bytes, end);
	else
		exchange_request_taken(call->ex, bytes.len);
}

static void demo_want(void *handle, size_t n)
{
	struct demo_call *call = handle;
	(void)n;
	if (call->kind->want)
		call->kind->want(call);
}

static void demo_cancel(void *handle)
{
	struct demo_call *call = handle;
	worker_disarm(call->ex->worker, &call->timer);
}

/* ── later ── */

static void *later(struct demo *demo, struct exchange *ex, const struct demo_kind *kind, uint64_t in_us)
{
	struct demo_call *call = demo_call_new(demo, ex, kind, sizeof(*call));
	if (call)
		worker_arm(ex->worker, &call->timer, in_us, kind->fire);
	return call;
}

static void reset_now(struct timer *t) { front_h1_reset(container_of(t, struct demo_call, timer)->ex); }

/* As if the app had died under the request. Not at once: nobody may be cut off while the walker has the exchange in its hands. */
static void *die(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .fire = reset_now };
	return later(demo, ex, &kind, 0);
}

static void falter_now(struct timer *t)
{
	struct exchange *ex = container_of(t, struct demo_call, timer)->ex;
	worker_arm(ex->worker, t, FALTER_US, reset_now);
	front_h1_falter(ex);
}

/* In the midst of the answer: a proxy cannot take it for a kept connection that was closed just now, which it repairs without a retry. */
static void *die_answering(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .fire = falter_now };
	return later(demo, ex, &kind, 0);
}

static void slept(struct timer *t) { demo_say(container_of(t, struct demo_call, timer)->ex, 200, "slept well\n"); }

static void *slow(struct demo *demo, struct exchange *ex)
{
	static const struct demo_kind kind = { .fire = slept };
	uint64_t ms = SLOW_PRESET_MS;
	if (demo_query_number(ex->request.query, SPAN("ms"), SLOW_MAX_MS, &ms))
		return later(demo, ex, &kind, ms * 1000);
	demo_say(ex, 400, "ms: a number of milliseconds, at most an hour\n");
	return NULL;
}

/* ── at once ── */

static void *flaky(struct demo *demo, struct exchange *ex)
{
	double fail = FAIL_PRESET;
	if (!demo_query_share(ex->request.query, SPAN("fail"), &fail)) {
		demo_say(ex, 400, "fail: a share such as 30%\n");
		return NULL;
	}
	double drawn = rand_unit(&ex->worker->rand);
	if (drawn < fail / 2)
		return die_answering(demo, ex);
	if (drawn < fail)
		demo_say(ex, 503, "out of luck\n");
	else
		demo_say(ex, 200, "all is well\n");
	return NULL;
}

static void *down(struct demo *demo, struct exchange *ex)
{
	uint64_t us = DOWN_PRESET_US;
	if (demo_query_duration(ex->request.query, SPAN("for"), DOWN_MAX_US, &us)) {
		demo->down_until_us = ex->worker->now_us + us;
		demo_say(ex, 200, "dead from now on, for as long as you said; only / still answers\n");
	} else
		demo_say(ex, 400, "for: a time such as 500ms, 5s or 1m, at most an hour\n");
	return NULL;
}

static void *status(struct demo *demo, struct exchange *ex)
{
	struct span text = span_from(ex->request.route_path, sizeof("/status/") - 1);
	uint64_t number = 0;
	(void)demo;
	if (!span_to_u64(text, 599, &number) || number < 200)
		demo_say(ex, 400, "a status is 200 to 599\n");
	else
		demo_say(ex, (int)number, "as you wished\n");
	return NULL;
}

/* ── which ── */

struct place { const char *path; bool beneath; void *(*start)(struct demo *, struct exchange *); };

static const struct place places[] = {
	{ "/",        false, demo_page   },
	{ "/slow",    false, slow        },
	{ "/flaky",   false, flaky       },
	{ "/big",     false, demo_big    },
	{ "/sse",     false, demo_sse    },
	{ "/status/", true,  status      },
	{ "/echo",    false, demo_echo   },
	{ "/upload",  false, demo_upload },
	{ "/down",    false, down        },
};

static void *demo_start(void *self, struct exchange *ex)
{
	struct demo *demo = self;
	struct span path = ex->request.route_path;

	for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct span here = span_of(places[i].path);
		if (!(places[i].beneath ? span_starts(path, here) : span_eq(path, here)))
			continue;
		if (i > 0 && ex->worker->now_us < demo->down_until_us)
			break;
		return places[i].start(demo, ex);
	}
	if (ex->worker->now_us < demo->down_until_us)
		return die(demo, ex);
	demo_say(ex, 404, "nothing here; / tells what there is\n");
	return NULL;
}

const struct upstream_ops demo_ops = { .start = demo_start, .body = demo_body, .want = demo_want, .cancel = demo_cancel };
