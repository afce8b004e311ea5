/* rate_limit.c - so many requests per key and time (behaviour §3). All limits of a route are looked at, and charged only when all let it pass.
 *
 * One core per route and process: a table of buckets for each limit, behind one short lock. Every answer of such a route tells where its
 * client stands (RateLimit, RateLimit-Policy: draft-ietf-httpapi-ratelimit-headers).
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "auth.h"
#include "core/exchange.h"
#include "core/shared.h"
#include "policy/registry.h"
#include "rate_key.h"

enum { LIMITS_MAX = 8, NAME_MAX_BYTES = 64 };
enum missing { MISSING_SHARED, MISSING_SKIP, MISSING_DENY };

/* ── settings ── */

struct limit_conf {
	struct conf_rate rate;
	uint64_t burst, max_keys;
	struct rate_key key;
	struct span name;
	unsigned algorithm, missing;
	bool     dry_run;
};
struct rate_limit_conf { struct conf_list limits; };

static bool read_key(struct conf_reading *r, void *field, struct span text, unsigned index) { return rate_key_read(r, field, text, index); }

#define CONF struct limit_conf
static const char *const algorithms[] = { "gcra", "sliding_window", NULL };
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
	CONF_TEXT(CONF, "name", name, NULL, "in metrics and in RateLimit; the route's name when left out"),
	CONF_BOOL(CONF, "dry_run", dry_run, "false", "decide, count and log, but let everything pass"),
	CONF_NOT_YET("store", "a store shared by several instances"),
	CONF_NOT_YET("on_store_error", "what holds when the store is down"),
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
	return name.len <= NAME_MAX_BYTES;
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
		const void *auth;
		if (!is_plain(limit[i].name)) {
			conf_complain_key(r, "rate_limit", "the name of a rate limit is at most %d plain characters", NAME_MAX_BYTES);
			return false;
		}
		if (rate_key_has(&limit[i].key, RATE_KEY_CLAIM) && conf_beside(r, "auth", &auth) && !auth_is_on(auth)) {
			conf_complain_key(r, "rate_limit", "a key of 'jwt:' needs 'auth.jwt' on the same route");
			conf_hint(r, "add auth: {jwt: {jwks: ..., audience: ...}} to it, or take another key");
			return false;
		}
	}
	return true;
}

