/* split_core.c - see split_core.h. How it is made, kept over reloads, and seen. */
#include "split_core.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "conf/conf.h"
#include "policy/split.h"

static struct split_version *find(struct split_core *core, struct span name)
{
	for (unsigned i = 0; i < VERSIONS_MAX; i++)
		if (core->version[i].name_len && span_eq(split_version_name(&core->version[i]), name))
			return &core->version[i];
	return NULL;
}

unsigned split_version_of(const struct split_core *core, struct span upstream)
{
	unsigned i = 0;
	while (!span_eq(split_version_name(&core->version[i]), upstream))
		must(++i < VERSIONS_MAX);
	return i;
}

/* A free place; else one that is listed no more. */
static struct split_version *place(struct split_core *core)
{
	for (unsigned i = 0; i < VERSIONS_MAX; i++)
		if (!core->version[i].name_len)
			return &core->version[i];
	unsigned i = 0;
	while (core->version[i].listed)
		must(++i < VERSIONS_MAX);
	return &core->version[i];
}

static void list_version(struct split_core *core, const struct conf_route *way, bool stable)
{
	struct span name = way->upstream->name;
	struct split_version *v = find(core, name);
	if (!v) {
		v = place(core);
		free(v->watch);
		*v = (struct split_version){ .name_len = (unsigned)name.len };
		must(name.len <= VERSION_NAME);           /* conf_upstreams.c: names have that limit, and a split is between names */
		memcpy(v->name, name.at, name.len);
	}
	v->listed = true;
	v->stable = stable;
	v->share = way->share;
}

static void adapt(void *memory, const void *with)
{
	struct split_core *core = memory;
	const struct conf_route *route = with;
	if (!route)
		return;
	pthread_mutex_lock(&core->lock);
	for (unsigned i = 0; i < VERSIONS_MAX; i++)
		core->version[i].listed = false;
	list_version(core, route, true);
	for (unsigned i = 0; i < route->other_count; i++)
		list_version(core, &route->others[i], false);
	pthread_mutex_unlock(&core->lock);
}

static bool init(void *memory, const void *with)
{
	struct split_core *core = memory;
	if (pthread_mutex_init(&core->lock, NULL) != 0)
		return false;
	adapt(core, with);
	return true;
}

static void fini(void *memory)
{
	struct split_core *core = memory;
	for (unsigned i = 0; i < VERSIONS_MAX; i++)
		free(core->version[i].watch);
	pthread_mutex_destroy(&core->lock);
}

bool split_core_watch(struct split_core *core, uint64_t width_us)
{
	bool ok = true;
	pthread_mutex_lock(&core->lock);
	for (unsigned i = 0; i < VERSIONS_MAX && ok; i++) {
		struct split_version *v = &core->version[i];
		if (!v->listed)
			continue;
		if (v->watch && core->watch_width_us != width_us)
			memset(v->watch, 0, sizeof(*v->watch));
		ok = v->watch || (v->watch = calloc(1, sizeof(*v->watch)));
	}
	core->watch_width_us = width_us;
	pthread_mutex_unlock(&core->lock);
	return ok;
}

void split_core_reset(struct split_core *core)
{
	for (unsigned i = 0; i < VERSIONS_MAX; i++) {
		struct split_version *v = &core->version[i];
		split_take_back(v, false);
		v->told = GUARD_FINE;
		if (v->watch)
			memset(v->watch, 0, sizeof(*v->watch));
	}
}

/* ── how it is seen ── */

struct looked { unsigned count; struct split_version at[VERSIONS_MAX]; struct watch_sum sum[VERSIONS_MAX]; };

static void look(struct split_core *core, uint64_t now_us, struct looked *out)
{
	out->count = 0;
	pthread_mutex_lock(&core->lock);
	for (unsigned i = 0; i < VERSIONS_MAX; i++) {
		const struct split_version *v = &core->version[i];
		if (!v->listed)
			continue;
		struct split_version *to = &out->at[out->count];
		*to = (struct split_version){ .name_len = v->name_len, .share = v->share, .told = v->told, .then = v->then, .compared = v->compared,
			.watch = v->watch };
		memcpy(to->name, v->name, v->name_len);
		to->requests = __atomic_load_n(&v->requests, __ATOMIC_RELAXED);
		for (unsigned d = 0; d < DIVERSION_COUNT; d++)
			to->diverted[d] = __atomic_load_n(&v->diverted[d], __ATOMIC_RELAXED);
		to->taken_back = split_is_taken_back(v);
		if (v->watch)
			out->sum[out->count] = watch_sum(v->watch, core->watch_width_us, now_us);
		out->count++;
	}
	pthread_mutex_unlock(&core->lock);
}

