/* rate_limit.c - so many requests per key and time (behaviour §3). All limits of a route are looked at, and charged only when all let it pass.
 *
 * In memory: one core per route and process, see rate_limit_core.h. With a store: the limits of all instances are decided on by one script in
 * it, see rate_store.h; when it does not answer, `on_store_error` says what holds. Every answer of such a route tells where its client
 * stands (RateLimit, RateLimit-Policy: draft-ietf-httpapi-ratelimit-headers).
 */
#include <stdlib.h>

#include "base/log.h"
#include "core/exchange.h"
#include "policy/registry.h"
#include "rate_limit_core.h"
#include "rate_store.h"

/* ── settings ── */

static bool read_key(struct conf_reading *r, void *field, struct span text, unsigned index) { return rate_key_read(r, field, text, index); }

#define CONF struct limit_conf
static const char *const algorithms[] = { "gcra", "sliding_window", NULL };
static const char *const store_errors[] = { "local", "allow", "deny", NULL };
static const char *const missings[] = { "shared", "skip", "deny", NULL };
static const struct conf_key limit_keys[] = {
	CONF_ROW(CONF, "rate", rate, CONF_T_RATE, .min = "1/h", .max = "1000000/s", .flags = CONF_REQUIRED, .example = "100/s",
		.help = "requests per second, minute or hour; `rate_limit: 100/s` is short for it"),
	CONF_COUNT(CONF, "burst", burst, "0", "0", "1000000000", "so many at once (gcra); 0: as many as the rate counts, 100 for 100/s"),
	CONF_CUSTOM(CONF, "key", key, read_key, "client_ip",
		"whose allowance: client_ip, header:NAME, cookie:NAME, jwt:CLAIM (behind auth), route, or a list of them"),
	CONF_WORD(CONF, "algorithm", algorithm, algorithms, "gcra", "evenly after a burst, or a count per window"),
	CONF_WORD(CONF, "missing_key", missing, missings, "shared",
		"requests without that header, cookie or claim share an allowance, pass, or are refused"),
	CONF_COUNT(CONF, "max_keys", max_keys, "100000", "1", "100000000", "keys that are told apart at a time; further ones share an allowance"),
	CONF_TEXT(CONF, "name", name, NULL, "in metrics and in RateLimit; limit, limit2 ... when left out"),
	CONF_DRY_RUN(CONF, "decide, count and log, but let everything pass"),
	CONF_TEXT(CONF, "store", store, "memory", "memory: this process alone; or a name under `redis`, for several instances"),
	CONF_WORD(CONF, "on_store_error", on_store_error, store_errors, "local",
		"when the store does not answer: local (this process' share of the rate), allow, or deny"),
	CONF_END
};
#undef CONF
static const struct conf_key rate_limit_keys[] = {
	CONF_LIST(struct rate_limit_conf, "rate_limit", limits, struct limit_conf, limit_keys, "requests per key and time; one limit, or a list"),
	CONF_END
};

/* It stands in quotes in RateLimit. */
static bool is_plain(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] > '~' || name.at[i] == '"' || name.at[i] == '\\')
			return false;
	return name.len <= LIMIT_NAME_MAX;
}

static bool rate_limit_check(struct conf_reading *r, void *settings)
{
	const struct rate_limit_conf *c = settings;
	const struct limit_conf *limit = c->limits.at;
	if (c->limits.count > LIMITS_MAX) {
		conf_complain_key(r, "rate_limit", "a route has at most %d rate limits", LIMITS_MAX);
		return false;
	}
	for (unsigned i = 0; i < c->limits.count; i++) {
		if (!is_plain(limit[i].name)) {
			conf_complain_key(r, "rate_limit", "the name of a rate limit is at most %d plain characters", LIMIT_NAME_MAX);
			return false;
		}
		if (!rate_key_check(r, &limit[i].key, "rate_limit"))
			return false;
	}
	const struct limit_conf *first = NULL;
	for (unsigned i = 0; i < c->limits.count; i++) {
		if (!limit_is_shared(&limit[i]))
			continue;
		if (!conf_store_exists(r, limit[i].store))
			return false;
		if (first && !span_eq(first->store, limit[i].store)) {
			conf_complain(r, limit[i].store, "the limits of a route share one store, here '" SPAN_FMT "'", SPAN_ARG(first->store));
			return false;
		}
		first = &limit[i];
	}
	return true;
}

