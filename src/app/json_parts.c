/* json_parts.c - see json_parts.h. Counters only grow, so two readings make a rate. */
#include "json_parts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "app/health.h"
#include "core/keys.h"
#include "totals.h"

/* ── what policies tell of themselves ── */

struct seen { struct json *j; const char *label; struct span name; };

static void put_core(void *self, const struct core_kind *kind, struct span name, void *core)
{
	const struct seen *seen = self;
	if (!kind->state || strcmp(kind->label, seen->label) != 0 || !span_eq(name, seen->name))
		return;
	json_open(seen->j, kind->name, '{');
	kind->state(core, clock_now_us(), seen->j);
	json_close(seen->j, '}');
}

static void put_policies(const struct server *s, const char *label, struct span name, struct json *j)
{
	shared_each(s->shared, NULL, put_core, &(struct seen){ j, label, name });
}

static void put_keys(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct json *j = self;
	json_open(j, NULL, '{');
	json_span(j, kind->label, name);
	kind->state(core, clock_now_us(), j);
	json_close(j, '}');
}

void json_keys(const struct server *s, struct json *j, const char *key)
{
	json_open(j, key, '[');
	shared_each(s->shared, &key_source_kind, put_keys, j);
	json_close(j, ']');
}

/* ── routes ── */

static void put_counters(const struct server *s, unsigned route, struct json *j)
{
	static const char *const classes[STATUS_CLASSES] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
	struct route_summary sum;
	route_summary(s, route, &sum);
	json_u64(j, "requests", sum.requests);
	json_open(j, "by_class", '{');
	for (unsigned i = 0; i < STATUS_CLASSES; i++)
		json_u64(j, classes[i], sum.by_class[i]);
	json_close(j, '}');
	json_u64(j, "in_flight", sum.in_flight);
	json_u64(j, "retries", sum.retries);
	json_fixed(j, "p50_ms", (double)hist_quantile_us(&sum.all, 0.50) / 1e3, 3);
	json_fixed(j, "p95_ms", (double)hist_quantile_us(&sum.all, 0.95) / 1e3, 3);
	json_fixed(j, "p99_ms", (double)hist_quantile_us(&sum.all, 0.99) / 1e3, 3);
}

/* Only reasons that have occurred: for people and pages; the metrics have them all. */
static void put_reasons(const struct server *s, unsigned route, struct json *j)
{
	json_open(j, "reasons", '{');
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		uint64_t n = route_total(s, route, offsetof(struct route_stats, reasons) + r * sizeof(uint64_t));
		if (n)
			json_u64(j, reason_name((enum reason)r), n);
	}
	json_close(j, '}');
}

static void put_texts(struct json *j, const char *key, const struct conf_texts *texts)
{
	json_open(j, key, '[');
	for (unsigned i = 0; i < texts->count; i++)
		json_span(j, NULL, texts->at[i]);
	json_close(j, ']');
}

void json_routes(const struct server *s, struct json *j, const char *key)
{
	json_open(j, key, '[');
	for (unsigned i = 0; i <= s->conf->route_count; i++) {
		const struct conf_route *c = i < s->conf->route_count ? &s->conf->routes[i] : NULL;
		json_open(j, NULL, '{');
		json_span(j, "name", route_name(s, i));
		if (c) {
			put_texts(j, "hosts", &c->hosts);
			json_span(j, "path", c->path);
			put_texts(j, "methods", &c->methods);
			if (c->upstream)
				json_span(j, "upstream", c->upstream->name);
		}
		put_counters(s, i, j);
		put_reasons(s, i, j);
		put_policies(s, "route", route_name(s, i), j);
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* ── upstreams ── */

static void put_address(struct json *j, const struct address *a)
{
	char text[INET6_ADDRSTRLEN + 16] = "", ip[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&a->at;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&a->at;
	if (a->at.ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)))
		snprintf(text, sizeof(text), "%s:%u", ip, ntohs(v4->sin_port));
	else if (a->at.ss_family == AF_INET6 && inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip)))
		snprintf(text, sizeof(text), "[%s]:%u", ip, ntohs(v6->sin6_port));
	else if (a->at.ss_family == AF_UNIX) {
		json_text(j, NULL, ((const struct sockaddr_un *)(const void *)&a->at)->sun_path);
		return;
	}
	json_text(j, NULL, text);
}

