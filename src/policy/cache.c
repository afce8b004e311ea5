/* cache.c - answers that are kept for a while, and given again (behaviour §4, RFC 9111, RFC 5861). When and what: cache_rules.c; where: cache_core.c;
 * asking again in the background: cache_refresh.c.
 *
 * It stands outside of coalesce, retry and breaker: a fresh answer takes nothing of them, and a stale one is given when they, or the upstream,
 * say no.
 */
#include <stdlib.h>

#include "cache.h"
#include "core/exchange.h"
#include "policy/registry.h"

#define CONF struct cache_conf
static const struct conf_key cache_keys[] = {
	CONF_DURATION(CONF, "ttl", ttl_us, "1s", "0s", "24h", "how long an answer is fresh that does not say so itself (Cache-Control, Expires)"),
	CONF_DURATION(CONF, "stale_while_revalidate", stale_while_revalidate_us, "0s", "0s", "24h",
		"so long behind that it is still given, while one request fetches it anew"),
	CONF_DURATION(CONF, "stale_if_error", stale_if_error_us, "0s", "0s", "24h", "... and instead of an error: the upstream's 5xx, or our own"),
	CONF_SIZE(CONF, "max_size", max_size, "64MiB", "64KiB", "1TiB", "memory of the route's answers; the least recently used go first"),
	CONF_END
};
#undef CONF
static const struct conf_block cache_block = {
	.name = "cache", .keys = cache_keys, .size = sizeof(struct cache_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .optional = true,
	.help = "keep answers to GET for a while, as RFC 9111 allows a shared cache",
};

static const uint64_t HURRY_US = 5000;

struct cache_slot {
	struct capture     *serves;           /* counted: this is the answer */
	struct capture     *stale;            /* counted: this could be, instead of an error */
	struct capture     *grows;            /* counted: this will be kept */
	struct reading      reading;
	struct timer        hurry;
	struct exchange    *ex;
	struct cache_demand demand;
	struct cache_terms  terms;
	uint64_t            age_us, left_us, late_us;
	size_t              room;
	bool                looks;            /* it has to do with a cache */
	bool                after_error;
};

static struct policy *cache_open(const void *settings, const struct policy_env *env)
{
	struct cache *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &cache_policy;
	d->conf = *(const struct cache_conf *)settings;
	d->wishes = (struct cache_wishes){ d->conf.ttl_us, d->conf.stale_while_revalidate_us, d->conf.stale_if_error_us };
	d->shared = env->shared;
	d->core = shared_take(env->shared, &cache_kind, env->route->name, settings);
	if (d->core)
		return &d->base;
	free(d);
	return NULL;
}

static void cache_close(struct policy *p)
{
	struct cache *d = (struct cache *)p;
	shared_give(d->shared, d->core);
	free(d);
}

static bool cache_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return route->upstream && present;
}

/* ── what the client is told ── */

/* Cache-Status (RFC 9211): hit, or why it went on; and whether the answer was kept. */
static void tell(struct exchange *ex, const char *how, bool with_ttl, int64_t ttl_s, const char *more)
{
	char *memory = arena_text(&ex->arena, 96);
	struct text t;
	if (!memory)
		return;
	text_over(&t, memory, 96);
	text_f(&t, "outrigger; %s", how);
	if (with_ttl)
		text_f(&t, "; ttl=%lld", (long long)ttl_s);
	text_add(&t, span_of(more));
	exchange_add_reply_field(ex, SPAN("cache-status"), text_span(&t));
}

static void tell_age(struct exchange *ex, uint64_t age_us)
{
	char *digits = arena_text(&ex->arena, 20);
	if (digits)
		exchange_add_reply_field(ex, SPAN("age"), (struct span){ digits, u64_to_text(age_us / 1000000, digits) });
}

/* ── serving what is kept ── */

static void *kept_start(void *self, struct exchange *ex)
{
	struct cache_slot *slot = self;
	ex->served_by = slot->late_us || slot->after_error ? SERVED_BY_stale : SERVED_BY_cache;
	tell_age(ex, slot->age_us);
	tell(ex, "hit", true, slot->late_us ? -(int64_t)(slot->late_us / 1000000) : (int64_t)(slot->left_us / 1000000),
		slot->after_error ? "; detail=stale-if-error" : "");
	return reading_start(&slot->reading, ex, slot->serves) && reading_feed(&slot->reading) ? slot : NULL;
}

static void kept_body(void *call, struct slice bytes, bool end) { (void)call; (void)bytes; (void)end; }
static void kept_want(void *call, size_t n) { (void)n; reading_feed(&((struct cache_slot *)call)->reading); }
static void kept_cancel(void *call) { ((struct cache_slot *)call)->reading.over = true; }
static const struct upstream_ops kept_ops = { .start = kept_start, .body = kept_body, .want = kept_want, .cancel = kept_cancel };

/* The deadline's own answer could no longer be replaced: with something stale at hand it is over a little earlier, for everything further in. */
static void out_of_time(struct timer *t)
{
	struct cache_slot *slot = container_of(t, struct cache_slot, hurry);
	exchange_cut(slot->ex, exchange_slot(slot->ex, exchange_door(slot->ex, slot) + 1), REASON_deadline_exceeded);
}

static void hurry(struct exchange *ex, struct cache_slot *slot)
{
	uint64_t now = ex->worker->now_us;
	slot->ex = ex;
	if (ex->deadline_us != TIMER_NEVER && ex->deadline_us > now + HURRY_US)
		worker_arm(ex->worker, &slot->hurry, ex->deadline_us - now - HURRY_US, out_of_time);
}