static const struct conf_block rate_limit_block = {
	.keys = rate_limit_keys, .size = sizeof(struct rate_limit_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .check = rate_limit_check,
	.help = "requests per key and time",
};

/* ── the door ── */

struct rate_limit {
	struct policy  base;
	unsigned       count;
	struct limit_conf  limit[LIMITS_MAX];
	struct limit_name  name[LIMITS_MAX];  /* the core's may be another's already */
	struct shared *shared;
	struct rate_limit_core *core;
	const struct store *store;            /* NULL: all in memory */
	struct span    route;
	struct worker *worker;
	struct span    policy;                /* RateLimit-Policy, the same for all */
	char           policy_memory[LIMITS_MAX * (LIMIT_NAME_MAX + 64)];
};

static void write_policy(struct rate_limit *d)
{
	struct text t;
	text_over(&t, d->policy_memory, sizeof(d->policy_memory));
	for (unsigned i = 0; i < d->count; i++) {
		struct bucket_conf c = bucket_conf_of(&d->limit[i]);
		text_f(&t, "%s\"%.*s\";q=%llu;w=%llu", i ? ", " : "", (int)d->name[i].len, d->name[i].at,
			(unsigned long long)c.count, (unsigned long long)(c.per_us / 1000000));
	}
	d->policy = text_span(&t);
}

static struct policy *rate_limit_open(const void *settings, const struct policy_env *env)
{
	const struct rate_limit_conf *c = settings;
	struct rate_limit *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &rate_limit_policy;
	d->count = c->limits.count;
	memcpy(d->limit, c->limits.at, d->count * sizeof(*d->limit));
	d->shared = env->shared;
	d->route = env->route->name;
	d->worker = env->worker;
	for (unsigned i = 0; i < d->count; i++) {
		limit_name(&d->name[i], &d->limit[i], i);
		if (limit_is_shared(&d->limit[i]))
			d->store = store_named(env->stores, env->store_count, d->limit[i].store);
	}
	const struct rate_limit_with with = { c, env->shared, env->route->name };
	d->core = shared_take(env->shared, &rate_limit_kind, env->route->name, &with);
	if (d->core && rate_limit_core_has(d->core, d->count)) {
		write_policy(d);
		return &d->base;
	}
	if (d->core)
		shared_give(d->shared, d->core);
	free(d);
	return NULL;
}

static void rate_limit_close(struct policy *p)
{
	struct rate_limit *d = (struct rate_limit *)p;
	shared_give(d->shared, d->core);
	free(d);
}

static bool rate_limit_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)route; (void)present;
	return ((const struct rate_limit_conf *)settings)->limits.count > 0;
}

/* What is decided on one request; LATER keeps it in the exchange's arena. */
struct decision {
	struct bucket_key    key[LIMITS_MAX];
	struct bucket_answer answer[LIMITS_MAX];
	bool     counts[LIMITS_MAX];          /* this limit has a say here          */
	bool     whole[LIMITS_MAX];           /* the key is there                   */
	bool     dry_run[LIMITS_MAX];         /* this limit only counts             */
	bool     dry;                         /* a dry_run would have refused       */
	unsigned refuses;                     /* the limit that does; count: none   */
};
struct slot { struct store_call call; struct rate_limit *door; struct exchange *ex; struct decision *made; bool inside, answered; };

static bool asks_store(const struct rate_limit *d, unsigned i) { return d->store && limit_is_shared(&d->limit[i]); }

static void find_keys(struct rate_limit *d, struct exchange *ex, struct decision *made)
{
	for (unsigned i = 0; i < d->count; i++) {
		made->whole[i] = rate_key_of(&d->limit[i].key, ex, d->core->seed, &made->key[i]);
		made->dry_run[i] = exchange_dry_run(ex, &d->limit[i].dry_run);
		made->counts[i] = made->whole[i] || d->limit[i].missing != MISSING_SKIP;
		made->answer[i] = (struct bucket_answer){ .allowed = true };
	}
	made->refuses = d->count;
	made->dry = false;
}

/* Only what enforces can refuse. The longest wait is the true one. */
static void weigh(struct rate_limit *d, struct decision *made, unsigned i)
{
	if (!made->whole[i] && d->limit[i].missing == MISSING_DENY)
		made->answer[i] = (struct bucket_answer){ .allowed = false, .wait_us = 1000000 };
	d->core->limit[i].allowed += made->answer[i].allowed;
	d->core->limit[i].limited += !made->answer[i].allowed;
	if (made->answer[i].allowed)
		return;
	if (made->dry_run[i])
		made->dry = true;
	else if (made->refuses == d->count || made->answer[i].wait_us > made->answer[made->refuses].wait_us)
		made->refuses = i;
}

static struct bucket *bucket_of(struct rate_limit *d, const struct decision *made, unsigned i)
{
	struct limit_core *l = &d->core->limit[i];
	return bucket_table_find(&l->table, made->key[i], &l->conf, d->worker->now_us);
}

