/* hedge.c - a second request to another endpoint when the first one takes longer than usual; the first acceptable head wins (behaviour §8; Dean and
 * Barroso, The Tail at Scale, 2013). When and how often is decided here; what becomes of the two is second_try.c's.
 *
 * Safe:   idempotent methods, the body kept whole, the first try of a request only, and no proxy in front that tries again itself.
 * Useful: the first try is on its way (it stands in no line), another endpoint is well, and time is left.
 * Paid:   at most `max_extra` of the requests of the last ten seconds, and the budget of retries. Never under pressure. A breaker that is not closed
 *         turns it away, and so does a concurrency limit without a free permit: it is expendable.
 */
#include <pthread.h>
#include <stdlib.h>

#include "latency.h"
#include "policy/registry.h"
#include "retry_budget.h"
#include "second_try.h"

enum { POINTLESS_US = 5000 };

struct hedge_conf {
	bool     enabled;
	struct { uint64_t us; double quantile; } after;       /* one of them is 0 */
	double   max_extra;
};

static bool read_after(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct hedge_conf *c = container_of(field, struct hedge_conf, after);
	uint64_t percent;
	(void)index;
	c->after.us = 0;
	c->after.quantile = 0;
	if (!span_starts(text, SPAN("p")))
		return conf_read_duration(r, "after", text, "1ms", "1h", &c->after.us);
	if (span_to_u64(span_from(text, 1), 99, &percent) && percent) {
		c->after.quantile = (double)percent / 100;
		return true;
	}
	conf_complain(r, text, "'" SPAN_FMT "' is not a percentile", SPAN_ARG(text));
	conf_hint(r, "write p1 to p99, or a time as 50ms");
	return false;
}

#define CONF struct hedge_conf
static const struct conf_key hedge_keys[] = {
	CONF_BOOL(CONF, "enabled", enabled, "true", "`hedge: off` is short for enabled: false"),
	CONF_CUSTOM(CONF, "after", after, read_after, "p95",
		"when the first try has no answer yet: a percentile of this route's recent latency (100 requests at least), or a time"),
	CONF_SHARE(CONF, "max_extra", max_extra, "2%", "hedges are at most this share of the requests of the last 10 s"),
	CONF_END
};
#undef CONF
static const struct conf_block hedge_block = {
	.name = "hedge", .keys = hedge_keys, .size = sizeof(struct hedge_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .scalar_ok = true,
	.optional = true, .help = "a second request, to another endpoint, when the first one is slow",
};

/* ── one per route and process ── */

#define HEDGE_RESULTS(X) \
	X(won)         /* its reply is the answer                                                */ \
	X(lost)        /* the first try's reply was there first, or it failed                    */ \
	X(cancelled)   /* the client left, or the time was over, before either had a reply       */ \
	X(suppressed)  /* it was due, and not sent                                               */
enum hedge_result {
#define X(word) HEDGE_##word,
	HEDGE_RESULTS(X)
#undef X
	HEDGE_RESULT_COUNT
};

struct hedge_core {
	pthread_mutex_t lock;
	struct latency  latency;
	struct budget   extra;
	uint64_t        results[HEDGE_RESULT_COUNT];
	double          quantile;             /* of the configuration that came last, for those who look */
	uint64_t        after_us;
};

static void core_adapt(void *memory, const void *with)
{
	struct hedge_core *core = memory;
	const struct hedge_conf *c = with;
	pthread_mutex_lock(&core->lock);
	core->quantile = c->after.quantile;
	core->after_us = c->after.us;
	pthread_mutex_unlock(&core->lock);
}

static bool core_init(void *memory, const void *with)
{
	if (pthread_mutex_init(&((struct hedge_core *)memory)->lock, NULL) != 0)
		return false;
	core_adapt(memory, with);
	return true;
}

static void core_fini(void *memory) { pthread_mutex_destroy(&((struct hedge_core *)memory)->lock); }

static void read_results(void *memory, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		HEDGE_RESULTS(X)
#undef X
	};
	struct hedge_core *core = memory;
	(void)now_us;
	for (unsigned r = 0; r < HEDGE_RESULT_COUNT; r++)
		out->real(out, &(struct label){ "result", span_of(words[r]) }, 1, (double)__atomic_load_n(&core->results[r], __ATOMIC_RELAXED));
}

/* When the next one would be sent; 0: not known yet. */
static uint64_t after_now(struct hedge_core *core, uint64_t now_us)
{
	pthread_mutex_lock(&core->lock);
	uint64_t us = core->after_us ? core->after_us : latency_quantile_us(&core->latency, now_us, core->quantile);
	pthread_mutex_unlock(&core->lock);
	return us;
}