static void read_requests(void *core, uint64_t now_us, struct samples *out)
{
	struct looked all;
	look(core, now_us, &all);
	for (unsigned i = 0; i < all.count; i++)
		out->real(out, &(struct label){ "upstream", split_version_name(&all.at[i]) }, 1, (double)all.at[i].requests);
}

static void read_diverted(void *core, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		DIVERSIONS(X)
#undef X
	};
	struct looked all;
	look(core, now_us, &all);
	for (unsigned i = 0; i < all.count; i++)
		for (unsigned d = 0; d < DIVERSION_COUNT; d++) {
			const struct label labels[] = { { "upstream", split_version_name(&all.at[i]) }, { "cause", span_of(words[d]) } };
			out->real(out, labels, 2, (double)all.at[i].diverted[d]);
		}
}

static void read_taken_back(void *core, uint64_t now_us, struct samples *out)
{
	struct looked all;
	look(core, now_us, &all);
	for (unsigned i = 0; i < all.count; i++)
		out->real(out, &(struct label){ "upstream", split_version_name(&all.at[i]) }, 1, all.at[i].taken_back);
}

static const struct core_series series[] = {
	{ "outrigger_split_requests_total", "counter", "Requests of a split route by the upstream that they went to.", read_requests },
	{ "outrigger_split_diverted_total", "counter", "Requests that did not go to the upstream whose share they are, and why.", read_diverted },
	{ "outrigger_split_taken_back", "gauge", "1 while the share of this upstream is taken back.", read_taken_back },
	{ NULL, NULL, NULL, NULL }
};

static void put_sum(struct json *j, const char *key, const struct watch_sum *s)
{
	json_open(j, key, '{');
	json_u64(j, "requests", s->calls);
	json_u64(j, "errors", s->failures);
	json_fixed(j, "p95_ms", (double)s->p95_us / 1e3, 3);
	json_close(j, '}');
}

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct looked all;
	look(core, now_us, &all);
	json_open(j, "versions", '[');
	for (unsigned i = 0; i < all.count; i++) {
		const struct split_version *v = &all.at[i];
		json_open(j, NULL, '{');
		json_span(j, "upstream", split_version_name(v));
		json_fixed(j, "share", v->share, 6);
		json_u64(j, "requests", v->requests);
		json_u64(j, "diverted", v->diverted[DIVERTED_taken_back] + v->diverted[DIVERTED_unavailable]);
		json_bool(j, "taken_back", v->taken_back);
		if (v->watch)
			put_sum(j, "window", &all.sum[i]);
		if (v->told != GUARD_FINE) {
			json_text(j, "cause", guard_cause_name(v->told));
			put_sum(j, "then", &v->then);
			put_sum(j, "compared", &v->compared);
		}
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* v1 95% (1200), v2 5%, taken back: errors (63) */
static void words(void *core, uint64_t now_us, struct text *out)
{
	struct looked all;
	look(core, now_us, &all);
	for (unsigned i = 0; i < all.count; i++) {
		const struct split_version *v = &all.at[i];
		text_f(out, "%s" SPAN_FMT " %.10g%%", i ? ", " : "", SPAN_ARG(split_version_name(v)), v->share * 100);
		if (v->taken_back)
			text_f(out, " taken back%s%s", v->told ? ": " : "", guard_cause_name(v->told));
		text_f(out, " (%llu)", (unsigned long long)v->requests);
	}
}

static const struct core_kind split_kind = {
	.name = "split", .label = "route", .size = sizeof(struct split_core), .init = init, .adapt = adapt, .fini = fini, .series = series,
	.state = state_json, .summary = words,
};

struct split_core *split_core_take(const struct policy_env *env, const struct conf_route *route)
{
	return shared_take(env->shared, &split_kind, env->route->name, route);
}

/* ── the operator ── */

static void tell(struct span route, struct span state)
{
	struct log_line l;
	log_begin(&l, LOG_WARN, "split");
	log_span(&l, "route", route);
	log_span(&l, "state", state);
	log_text(&l, "cause", "admin");
	log_end(&l);
}

static void obey(void *self, const struct core_kind *kind, struct span name, void *memory)
{
	const bool *back = self;
	struct split_core *core = memory;
	(void)kind; (void)name;
	pthread_mutex_lock(&core->lock);
	split_core_reset(core);
	for (unsigned i = 0; i < VERSIONS_MAX; i++)
		split_take_back(&core->version[i], *back && core->version[i].listed && !core->version[i].stable);
	pthread_mutex_unlock(&core->lock);
}

enum split_answer split_set(struct shared *shared, struct span route, struct span state)
{
	bool back = span_eq(state, SPAN("rollback"));
	if (!back && !span_eq(state, SPAN("reset")))
		return SPLIT_NO_SUCH_STATE;
	if (!shared_with(shared, split_kind.name, route, obey, &back))
		return SPLIT_NO_SUCH_ROUTE;
	tell(route, state);
	return SPLIT_SET;
}