static const struct conf_block rate_limit_block = {
	.keys = rate_limit_keys, .size = sizeof(struct rate_limit_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .check = rate_limit_check,
	.help = "requests per key and time",
};

static struct bucket_conf bucket_conf_of(const struct limit_conf *c)
{
	return (struct bucket_conf){
		.algorithm = (enum algorithm_of_bucket)c->algorithm, .count = c->rate.count, .per_us = c->rate.per_us,
		.burst = c->burst ? c->burst : c->rate.count,
	};
}

/* ── one per route and process ── */

struct limit_core {
	struct bucket_conf  conf;
	uint64_t            max_keys, allowed, limited;
	struct bucket_table table;
	char                name[NAME_MAX_BYTES + 16]; unsigned name_len;
};
struct rate_limit_core {
	pthread_mutex_t lock;
	uint64_t        seed;
	unsigned        count;
	struct limit_core limit[LIMITS_MAX];
};

static void name_limit(struct limit_core *l, const struct limit_conf *c, unsigned index)
{
	struct text t;
	text_over(&t, l->name, sizeof(l->name));
	if (c->name.len)
		text_add(&t, c->name);
	else {
		text_add(&t, SPAN("limit"));
		if (index)
			text_u64(&t, index + 1);
	}
	l->name_len = (unsigned)t.len;
}

static bool core_init(void *memory, const void *with)
{
	struct rate_limit_core *core = memory;
	const struct rate_limit_conf *c = with;
	const struct limit_conf *limit = c->limits.at;

	if (getrandom(&core->seed, sizeof(core->seed), 0) != (ssize_t)sizeof(core->seed))
		return false;
	for (core->count = 0; core->count < c->limits.count; core->count++) {
		struct limit_core *l = &core->limit[core->count];
		l->conf = bucket_conf_of(&limit[core->count]);
		l->max_keys = limit[core->count].max_keys;
		name_limit(l, &limit[core->count], core->count);
		if (!bucket_table_init(&l->table, l->max_keys))
			goto fail;
	}
	if (pthread_mutex_init(&core->lock, NULL) == 0)
		return true;
fail:
	while (core->count-- > 0)
		bucket_table_fini(&core->limit[core->count].table);
	return false;
}

static void core_fini(void *memory)
{
	struct rate_limit_core *core = memory;
	for (unsigned i = 0; i < core->count; i++)
		bucket_table_fini(&core->limit[i].table);
	pthread_mutex_destroy(&core->lock);
}

/* Another rate holds at once, over what was charged so far. Other limits, algorithms or sizes begin with fresh tables. */
static void core_adapt(void *memory, const void *with)
{
	struct rate_limit_core *core = memory;
	const struct rate_limit_conf *c = with;
	const struct limit_conf *limit = c->limits.at;

	pthread_mutex_lock(&core->lock);
	for (unsigned i = 0; i < c->limits.count; i++) {
		struct limit_core *l = &core->limit[i];
		struct bucket_conf conf = bucket_conf_of(&limit[i]);
		bool same = i < core->count && l->max_keys == limit[i].max_keys && l->conf.algorithm == conf.algorithm
			&& (conf.algorithm == BUCKET_GCRA || l->conf.per_us == conf.per_us);
		struct bucket_table fresh;
		if (!same && bucket_table_init(&fresh, limit[i].max_keys)) {
			if (i < core->count)
				bucket_table_fini(&l->table);
			else
				core->count = i + 1;
			l->table = fresh;
			l->max_keys = limit[i].max_keys;
			same = true;
		}
		if (!same)
			break;                    /* no memory: what was there goes on as it was */
		l->conf = conf;
		name_limit(l, &limit[i], i);
	}
	while (core->count > c->limits.count)
		bucket_table_fini(&core->limit[--core->count].table);
	pthread_mutex_unlock(&core->lock);
}

/* ── how it is seen ── */

struct seen_limit { struct label name; char memory[NAME_MAX_BYTES + 16]; uint64_t allowed, limited, keys, overflowed; };
struct seen { unsigned count; struct seen_limit at[LIMITS_MAX]; };

static void look(void *memory, struct seen *seen)
{
	struct rate_limit_core *core = memory;
	pthread_mutex_lock(&core->lock);
	seen->count = core->count;
	for (unsigned i = 0; i < core->count; i++) {
		const struct limit_core *l = &core->limit[i];
		memcpy(seen->at[i].memory, l->name, l->name_len);
		seen->at[i].name = (struct label){ "limit", { seen->at[i].memory, l->name_len } };
		seen->at[i].allowed = l->allowed;
		seen->at[i].limited = l->limited;
		seen->at[i].keys = l->table.used;
		seen->at[i].overflowed = l->table.overflowed;
	}
	pthread_mutex_unlock(&core->lock);
}

static void read_decisions(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++) {
		const struct label allowed[] = { seen.at[i].name, { "decision", SPAN("allowed") } };
		const struct label limited[] = { seen.at[i].name, { "decision", SPAN("limited") } };
		out->real(out, allowed, 2, (double)seen.at[i].allowed);
		out->real(out, limited, 2, (double)seen.at[i].limited);
	}
}

static void read_keys(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++)
		out->real(out, &seen.at[i].name, 1, (double)seen.at[i].keys);
}

static void read_overflow(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++)
		out->real(out, &seen.at[i].name, 1, (double)seen.at[i].overflowed);
}

static const struct core_series series[] = {
	{ "outrigger_rate_limit_decisions_total", "counter", "Requests as a rate limit decided on them.", read_decisions },
	{ "outrigger_rate_limit_keys", "gauge", "Keys that are told apart now.", read_keys },
	{ "outrigger_rate_limit_overflow_total", "counter", "Requests whose key had to share one allowance: max_keys is too low.",
		read_overflow },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct seen seen;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++) {
		seen.at[i].memory[seen.at[i].name.value.len] = '\0';
		json_open(j, seen.at[i].memory, '{');
		json_u64(j, "allowed", seen.at[i].allowed);
		json_u64(j, "limited", seen.at[i].limited);
		json_u64(j, "keys", seen.at[i].keys);
		json_close(j, '}');
	}
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct seen seen;
	uint64_t allowed = 0, limited = 0;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++) {
		allowed += seen.at[i].allowed;
		limited += seen.at[i].limited;
	}
	text_f(out, "%llu let through, %llu limited", (unsigned long long)allowed, (unsigned long long)limited);
}