static void read_after_now(void *core, uint64_t now_us, struct samples *out) { out->real(out, NULL, 0, (double)after_now(core, now_us) / 1e6); }

static const struct core_series series[] = {
	{ "outrigger_hedges_total", "counter", "Second requests for slow first ones, and how they ended; suppressed: due, not sent.",
		read_results },
	{ "outrigger_hedge_after_seconds", "gauge", "How long a request takes before a second one is sent; 0: not known yet.", read_after_now },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *memory, uint64_t now_us, struct json *j)
{
	struct hedge_core *core = memory;
	json_fixed(j, "after_ms", (double)after_now(core, now_us) / 1e3, 3);
	json_u64(j, "won", __atomic_load_n(&core->results[HEDGE_won], __ATOMIC_RELAXED));
	json_u64(j, "lost", __atomic_load_n(&core->results[HEDGE_lost], __ATOMIC_RELAXED));
}

static void summary(void *memory, uint64_t now_us, struct text *out)
{
	const struct hedge_core *core = memory;
	uint64_t after_us = after_now(memory, now_us), won = __atomic_load_n(&core->results[HEDGE_won], __ATOMIC_RELAXED);
	if (after_us)
		text_f(out, "after %.1f ms, %llu won", (double)after_us / 1e3, (unsigned long long)won);
	else
		text_add(out, SPAN("not enough requests yet"));
}

static const struct core_kind hedge_kind = {
	.name = "hedge", .label = "route", .size = sizeof(struct hedge_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json, .summary = summary,
};

/* ── the door ── */

struct hedge {
	struct policy        base;
	struct hedge_conf    conf;
	struct budget_conf   extra, budget;
	struct shared       *shared;
	struct hedge_core   *core;
	struct retry_budget *retries;
	struct upstream     *upstream;
};
struct hedge_slot {
	struct timer       due;
	struct exchange   *ex;
	struct hedge      *door;
	struct second_try *second;
	uint64_t           begun_us;
	bool               measured;          /* its latency counts, and has not been counted yet */
	bool               waits;             /* judge owes an answer: the first try failed, the second one may not */
};

static void hedge_close(struct policy *p)
{
	struct hedge *h = (struct hedge *)p;
	if (h->retries)
		shared_give(h->shared, h->retries);
	if (h->core)
		shared_give(h->shared, h->core);
	free(h);
}

static struct policy *hedge_open(const void *settings, const struct policy_env *env)
{
	struct hedge *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->base.type = &hedge_policy;
	h->conf = *(const struct hedge_conf *)settings;
	h->extra = (struct budget_conf){ h->conf.max_extra, 0 };
	h->budget = retry_budget_conf(env);
	h->shared = env->shared;
	h->upstream = env->upstream;
	h->core = shared_take(env->shared, &hedge_kind, env->route->name, settings);
	h->retries = retry_budget_take(env->shared, env->upstream->name, &h->budget);
	if (h->core && h->retries)
		return &h->base;
	hedge_close(&h->base);
	return NULL;
}

static bool hedge_wanted(const struct conf_route *route, const void *settings, bool present)
{
	return route->upstream && present && ((const struct hedge_conf *)settings)->enabled;
}

static void count(struct hedge *h, enum hedge_result r) { __atomic_fetch_add(&h->core->results[r], 1, __ATOMIC_RELAXED); }

static bool pay(struct hedge *h, uint64_t now_us)
{
	pthread_mutex_lock(&h->core->lock);
	bool paid = budget_take(&h->core->extra, &h->extra, now_us);
	pthread_mutex_unlock(&h->core->lock);
	if (!paid || retry_budget_pay(h->retries, &h->budget, now_us))
		return paid;
	pthread_mutex_lock(&h->core->lock);
	budget_refund(&h->core->extra, now_us);
	pthread_mutex_unlock(&h->core->lock);
	return false;
}

/* It was paid for, and not sent after all. */
static void suppress(struct hedge *h, uint64_t now_us)
{
	pthread_mutex_lock(&h->core->lock);
	budget_refund(&h->core->extra, now_us);
	pthread_mutex_unlock(&h->core->lock);
	retry_budget_refund(h->retries, now_us);
	count(h, HEDGE_suppressed);
}

/* Of the first try; of one that is called off, what is known: it would have taken longer. */
static void measure(struct hedge_slot *slot)
{
	uint64_t now_us = slot->ex->worker->now_us;
	if (!slot->measured)
		return;
	slot->measured = false;
	pthread_mutex_lock(&slot->door->core->lock);
	latency_add(&slot->door->core->latency, now_us, now_us - slot->begun_us);
	pthread_mutex_unlock(&slot->door->core->lock);
}

static bool another_is_well(struct upstream *u, const struct exchange *ex)
{
	struct endpoint_set *set = upstream_endpoints(u);
	unsigned well = 0;
	for (unsigned i = 0; i < set->count; i++)
		well += !endpoint_is_ejected(set->at[i], ex->worker->now_us) && !endpoint_is_unhealthy(set->at[i]);
	endpoint_set_unref(set);
	return well >= 2;
}

/* The second one has decided: an answer, or a failure of its own. */
static void second_has_told(void *memory)
{
	struct hedge_slot *slot = memory;
	bool won = second_try_state(slot->second) == SECOND_WON, waited = slot->waits;
	slot->waits = false;
	if (won)
		measure(slot);
	if (won || second_try_was_sent(slot->second))
		count(slot->door, won ? HEDGE_won : HEDGE_lost);
	else
		suppress(slot->door, slot->ex->worker->now_us);
	if (!won && waited)
		exchange_answer(slot->ex, PASS);
}

static void is_due(struct timer *t)
{
	struct hedge_slot *slot = container_of(t, struct hedge_slot, due);
	struct hedge *h = slot->door;
	struct exchange *ex = slot->ex;
	uint64_t now_us = ex->worker->now_us;

	if (ex->call && ex->timing.reply_us)
		return;                           /* its head is here, and about to be looked at */
	bool sensible = ex->call && !exchange_pressure(ex) && exchange_can_replay(ex) && exchange_request_ended(ex)
		&& another_is_well(h->upstream, ex) && (ex->deadline_us == TIMER_NEVER || now_us + POINTLESS_US < ex->deadline_us);
	if (!sensible || !pay(h, now_us)) {
		count(h, HEDGE_suppressed);
		return;
	}
	slot->second = second_try_begin(ex, slot, second_has_told);
	if (!slot->second)
		suppress(h, now_us);
}

static bool may_hedge(const struct exchange *ex)
{
	return ex->attempt == 0 && method_is_idempotent(ex->request.method) && !ex->request.upgrade.len && !retried_in_front(ex);
}

static enum answer hedge_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct hedge *h = (struct hedge *)p;
	struct hedge_slot *slot = memory;
	struct hedge_core *core = h->core;
	uint64_t now_us = ex->worker->now_us;

	if (!may_hedge(ex))
		return PASS;
	slot->ex = ex;
	slot->door = h;
	slot->begun_us = now_us;
	slot->measured = true;
	pthread_mutex_lock(&core->lock);
	budget_request(&core->extra, now_us);
	uint64_t after_us = h->conf.after.us ? h->conf.after.us : latency_quantile_us(&core->latency, now_us, h->conf.after.quantile);
	pthread_mutex_unlock(&core->lock);
	if (after_us)
		worker_arm(ex->worker, &slot->due, after_us, is_due);
	return PASS;
}

