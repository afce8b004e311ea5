/* rate_limit_core.c - see rate_limit_core.h. */
#include "rate_limit_core.h"

#include <sys/random.h>

struct bucket_conf bucket_conf_of(const struct limit_conf *c)
{
	return (struct bucket_conf){
		.algorithm = (enum algorithm_of_bucket)c->algorithm, .count = c->rate.count, .per_us = c->rate.per_us,
		.burst = c->burst ? c->burst : c->rate.count,
	};
}

/* ── one per route and process ── */

void limit_name(struct limit_name *n, const struct limit_conf *c, unsigned index)
{
	struct text t;
	text_over(&t, n->at, sizeof(n->at));
	if (c->name.len)
		text_add(&t, c->name);
	else {
		text_add(&t, SPAN("limit"));
		if (index)
			text_u64(&t, index + 1);
	}
	n->len = (unsigned)t.len;
}

/* A table of before a crash is found again when everything about it is the same. */
static bool make_table(struct rate_limit_core *core, const struct rate_limit_with *with, unsigned index, struct bucket_table *out)
{
	const struct limit_conf *c = (const struct limit_conf *)with->conf->limits.at + index;
	struct bucket_conf bucket = bucket_conf_of(c);
	char words[256];
	struct text name;
	bool found;

	text_over(&name, words, sizeof(words));
	text_f(&name, "rate_limit %u %u %llu %llu ", index, (unsigned)bucket.algorithm, (unsigned long long)c->max_keys,
		bucket.algorithm == BUCKET_GCRA ? 0ULL : (unsigned long long)bucket.per_us);
	text_add(&name, with->route);
	void *memory = lasting_take(core->shared, text_span(&name), bucket_table_bytes(c->max_keys), &found);
	if (!memory)
		return false;
	bucket_table_init(out, memory, c->max_keys);
	if (!core->seed)
		core->seed = out->rows->seed;     /* its keys are hashed with that */
	return true;
}

static bool core_init(void *memory, const void *parameters)
{
	struct rate_limit_core *core = memory;
	const struct rate_limit_with *with = parameters;
	const struct rate_limit_conf *c = with->conf;
	const struct limit_conf *limit = c->limits.at;

	core->shared = with->shared;
	for (core->count = 0; core->count < c->limits.count; core->count++) {
		struct limit_core *l = &core->limit[core->count];
		l->conf = bucket_conf_of(&limit[core->count]);
		l->max_keys = limit[core->count].max_keys;
		limit_name(&l->name, &limit[core->count], core->count);
		if (!make_table(core, with, core->count, &l->table))
			goto fail;
	}
	if (!core->seed && getrandom(&core->seed, sizeof(core->seed), 0) != (ssize_t)sizeof(core->seed))
		goto fail;
	for (unsigned i = 0; i < core->count; i++)
		core->limit[i].table.rows->seed = core->seed;
	core->tables = core->count;
	if (pthread_mutex_init(&core->lock, NULL) == 0)
		return true;
fail:
	while (core->count-- > 0)
		lasting_give(core->shared, core->limit[core->count].table.rows);
	return false;
}

static void core_fini(void *memory)
{
	struct rate_limit_core *core = memory;
	for (unsigned i = 0; i < core->tables; i++)
		lasting_give(core->shared, core->limit[i].table.rows);
	pthread_mutex_destroy(&core->lock);
}

/* Another rate holds at once, over what was charged so far. Other limits, algorithms or sizes begin with fresh tables. */
static void core_adapt(void *memory, const void *parameters)
{
	struct rate_limit_core *core = memory;
	const struct rate_limit_with *with = parameters;
	const struct rate_limit_conf *c = with->conf;
	const struct limit_conf *limit = c->limits.at;

	pthread_mutex_lock(&core->lock);
	for (unsigned i = 0; i < c->limits.count; i++) {
		struct limit_core *l = &core->limit[i];
		struct bucket_conf conf = bucket_conf_of(&limit[i]);
		bool same = i < core->tables && l->max_keys == limit[i].max_keys && l->conf.algorithm == conf.algorithm
			&& (conf.algorithm == BUCKET_GCRA || l->conf.per_us == conf.per_us);
		struct bucket_table fresh;
		if (!same && make_table(core, with, i, &fresh)) {
			if (i < core->tables)
				lasting_give(core->shared, l->table.rows);
			else
				core->tables = i + 1;
			l->table = fresh;
			l->table.rows->seed = core->seed;
			l->max_keys = limit[i].max_keys;
			same = true;
		}
		if (!same)
			break;                    /* no memory: what was there goes on as it was */
		l->conf = conf;
		limit_name(&l->name, &limit[i], i);
	}
	core->count = c->limits.count < core->tables ? c->limits.count : core->tables;
	pthread_mutex_unlock(&core->lock);
}

bool rate_limit_core_has(struct rate_limit_core *core, unsigned limits)
{
	pthread_mutex_lock(&core->lock);
	bool all = limits <= core->tables;
	pthread_mutex_unlock(&core->lock);
	return all;
}

/* ── how it is seen ── */

struct seen_limit { struct label name; char memory[LIMIT_NAME_MAX + 16]; uint64_t allowed, limited, keys, overflowed; bool degraded; };
struct seen { unsigned count; struct seen_limit at[LIMITS_MAX]; };

static void look(void *memory, struct seen *seen)
{
	struct rate_limit_core *core = memory;
	pthread_mutex_lock(&core->lock);
	seen->count = core->count;
	for (unsigned i = 0; i < core->count; i++) {
		const struct limit_core *l = &core->limit[i];
		memcpy(seen->at[i].memory, l->name.at, l->name.len);
		seen->at[i].name = (struct label){ "limit", { seen->at[i].memory, l->name.len } };
		seen->at[i].allowed = l->allowed;
		seen->at[i].limited = l->limited;
		seen->at[i].keys = l->table.rows->used;
		seen->at[i].overflowed = l->table.overflowed;
		seen->at[i].degraded = l->degraded != 0;
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

static void read_degraded(void *core, uint64_t now_us, struct samples *out)
{
	struct seen seen;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++)
		out->real(out, &seen.at[i].name, 1, seen.at[i].degraded);
}

static const struct core_series series[] = {
	{ "outrigger_rate_limit_decisions_total", "counter", "Requests as a rate limit decided on them.", read_decisions },
	{ "outrigger_rate_limit_keys", "gauge", "Keys that are told apart now.", read_keys },
	{ "outrigger_rate_limit_overflow_total", "counter", "Requests whose key had to share one allowance: max_keys is too low.",
		read_overflow },
	{ "outrigger_rate_limit_degraded", "gauge", "Does some worker decide alone, because the store is gone?", read_degraded },
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
		json_bool(j, "degraded", seen.at[i].degraded);
		json_close(j, '}');
	}
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct seen seen;
	uint64_t allowed = 0, limited = 0;
	bool degraded = false;
	(void)now_us;
	look(core, &seen);
	for (unsigned i = 0; i < seen.count; i++) {
		allowed += seen.at[i].allowed;
		limited += seen.at[i].limited;
		degraded |= seen.at[i].degraded;
	}
	text_f(out, "%llu let through, %llu limited", (unsigned long long)allowed, (unsigned long long)limited);
	if (degraded)
		text_add(out, SPAN(", alone: the store is gone"));
}

const struct core_kind rate_limit_kind = {
	.name = "rate_limit", .label = "route", .size = sizeof(struct rate_limit_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json, .summary = summary,
};
