/* cache_refresh.c - stale-while-revalidate: one request of the cache's own, with the validators of what is kept. It walks the doors behind the
 * cache's, so breaker, limits and retries hold for it too. Nobody waits for it; what it may take is the route's timeout.
 */
#include <stdlib.h>

#include "base/must.h"
#include "cache.h"
#include "core/exchange.h"

static const uint64_t PATIENCE_US = 30000000;

struct refresh {
	struct cache_core  *core;             /* held */
	struct shared      *shared;
	struct cache_wishes wishes;
	struct exchange    *child;
	struct worker      *worker;
	struct timer        patience;
	struct capture     *has, *grows;      /* counted */
	struct cache_terms  terms;
	size_t              room;
	bool                good;             /* it came to something */
};

static void drop_growth(struct refresh *r)
{
	cache_give_room(r->core, r->room);
	r->room = 0;
	capture_unref(r->grows);
	r->grows = NULL;
}

/* 304: what it says of freshness holds, and else what the kept one said. */
static void extend(struct refresh *r, const struct reply *not_modified)
{
	struct reply said = *not_modified;
	bool says = fields_have(&said.fields, FIELD_CACHE_CONTROL) || fields_find_name(&said.fields, SPAN("expires"));
	said.status = 200;
	if (!cache_terms_of(says ? &said : &r->has->reply, false, &r->wishes, r->worker->wall_ms, &r->terms))
		return;
	if (!says) {
		r->terms.fresh_us += r->terms.age_us;
		r->terms.age_us = 0;
	}
	cache_extend(r->core, r->child, &r->terms, r->worker->now_us);
	r->good = true;
}

static void child_head(void *client, struct exchange *child)
{
	struct refresh *r = client;
	if (child->local)
		return;
	if (child->reply.status == 304) {
		extend(r, &child->reply);
	} else if (cache_terms_of(&child->reply, false, &r->wishes, r->worker->wall_ms, &r->terms)) {
		r->grows = capture_new(&child->reply);
	} else if (child->reply.status < 500) {
		cache_forget(r->core, child);   /* it is for all no longer, or gone */
		r->good = true;
	}
}

static void child_body(void *client, struct exchange *child, struct slice bytes, bool end)
{
	struct refresh *r = client;
	if (r->grows && bytes.len) {
		bool room = cache_take_room(r->core, r->grows->len, bytes.len);
		r->room += room ? bytes.len : 0;
		if (!room || !capture_add(r->grows, slice_span(bytes)))
			drop_growth(r);
	}
	if (bytes.len && !end)
		exchange_reply_taken(child, bytes.len);
	if (!end)
		return;
	if (r->grows && !child->reply_trailers.count) {
		r->grows->ended = true;
		fields_drop_name(&r->grows->reply.fields, SPAN("age"));
		r->good = cache_keep(r->core, child, r->grows, &r->terms, r->worker->now_us);
	}
	exchange_client_done(child);
}

static void child_done(void *client, struct exchange *child)
{
	struct refresh *r = client;
	if (!r->good)
		cache_refresh_failed(r->core, child, r->worker->now_us);
	drop_growth(r);
	worker_disarm(r->worker, &r->patience);
	capture_unref(r->has);
	shared_give(r->shared, r->core);
	free(r);
}

static void child_abort(void *client, struct exchange *child) { (void)client; (void)child; }
static void child_informs(void *client, struct exchange *child, const struct reply *reply) { (void)client; (void)child; (void)reply; }
static void child_wants(void *client, struct exchange *child, size_t n) { (void)client; (void)child; (void)n; }
static const struct client_ops child_ops = {
	.send_informational = child_informs, .send_head = child_head, .send_body = child_body, .want = child_wants, .abort = child_abort,
	.done = child_done,
};

static void out_of_patience(struct timer *t)
{
	struct refresh *r = container_of(t, struct refresh, patience);
	exchange_client_fault(r->child, REASON_deadline_exceeded, NULL);          /* so that a breaker hears of it */
}

static void add_validator(struct exchange *child, const struct capture *has, struct span from, struct span to)
{
	const struct field *f = fields_find_name(&has->reply.fields, from);
	struct span value = f ? arena_copy(&child->arena, f->value) : SPAN_NONE;
	if (value.len && !fields_add(&child->request.fields, to, value))
		return;                           /* no room for it: then the whole answer comes */
}

void cache_refresh(struct cache *d, struct exchange *model, const void *slot, struct capture *has)
{
	static const char *const conditions[] = { "if-none-match", "if-modified-since", "if-match", "if-unmodified-since" };
	struct refresh *r = calloc(1, sizeof(*r));
	if (r)
		r->child = exchange_spawn(model, model->route, exchange_door(model, slot) + 1, &child_ops, r);
	if (!r || !r->child) {
		free(r);
		cache_refresh_failed(d->core, model, model->worker->now_us);
		return;
	}
	for (unsigned i = 0; i < sizeof(conditions) / sizeof(*conditions); i++)
		fields_drop_name(&r->child->request.fields, span_of(conditions[i]));
	add_validator(r->child, has, SPAN("etag"), SPAN("if-none-match"));
	add_validator(r->child, has, SPAN("last-modified"), SPAN("if-modified-since"));
	r->core = d->core;
	r->shared = d->shared;
	shared_hold(r->shared, r->core);
	r->wishes = d->wishes;
	r->worker = model->worker;
	r->has = capture_ref(has);
	uint64_t patience_us = model->patience_us ? model->patience_us : PATIENCE_US;
	r->child->deadline_us = r->worker->now_us + patience_us;
	worker_arm(r->worker, &r->patience, patience_us, out_of_patience);
}
