/* guard.c - takes a canary's share back when it is clearly worse than the version that it is compared with (behaviour §16).
 *
 * The door stands behind the split, once for each version, and sees what requests to it come to, each once: an error is a 5xx of the upstream,
 * what the upstream did to us, or our whole time without a reply. Our own refusals and clients that left say nothing. Once told, it holds until
 * an operator resets it; over reloads, too.
 */
#include <stdlib.h>

#include "base/log.h"
#include "core/exchange.h"
#include "policy/registry.h"
#include "split_core.h"

enum { ROLLBACK, REPORT };
static const char *const actions[] = { "rollback", "report", NULL };

struct guard_conf { struct guard_limits limits; struct span compare; unsigned action; };

/* "1.5": digits, and at most three behind a point. */
static bool read_ratio(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct span rest = text, whole, part = SPAN_NONE;
	uint64_t units, thousandths = 0;
	bool ok = span_next(&rest, '.', &whole) && span_to_u64(whole, 1000, &units);
	(void)index;
	if (ok && rest.at) {
		part = rest;
		ok = part.len <= 3 && span_to_u64(part, 999, &thousandths);
	}
	for (size_t i = part.len; i < 3; i++)
		thousandths *= 10;
	if (ok && (units > 0 || !thousandths)) {
		*(double *)field = (double)units + (double)thousandths / 1000;
		return true;
	}
	conf_complain(r, text, "'max_p95_ratio' must be a number from 1 to 1000, or 0, not '" SPAN_FMT "'", SPAN_ARG(text));
	conf_hint(r, "write 1.5");
	return false;
}

#define CONF struct guard_conf
static const struct conf_key guard_keys[] = {
	CONF_ROW(CONF, "compare", compare, CONF_T_TEXT, .example = "v1",
		.help = "the version that all others are compared with; default: the first, which is the stable one"),
	CONF_DURATION(CONF, "window", limits.window_us, "1m", "1s", "1h", "results of so long are looked at"),
	CONF_COUNT(CONF, "min_requests", limits.min_requests, "200", "1", "1000000", "it says nothing before both versions have so many"),
	CONF_SHARE(CONF, "max_error_delta", limits.max_error_delta, "2%", "so much higher may its share of errors be"),
	CONF_CUSTOM(CONF, "max_p95_ratio", limits.max_p95_ratio, read_ratio, "1.5",
		"so many times as long may the time until the head take, at the 95th percentile; 0: it does not count"),
	CONF_WORD(CONF, "action", action, actions, "rollback", "take the share back until it is reset, or only report it"),
	CONF_END
};
#undef CONF

static bool guard_check(struct conf_reading *r, void *settings)
{
	const struct guard_conf *c = settings;
	const struct conf_route *route = conf_route_of(r);
	bool named = !c->compare.len;
	if (!route || !route->to.map.count) {
		conf_complain(r, SPAN_NONE, "'guard' needs several upstreams");
		conf_hint(r, "write upstream: {v1: 95%%, v2: 5%%}");
		return false;
	}
	for (unsigned i = 0; i < route->to.map.count; i++)
		named |= span_eq(route->to.map.at[i].name, c->compare);
	if (named)
		return true;
	conf_complain_key(r, "compare", "'" SPAN_FMT "' is none of this route's upstreams", SPAN_ARG(c->compare));
	return false;
}

static const struct conf_block guard_block = {
	.name = "guard", .keys = guard_keys, .size = sizeof(struct guard_conf), .levels = CONF_ROUTE, .optional = true, .check = guard_check,
	.help = "take a canary's share back when it does worse; POST /routes/NAME/split?state=reset on the admin listener gives it again",
};

struct guard {
	struct policy         base;
	struct guard_conf     conf;
	struct shared        *shared;
	struct split_core    *core;
	struct split_version *version, *compare;
	struct span           route;
};
struct guard_slot { uint64_t begun_us; bool judged; };

static bool guard_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return present && route->to.map.count > 1;
}

static struct policy *guard_open(const void *settings, const struct policy_env *env)
{
	struct guard *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->base.type = &guard_policy;
	g->conf = *(const struct guard_conf *)settings;
	g->shared = env->shared;
	g->route = env->route->name;
	g->core = split_core_take(env, NULL);             /* the split's door has made it */
	if (g->core && split_core_watch(g->core, g->conf.limits.window_us)) {
		struct span compare = g->conf.compare.len ? g->conf.compare : env->route->to.map.at[0].name;
		g->version = &g->core->version[split_version_of(g->core, env->upstream->name)];
		g->compare = &g->core->version[split_version_of(g->core, compare)];
		return &g->base;
	}
	if (g->core)
		shared_give(g->shared, g->core);
	free(g);
	return NULL;
}

static void guard_close(struct policy *p)
{
	struct guard *g = (struct guard *)p;
	shared_give(g->shared, g->core);
	free(g);
}