static enum answer cache_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct cache *d = (struct cache *)p;
	struct cache_slot *slot = memory;
	struct cache_found found;

	slot->looks = !ex->spawned && cache_demand_of(&ex->request, &slot->demand) && !slot->demand.no_store;
	if (!slot->looks)
		return PASS;
	cache_find(d->core, ex, &slot->demand, ex->worker->now_us, &found);
	if (!found.capture)
		return PASS;
	slot->age_us = found.age_us;
	slot->left_us = found.left_us;
	slot->late_us = found.late_us;
	bool wanted = !slot->demand.no_cache && (slot->demand.max_age_us == UINT64_MAX || found.age_us <= slot->demand.max_age_us);
	bool spare = found.on_error && exchange_pressure(ex);     /* what would do instead of an error will do to spare the upstream */
	if (found.refresh && wanted)
		cache_refresh(d, ex, slot, found.capture);
	if (wanted && (found.left_us || found.may_revalidate || spare)) {
		slot->serves = found.capture;
		cache_note(d->core, found.left_us ? CACHE_hit : CACHE_stale);
		exchange_divert(ex, &kept_ops, slot);
	} else if (found.on_error) {
		slot->stale = found.capture;
		hurry(ex, slot);
	} else
		capture_unref(found.capture);
	return PASS;
}

/* ── what comes back ── */

static bool is_error(const struct exchange *ex) { return ex->local || ex->reply.status == 0 || ex->reply.status >= 500; }

/* Its own refusals of the client's request are no error of the service. */
static bool may_be_hidden(const struct exchange *ex)
{
	if (!ex->local)
		return true;
	return ex->reason != REASON_NONE && reason_facts(ex->reason)->status >= 500;
}

static enum answer serve_stale(struct cache *d, struct exchange *ex, struct cache_slot *slot)
{
	enum reason why = ex->local ? ex->reason : ex->failure;
	uint64_t since_us = ex->worker->now_us - ex->timing.start_us;
	slot->serves = slot->stale;
	slot->stale = NULL;
	slot->after_error = true;
	slot->age_us += since_us;
	if (slot->left_us > since_us)
		slot->left_us -= since_us;
	else {
		slot->late_us += since_us - slot->left_us;
		slot->left_us = 0;
	}
	cache_note(d->core, CACHE_stale);
	exchange_divert(ex, &kept_ops, slot);
	ex->reason = why;                         /* the log tells why it was not the upstream's */
	return AGAIN;
}

/* POST and the like, when they worked, mean that what is kept may no longer be true. */
static void judge_others(struct cache *d, struct exchange *ex)
{
	bool unsafe = ex->request.method != METHOD_GET && ex->request.method != METHOD_HEAD && ex->request.method != METHOD_OPTIONS
		&& ex->request.method != METHOD_TRACE;
	if (unsafe && ex->reply.status >= 200 && ex->reply.status < 400)
		cache_forget(d->core, ex);
	cache_note(d->core, CACHE_bypass);
	tell(ex, unsafe ? "fwd=method" : "fwd=bypass", false, 0, "");
}

static enum answer cache_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct cache *d = (struct cache *)p;
	struct cache_slot *slot = memory;

	worker_disarm(ex->worker, &slot->hurry);
	if (slot->serves || ex->spawned)
		return PASS;
	if (slot->stale && is_error(ex) && may_be_hidden(ex))
		return serve_stale(d, ex, slot);
	if (is_error(ex))
		return PASS;
	if (!slot->looks) {
		judge_others(d, ex);
		return PASS;
	}
	cache_note(d->core, CACHE_miss);
	if (ex->served_by == SERVED_BY_upstream && ex->request.method == METHOD_GET
			&& cache_terms_of(&ex->reply, slot->demand.personal, &d->wishes, ex->worker->wall_ms, &slot->terms)
			&& (!ex->reply.has_length || ex->reply.content_length <= d->conf.max_size / 8))
		slot->grows = capture_new(&ex->reply);
	tell(ex, slot->demand.no_cache ? "fwd=request" : slot->age_us ? "fwd=stale" : "fwd=miss", false, 0,
		slot->grows ? "; stored" : ex->served_by == SERVED_BY_coalesced ? "; collapsed" : "");
	return PASS;
}

static void drop_growth(struct cache *d, struct cache_slot *slot)
{
	cache_give_room(d->core, slot->room);
	slot->room = 0;
	capture_unref(slot->grows);
	slot->grows = NULL;
}

static void cache_tap(struct policy *p, struct exchange *ex, void *memory, struct span bytes)
{
	struct cache *d = (struct cache *)p;
	struct cache_slot *slot = memory;
	(void)ex;
	if (!slot->grows)
		return;
	bool room = cache_take_room(d->core, slot->grows->len, bytes.len);
	slot->room += room ? bytes.len : 0;
	if (!room || !capture_add(slot->grows, bytes))
		drop_growth(d, slot);
}

static void cache_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct cache *d = (struct cache *)p;
	struct cache_slot *slot = memory;
	if (slot->grows && how == END_SENT && !ex->reply_trailers.count) {
		slot->grows->ended = true;
		fields_drop_name(&slot->grows->reply.fields, SPAN("age"));
		cache_keep(d->core, ex, slot->grows, &slot->terms, ex->worker->now_us);
	}
	worker_disarm(ex->worker, &slot->hurry);
	drop_growth(d, slot);
	slot->reading.over = true;
	capture_unref(slot->serves);
	capture_unref(slot->stale);
	slot->serves = slot->stale = NULL;
}

const struct policy_type cache_policy = {
	.name = "cache", .block = &cache_block, .wanted = cache_wanted, .slot_size = sizeof(struct cache_slot), .open = cache_open,
	.close = cache_close, .admit = cache_admit, .judge = cache_judge, .tap = cache_tap, .settle = cache_settle,
};
