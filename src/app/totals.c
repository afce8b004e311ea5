/* totals.c - see totals.h. Reads what belongs to running threads: only atomics, and pointers that were set before they ran. */
#include "totals.h"

enum { ALIVE_US = 5000000 };

static const struct route_stats *stats_of(const struct server *s, unsigned thread, unsigned route)
{
	const struct router *r = s->threads[thread].shown;
	return route < s->conf->route_count ? r->routes[route].stats : r->none.stats;
}

struct span route_name(const struct server *s, unsigned route)
{
	return route < s->conf->route_count ? s->conf->routes[route].name : SPAN("none");
}

uint64_t route_total(const struct server *s, unsigned route, size_t field)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < s->thread_count; i++)
		sum += counter_get((const uint64_t *)(const void *)((const char *)stats_of(s, i, route) + field));
	return sum;
}

uint64_t route_retries(const struct server *s, unsigned route, unsigned way, enum retry_result result)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct route *r = route < s->conf->route_count ? &s->threads[i].shown->routes[route] : &s->threads[i].shown->none;
		sum += way && way > r->other_count ? 0 : counter_get(&(way ? r->others[way - 1].retries : r->stats->retries)[result]);
	}
	return sum;
}

void route_hist(const struct server *s, unsigned route, size_t field, struct hist *out)
{
	for (unsigned i = 0; i < s->thread_count; i++)
		hist_merge(out, (const struct hist *)(const void *)((const char *)stats_of(s, i, route) + field));
}

void route_examples(const struct server *s, unsigned route, unsigned class, struct exemplars *out)
{
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct exemplars *e = __atomic_load_n(&stats_of(s, i, route)->examples[class], __ATOMIC_ACQUIRE);
		if (e)
			exemplars_merge(out, e);
	}
}

uint64_t route_statuses(const struct server *s, unsigned route, enum method m, uint64_t out[STATUS_SLOTS])
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < s->thread_count; i++) {
		const uint64_t *by_status = __atomic_load_n(&stats_of(s, i, route)->requests[m], __ATOMIC_ACQUIRE);
		if (by_status && !sum)
			memset(out, 0, STATUS_SLOTS * sizeof(*out));
		for (unsigned k = 0; by_status && k < STATUS_SLOTS; k++) {
			uint64_t n = counter_get(&by_status[k]);
			out[k] += n;
			sum += n;
		}
	}
	return sum;
}

uint64_t upstream_total(const struct server *s, unsigned upstream, size_t field)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < s->thread_count; i++)
		sum += counter_get((const uint64_t *)(const void *)((const char *)s->threads[i].shown->upstream_stats[upstream] + field));
	return sum;
}

void upstream_hist(const struct server *s, unsigned upstream, size_t field, struct hist *out)
{
	for (unsigned i = 0; i < s->thread_count; i++)
		hist_merge(out, (const struct hist *)(const void *)((const char *)s->threads[i].shown->upstream_stats[upstream] + field));
}

void route_summary(const struct server *s, unsigned route, struct route_summary *out)
{
	memset(out, 0, sizeof(*out));
	/* ends before beginnings: so that what begins meanwhile is counted as in flight, never below zero */
	uint64_t over = route_total(s, route, offsetof(struct route_stats, over));
	uint64_t started = route_total(s, route, offsetof(struct route_stats, started));
	out->in_flight = started > over ? started - over : 0;
	for (unsigned class = 0; class < STATUS_CLASSES; class++) {
		struct hist h = { 0 };
		route_hist(s, route, offsetof(struct route_stats, duration) + class * sizeof(struct hist), &h);
		out->by_class[class] = hist_count_below(&h, UINT64_MAX);
		out->requests += out->by_class[class];
		hist_merge(&out->all, &h);
	}
	unsigned others = route < s->conf->route_count ? s->conf->routes[route].other_count : 0;
	for (unsigned way = 0; way <= others; way++)
		out->retries += route_retries(s, route, way, RETRY_recovered) + route_retries(s, route, way, RETRY_failed);
}

void upstream_summary(struct upstream *u, uint64_t now_us, struct upstream_summary *out)
{
	struct endpoint_set *set = upstream_endpoints(u);
	*out = (struct upstream_summary){ .endpoints = set->count };
	for (unsigned i = 0; i < set->count; i++) {
		struct endpoint *e = set->at[i];
		enum endpoint_state state = endpoint_state(e, now_us);
		out->by_state[state]++;
		out->usable += state == ENDPOINT_healthy && endpoint_address_count(e) > 0;
		out->in_flight += counter_get(&e->in_flight);
		out->connections += counter_get(&e->connections);
	}
	endpoint_set_unref(set);
}

uint64_t server_connections(const struct server *s, unsigned listener)
{
	uint64_t open = 0;
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct listener *l = s->threads[i].shown_listeners->at[listener];
		uint64_t closed = counter_get(&l->closed), accepted = counter_get(&l->accepted);
		open += accepted > closed ? accepted - closed : 0;
	}
	return open;
}

/* A loop that waits turns once a second all the same (loop.c); threads that do not run yet, or no more, are not late. */
bool server_is_alive(const struct server *s)
{
	uint64_t now = clock_now_us();
	for (unsigned i = 0; i < s->thread_count; i++)
		if (s->threads[i].running && now > __atomic_load_n(s->threads[i].loop.pulse_us, __ATOMIC_RELAXED) + ALIVE_US)
			return false;
	return true;
}