static const struct core_kind rate_limit_kind = {
	.name = "rate_limit", .label = "route", .size = sizeof(struct rate_limit_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json, .summary = summary,
};

/* ── the door ── */

struct rate_limit {
	struct policy  base;
	unsigned       count;
	struct limit_conf  limit[LIMITS_MAX];
	struct shared *shared;
	struct rate_limit_core *core;
	struct span    policy;                /* RateLimit-Policy, the same for all */
	char           policy_memory[LIMITS_MAX * (NAME_MAX_BYTES + 64)];
};

static void write_policy(struct rate_limit *d)
{
	struct text t;
	text_over(&t, d->policy_memory, sizeof(d->policy_memory));
	for (unsigned i = 0; i < d->count; i++) {
		struct bucket_conf c = bucket_conf_of(&d->limit[i]);
		text_f(&t, "%s\"%.*s\";q=%llu;w=%llu", i ? ", " : "", (int)d->core->limit[i].name_len, d->core->limit[i].name,
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
	d->core = shared_take(env->shared, &rate_limit_kind, env->route->name, settings);
	if (d->core) {
		write_policy(d);
		return &d->base;
	}
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

struct decision { struct bucket *bucket[LIMITS_MAX]; struct bucket_answer answer[LIMITS_MAX]; bool counts[LIMITS_MAX]; };

/* With the lock held. Returns the limit that refuses, or the count: none does. Only what enforces can refuse; a dry_run is noted in *dry. */
static unsigned decide(struct rate_limit *d, const struct exchange *ex, struct decision *made, bool *dry)
{
	uint64_t now = ex->worker->now_us;
	unsigned refuses = d->count;
	for (unsigned i = 0; i < d->count; i++) {
		struct limit_core *l = &d->core->limit[i];
		struct bucket_key key;
		bool whole = rate_key_of(&d->limit[i].key, ex, d->core->seed, &key);
		made->counts[i] = whole || d->limit[i].missing != MISSING_SKIP;
		if (!made->counts[i])
			continue;
		made->bucket[i] = bucket_table_find(&l->table, key, &l->conf, now);
		made->answer[i] = bucket_look(made->bucket[i], &l->conf, now);
		if (!whole && d->limit[i].missing == MISSING_DENY)
			made->answer[i] = (struct bucket_answer){ .allowed = false, .wait_us = 1000000 };
		if (made->answer[i].allowed)
			continue;
		if (d->limit[i].dry_run)
			*dry = true;
		else if (refuses == d->count || made->answer[i].wait_us > made->answer[refuses].wait_us)
			refuses = i;              /* the longest wait is the true one */
	}
	for (unsigned i = 0; i < d->count; i++) {
		struct limit_core *l = &d->core->limit[i];
		if (!made->counts[i])
			continue;
		*(made->answer[i].allowed ? &l->allowed : &l->limited) += 1;
		if (refuses == d->count && made->answer[i].allowed)
			bucket_charge(made->bucket[i], &l->conf, now);
	}
	return refuses;
}

static uint64_t seconds_of(uint64_t us) { return (us + 999999) / 1000000; }

/* "orders";r=99;t=1, ... */
static void tell(struct rate_limit *d, struct exchange *ex, const struct decision *made)
{
	size_t size = d->count * (NAME_MAX_BYTES + 64);
	char *memory = arena_text(&ex->arena, size);
	struct text t;
	if (!memory)
		return;
	text_over(&t, memory, size);
	for (unsigned i = 0; i < d->count; i++) {
		if (!made->counts[i])
			continue;
		text_add(&t, t.len ? SPAN(", \"") : SPAN("\""));
		text_add(&t, (struct span){ d->core->limit[i].name, d->core->limit[i].name_len });
		text_add(&t, SPAN("\";r="));
		text_u64(&t, made->answer[i].allowed ? made->answer[i].remaining : 0);
		text_add(&t, SPAN(";t="));
		text_u64(&t, seconds_of(made->answer[i].allowed ? made->answer[i].reset_us : made->answer[i].wait_us));
	}
	exchange_add_reply_field(ex, SPAN("ratelimit-policy"), d->policy);
	if (t.len)
		exchange_add_reply_field(ex, SPAN("ratelimit"), text_span(&t));
}

static enum answer rate_limit_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct rate_limit *d = (struct rate_limit *)p;
	struct decision made;
	bool dry = false;
	(void)memory;

	pthread_mutex_lock(&d->core->lock);
	unsigned refuses = decide(d, ex, &made, &dry);
	pthread_mutex_unlock(&d->core->lock);
	tell(d, ex, &made);
	if (dry)
		exchange_turn_away(ex, true, REASON_rate_limited, 0, NULL);
	if (refuses == d->count)
		return PASS;
	uint64_t seconds = seconds_of(made.answer[refuses].wait_us);
	return exchange_turn_away(ex, false, REASON_rate_limited, (unsigned)(seconds ? seconds : 1), NULL);
}

const struct policy_type rate_limit_policy = {
	.name = "rate_limit", .block = &rate_limit_block, .wanted = rate_limit_wanted, .open = rate_limit_open, .close = rate_limit_close,
	.admit = rate_limit_admit,
};