static enum answer hedge_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct hedge_slot *slot = memory;
	(void)p;
	worker_disarm(ex->worker, &slot->due);
	if (!slot->ex || (slot->second && second_try_state(slot->second) == SECOND_WON))
		return PASS;
	bool acceptable = reply_is_acceptable(ex);
	if (acceptable)
		measure(slot);
	if (!slot->second || second_try_state(slot->second) == SECOND_LOST)
		return PASS;
	if (!acceptable) {
		slot->waits = true;
		return LATER;
	}
	if (second_try_was_sent(slot->second))
		count(slot->door, HEDGE_lost);
	else
		suppress(slot->door, ex->worker->now_us);
	second_try_call_off(slot->second);
	return PASS;
}

static void hedge_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct hedge_slot *slot = memory;
	(void)p; (void)how;
	worker_disarm(ex->worker, &slot->due);
	if (!slot->second)
		return;
	if (second_try_state(slot->second) == SECOND_RUNNING) {
		if (second_try_was_sent(slot->second))
			count(slot->door, HEDGE_cancelled);
		else
			suppress(slot->door, ex->worker->now_us);
	}
	second_try_leave(slot->second);
}

const struct policy_type hedge_policy = {
	.name = "hedge", .block = &hedge_block, .wanted = hedge_wanted, .slot_size = sizeof(struct hedge_slot), .open = hedge_open,
	.close = hedge_close, .admit = hedge_admit, .judge = hedge_judge, .settle = hedge_settle,
};