/* With the lock held: the limits of this process alone. */
static void decide_in_memory(struct rate_limit *d, struct decision *made)
{
	uint64_t now = d->worker->now_us;
	for (unsigned i = 0; i < d->count; i++)
		if (made->counts[i] && !asks_store(d, i)) {
			made->answer[i] = bucket_look(bucket_of(d, made, i), &d->core->limit[i].conf, now);
			weigh(d, made, i);
		}
	for (unsigned i = 0; i < d->count && made->refuses == d->count; i++)
		if (made->counts[i] && !asks_store(d, i) && made->answer[i].allowed)
			bucket_charge(bucket_of(d, made, i), &d->core->limit[i].conf, now);
}

/* With the lock held: the store refuses, or nobody waits for it any more. */
static void refund_memory(struct rate_limit *d, const struct decision *made)
{
	for (unsigned i = 0; i < d->count; i++)
		if (made->counts[i] && !asks_store(d, i) && made->answer[i].allowed)
			bucket_refund(bucket_of(d, made, i), &d->core->limit[i].conf);
}

/* ── limits in a store ── */

/* This process' share, for the time when it is alone. */
static struct bucket_conf share_of(const struct rate_limit *d, const struct bucket_conf *whole)
{
	uint64_t n = d->store->ops->instances(d->store->self);
	struct bucket_conf share = *whole;
	if (share.algorithm == BUCKET_GCRA) {
		share.per_us *= n;
		share.burst = share.burst > n ? share.burst / n : 1;
	} else
		share.count = share.count > n ? share.count / n : 1;
	return share;
}

/* With the lock held. The shadow goes along with what the store decides, but never deeper than its own limit. */
static void charge_shadow(struct rate_limit *d, const struct decision *made)
{
	for (unsigned i = 0; i < d->count; i++) {
		if (!made->counts[i] || !asks_store(d, i) || !made->answer[i].allowed)
			continue;
		struct bucket_conf share = share_of(d, &d->core->limit[i].conf);
		struct bucket *b = bucket_of(d, made, i);
		if (bucket_look(b, &share, d->worker->now_us).allowed)
			bucket_charge(b, &share, d->worker->now_us);
	}
}

static struct bucket_answer answer_alone(struct rate_limit *d, const struct decision *made, unsigned i)
{
	struct bucket_conf share = share_of(d, &d->core->limit[i].conf);
	if (d->limit[i].on_store_error == STORE_ERROR_LOCAL)
		return bucket_look(bucket_of(d, made, i), &share, d->worker->now_us);
	return (struct bucket_answer){ .allowed = d->limit[i].on_store_error == STORE_ERROR_ALLOW, .wait_us = 1000000 };
}

/* With the lock held. True for the first worker that is alone, or the last one that no longer is. */
static bool note_degraded(struct rate_limit *d, unsigned i, bool degraded)
{
	uint64_t bit = 1ull << (d->worker->index % 64), before = d->core->limit[i].degraded;
	d->core->limit[i].degraded = degraded ? before | bit : before & ~bit;
	return !before != !d->core->limit[i].degraded;
}

static void log_degraded(const struct rate_limit *d, unsigned i, bool degraded)
{
	struct log_line l;
	log_begin(&l, degraded ? LOG_WARN : LOG_INFO, degraded ? "rate_limit_degraded" : "rate_limit_shared");
	log_span(&l, "route", d->route);
	log_span(&l, "limit", limit_name_span(&d->name[i]));
	log_span(&l, "store", d->limit[i].store);
	log_end(&l);
}

/* The store has answered, or not (shared NULL). */
static void decide_shared(struct rate_limit *d, struct decision *made, const struct bucket_answer *shared, bool gone)
{
	bool changed[LIMITS_MAX] = { false };
	unsigned k = 0;
	pthread_mutex_lock(&d->core->lock);
	for (unsigned i = 0; i < d->count; i++) {
		if (!made->counts[i] || !asks_store(d, i))
			continue;
		made->answer[i] = shared ? shared[k++] : answer_alone(d, made, i);
		weigh(d, made, i);
		if (shared || gone)
			changed[i] = note_degraded(d, i, gone);
	}
	if (made->refuses == d->count)
		charge_shadow(d, made);
	else
		refund_memory(d, made);
	pthread_mutex_unlock(&d->core->lock);
	for (unsigned i = 0; i < d->count; i++)
		if (changed[i])
			log_degraded(d, i, gone);
}

static uint64_t seconds_of(uint64_t us) { return (us + 999999) / 1000000; }