/* Copied under the lock, written without it. */
static void put_locked_parts(struct endpoint *e, struct json *j)
{
	struct address addresses[ENDPOINT_ADDRESSES];
	char error[sizeof(e->last_error)];

	pthread_mutex_lock(&e->upstream->lock);
	unsigned count = e->address_count;
	enum reason why = e->no_address;
	memcpy(addresses, e->addresses, count * sizeof(*addresses));
	memcpy(error, e->last_error, sizeof(error));
	pthread_mutex_unlock(&e->upstream->lock);
	json_open(j, "addresses", '[');
	for (unsigned i = 0; i < count; i++)
		put_address(j, &addresses[i]);
	json_close(j, ']');
	if (error[0])
		json_text(j, "last_error", error);
	else if (!count)
		json_text(j, "last_error", reason_name(why));
}

static void put_endpoint(struct endpoint *e, struct json *j)
{
	uint64_t now = clock_now_us(), until = counter_get(&e->ejected_until_us);
	json_open(j, NULL, '{');
	json_span(j, "endpoint", e->name);
	json_text(j, "state", endpoint_state_name(endpoint_state(e, now)));
	json_u64(j, "weight", e->weight);
	json_u64(j, "in_flight", counter_get(&e->in_flight));
	json_u64(j, "connections", counter_get(&e->connections));
	json_u64(j, "served", counter_get(&e->served));
	json_u64(j, "errors", counter_get(&e->errors));
	if (counter_get(&e->latency_at_us))       /* balance: ewma */
		json_fixed(j, "latency_ms", (double)counter_get(&e->latency_ns) / 1e6, 3);
	json_u64(j, "consecutive_errors", counter_get(&e->consecutive_errors));
	json_fixed(j, "ejected_for_s", until > now ? (double)(until - now) / 1e6 : 0, 3);
	put_locked_parts(e, j);
	json_close(j, '}');
}

static void put_upstream_counters(const struct server *s, unsigned i, struct json *j)
{
	struct hist h = { 0 };
	upstream_hist(s, i, offsetof(struct upstream_stats, duration), &h);
	json_u64(j, "tries", hist_count_below(&h, UINT64_MAX));
	json_fixed(j, "p50_ms", (double)hist_quantile_us(&h, 0.50) / 1e3, 3);
	json_fixed(j, "p95_ms", (double)hist_quantile_us(&h, 0.95) / 1e3, 3);
	json_fixed(j, "p99_ms", (double)hist_quantile_us(&h, 0.99) / 1e3, 3);
	json_open(j, "errors", '{');
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		uint64_t n = upstream_total(s, i, offsetof(struct upstream_stats, errors) + r * sizeof(uint64_t));
		if (n)
			json_u64(j, reason_name((enum reason)r), n);
	}
	json_close(j, '}');
	if (s->conf->upstreams[i].health_check.present) {
		struct health_counts n = health_counts(s->health, s->upstreams[i]);
		json_open(j, "health_checks", '{');
		json_u64(j, "ok", n.ok);
		json_u64(j, "failed", n.failed);
		json_close(j, '}');
	}
}

void json_upstreams(const struct server *s, struct json *j, const char *key)
{
	json_open(j, key, '[');
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		struct endpoint_set *set = upstream_endpoints(s->upstreams[i]);
		json_open(j, NULL, '{');
		json_span(j, "name", s->conf->upstreams[i].name);
		json_bool(j, "required", s->conf->upstreams[i].required);
		put_upstream_counters(s, i, j);
		json_fixed(j, "queue_delay_ms", overload_queue_delay_us(s->upstreams[i]) / 1e3, 3);
		put_policies(s, "upstream", s->conf->upstreams[i].name, j);
		json_open(j, "endpoints", '[');
		for (unsigned k = 0; k < set->count; k++)
			put_endpoint(set->at[k], j);
		json_close(j, ']');
		json_close(j, '}');
		endpoint_set_unref(set);
	}
	json_close(j, ']');
}

void json_stores(const struct server *s, struct json *j, const char *key)
{
	json_open(j, key, '[');
	for (unsigned i = 0; i < s->conf->redis_count; i++) {
		json_open(j, NULL, '{');
		json_span(j, "name", s->conf->redis[i].name);
		put_policies(s, "store", s->conf->redis[i].name, j);
		json_close(j, '}');
	}
	json_close(j, ']');
}