/* ── the verdict ── */

static void log_side(struct log_line *l, const char *requests, const char *errors, const char *p95, const struct watch_sum *s)
{
	log_u64(l, requests, s->calls);
	log_u64(l, errors, s->failures);
	log_f(l, p95, "%.3f", (double)s->p95_us / 1e3);
}

static void tell(const struct guard *g, enum guard_cause why, const struct watch_sum *canary, const struct watch_sum *compare)
{
	struct log_line l;
	log_begin(&l, LOG_WARN, "guard");
	log_span(&l, "route", g->route);
	log_span(&l, "upstream", split_version_name(g->version));
	log_text(&l, "action", actions[g->conf.action]);
	log_text(&l, "cause", guard_cause_name(why));
	log_side(&l, "requests", "errors", "p95_ms", canary);
	log_span(&l, "compare", split_version_name(g->compare));
	log_side(&l, "compare_requests", "compare_errors", "compare_p95_ms", compare);
	log_end(&l);
}

/* Errors are looked at with each result, latency, which costs more, every so often. With the lock held; g->compare has a watch. */
static enum guard_cause judge(const struct guard *g, uint64_t now_us, struct watch_sum *canary, struct watch_sum *compare)
{
	const struct guard_limits *limits = &g->conf.limits;
	struct split_version *v = g->version;

	*canary = watch_counts(v->watch, limits->window_us, now_us);
	*compare = watch_counts(g->compare->watch, limits->window_us, now_us);
	if (canary->calls < limits->min_requests || compare->calls < limits->min_requests)
		return GUARD_FINE;
	bool errors = guard_judge(limits, canary, compare) != GUARD_FINE;
	if (!errors && v->judged_us && now_us - v->judged_us < limits->window_us / 600)
		return GUARD_FINE;
	v->judged_us = now_us;
	*canary = watch_sum(v->watch, limits->window_us, now_us);
	*compare = watch_sum(g->compare->watch, limits->window_us, now_us);
	return guard_judge(limits, canary, compare);
}

static void record(struct guard *g, uint64_t now_us, bool failed, uint64_t took_us)
{
	struct split_version *v = g->version;
	uint64_t window_us = g->conf.limits.window_us;
	struct watch_sum canary, compare;
	enum guard_cause why = GUARD_FINE;

	pthread_mutex_lock(&g->core->lock);
	if (g->core->watch_width_us == window_us && v->watch) {   /* else: of an older configuration */
		watch_add(v->watch, window_us, now_us, failed, took_us);
		bool told = v->told != GUARD_FINE && (g->conf.action == REPORT || split_is_taken_back(v));
		if (v != g->compare && !v->stable && !told && g->compare->watch)
			why = judge(g, now_us, &canary, &compare);
	}
	if (why != GUARD_FINE) {
		v->told = why;
		v->then = canary;
		v->compared = compare;
		if (g->conf.action == ROLLBACK)
			split_take_back(v, true);
	}
	pthread_mutex_unlock(&g->core->lock);
	if (why != GUARD_FINE)
		tell(g, why, &canary, &compare);
}

/* ── the door ── */

static enum answer guard_admit(struct policy *p, struct exchange *ex, void *memory)
{
	(void)p;
	((struct guard_slot *)memory)->begun_us = ex->worker->now_us;
	return PASS;
}

/* A deadline of the client's own says nothing about the upstream. */
static bool had_its_time(const struct exchange *ex, const struct guard_slot *slot)
{
	return ex->patience_us && ex->worker->now_us - slot->begun_us >= ex->patience_us / 10 * 9;
}

static enum answer guard_judge_reply(struct policy *p, struct exchange *ex, void *memory)
{
	struct guard *g = (struct guard *)p;
	struct guard_slot *slot = memory;
	enum reason why = ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
	uint64_t took_us = ex->worker->now_us - slot->begun_us;

	slot->judged = true;
	if (why == REASON_NONE)
		record(g, ex->worker->now_us, ex->reply.status >= 500, took_us);
	else if (reason_facts(why)->by_upstream || (why == REASON_deadline_exceeded && had_its_time(ex, slot)))
		record(g, ex->worker->now_us, true, UINT64_MAX);
	return PASS;
}

static void guard_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct guard *g = (struct guard *)p;
	const struct guard_slot *slot = memory;
	if (how == END_CUT && ex->cut_by == REASON_deadline_exceeded && !slot->judged && had_its_time(ex, slot))
		record(g, ex->worker->now_us, true, UINT64_MAX);
}

const struct policy_type guard_policy = {
	.name = "guard", .block = &guard_block, .wanted = guard_wanted, .slot_size = sizeof(struct guard_slot), .open = guard_open,
	.close = guard_close, .admit = guard_admit, .judge = guard_judge_reply, .settle = guard_settle,
};