/* "orders";r=99;t=1, ... */
static void tell(struct rate_limit *d, struct exchange *ex, const struct decision *made)
{
	size_t size = d->count * (LIMIT_NAME_MAX + 64);
	char *memory = arena_text(&ex->arena, size);
	struct text t;
	if (!memory)
		return;
	text_over(&t, memory, size);
	for (unsigned i = 0; i < d->count; i++) {
		if (!made->counts[i])
			continue;
		text_add(&t, t.len ? SPAN(", \"") : SPAN("\""));
		text_add(&t, limit_name_span(&d->name[i]));
		text_add(&t, SPAN("\";r="));
		text_u64(&t, made->answer[i].allowed ? made->answer[i].remaining : 0);
		text_add(&t, SPAN(";t="));
		text_u64(&t, seconds_of(made->answer[i].allowed ? made->answer[i].reset_us : made->answer[i].wait_us));
	}
	exchange_add_reply_field(ex, SPAN("ratelimit-policy"), d->policy);
	if (t.len)
		exchange_add_reply_field(ex, SPAN("ratelimit"), text_span(&t));
}

static enum answer conclude(struct rate_limit *d, struct exchange *ex, const struct decision *made)
{
	tell(d, ex, made);
	if (made->dry)
		exchange_turn_away(ex, true, REASON_rate_limited, 0, NULL);
	if (made->refuses == d->count)
		return PASS;
	uint64_t seconds = seconds_of(made->answer[made->refuses].wait_us);
	return exchange_turn_away(ex, false, REASON_rate_limited, (unsigned)(seconds ? seconds : 1), NULL);
}

static void store_answered(struct store_call *call, enum store_result result, struct span reply)
{
	struct slot *slot = container_of(call, struct slot, call);
	struct rate_limit *d = slot->door;
	struct bucket_answer shared[LIMITS_MAX];
	unsigned count = 0;
	bool passed;
	for (unsigned i = 0; i < d->count; i++)
		count += slot->made->counts[i] && asks_store(d, i);
	bool ok = result == STORE_ok && rate_store_read(reply, shared, count, &passed);
	decide_shared(d, slot->made, ok ? shared : NULL, result == STORE_down || result == STORE_refused);
	slot->answered = true;
	if (!slot->inside)
		exchange_answer(slot->ex, conclude(d, slot->ex, slot->made));
}

static unsigned ask_words(struct rate_limit *d, struct exchange *ex, const struct decision *made, struct span words[RATE_STORE_WORDS])
{
	struct rate_question q[LIMITS_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < d->count; i++) {
		if (!made->counts[i] || !asks_store(d, i))
			continue;
		q[n].conf = bucket_conf_of(&d->limit[i]);
		q[n].name = limit_name_span(&d->name[i]);
		q[n].weighs = !made->dry_run[i];
		rate_key_digest(&d->limit[i].key, ex, q[n++].digest);
	}
	return n ? rate_store_words(&ex->arena, d->route, q, n, words) : 0;
}

static enum answer ask_store(struct rate_limit *d, struct exchange *ex, struct slot *slot, const struct decision *so_far)
{
	struct span words[RATE_STORE_WORDS];
	unsigned n = ask_words(d, ex, so_far, words);
	slot->made = n ? arena_take(&ex->arena, sizeof(*slot->made)) : NULL;
	if (!slot->made) {
		struct decision made = *so_far;           /* out of memory: as if the store were slow */
		decide_shared(d, &made, NULL, false);
		return conclude(d, ex, &made);
	}
	*slot->made = *so_far;
	slot->door = d;
	slot->ex = ex;
	slot->call.done = store_answered;
	slot->inside = true;
	d->store->ops->ask(d->store->self, &slot->call, &rate_store_script, words, n);
	slot->inside = false;
	return slot->answered ? conclude(d, ex, slot->made) : LATER;
}

static enum answer rate_limit_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct rate_limit *d = (struct rate_limit *)p;
	struct decision made;
	bool shared = false;

	find_keys(d, ex, &made);
	pthread_mutex_lock(&d->core->lock);
	decide_in_memory(d, &made);
	pthread_mutex_unlock(&d->core->lock);
	for (unsigned i = 0; i < d->count; i++)
		shared |= made.counts[i] && asks_store(d, i);
	if (shared && made.refuses == d->count)
		return ask_store(d, ex, memory, &made);
	return conclude(d, ex, &made);
}

/* The client left, or the deadline is over, while the store was asked. */
static void rate_limit_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct rate_limit *d = (struct rate_limit *)p;
	struct slot *slot = memory;
	(void)ex; (void)how;
	if (!slot->made || slot->answered)
		return;
	d->store->ops->cancel(d->store->self, &slot->call);
	pthread_mutex_lock(&d->core->lock);
	refund_memory(d, slot->made);
	pthread_mutex_unlock(&d->core->lock);
}

const struct policy_type rate_limit_policy = {
	.name = "rate_limit", .block = &rate_limit_block, .slot_size = sizeof(struct slot), .wanted = rate_limit_wanted, .open = rate_limit_open,
	.close = rate_limit_close, .admit = rate_limit_admit, .settle = rate_limit_settle,
};
