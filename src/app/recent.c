/* recent.c - see recent.h. */
#include "recent.h"

#include <stdlib.h>

#include "totals.h"

enum { WEIGHT = 1024 };                   /* of one request when it is new */

struct series { struct hist before, recent; };
struct recent {
	const struct server *server;
	const struct conf   *conf;            /* whose routes these are: only compared */
	unsigned             count;           /* with "none" */
	struct series       *routes;
	struct hist          all;
};

/* What was before is not recent. */
static void begin(struct recent *r)
{
	free(r->routes);
	r->conf = r->server->conf;
	r->count = r->conf->route_count + 1;
	r->routes = calloc(r->count, sizeof(*r->routes));
	if (!r->routes)
		r->count = 0;
	for (unsigned i = 0; i < r->count; i++) {
		struct route_summary sum;
		route_summary(r->server, i, &sum);
		r->routes[i].before = sum.all;
	}
}

struct recent *recent_new(const struct server *s)
{
	struct recent *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->server = s;
	begin(r);
	return r;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	free(r->routes);
	free(r);
}

static void age(struct series *s, const struct hist *now)
{
	s->recent.count = 0;
	for (unsigned b = 0; b < HIST_BUCKETS; b++) {
		uint64_t fresh = now->bucket[b] > s->before.bucket[b] ? now->bucket[b] - s->before.bucket[b] : 0;
		s->recent.bucket[b] = s->recent.bucket[b] * 9 / 10 + fresh * WEIGHT;
		s->recent.count += s->recent.bucket[b];
	}
	s->before = *now;
}

void recent_tick(struct recent *r)
{
	r->all = (struct hist){ 0 };
	if (r->conf != r->server->conf)
		begin(r);
	for (unsigned i = 0; i < r->count; i++) {
		struct route_summary sum;
		route_summary(r->server, i, &sum);
		age(&r->routes[i], &sum.all);
		hist_merge(&r->all, &r->routes[i].recent);
	}
}

static void put(const struct hist *h, struct json *j)
{
	static const struct { const char *key; double q; } parts[] = { { "p50_ms", 0.50 }, { "p95_ms", 0.95 }, { "p99_ms", 0.99 } };
	for (unsigned i = 0; i < 3; i++)
		if (h->count >= WEIGHT / 2)
			json_fixed(j, parts[i].key, (double)hist_quantile_us(h, parts[i].q) / 1e3, 3);
		else
			json_text(j, parts[i].key, NULL);
}

void recent_json(const struct recent *r, struct json *j)
{
	json_open(j, "recent", '{');
	put(&r->all, j);
	json_open(j, "routes", '[');              /* in the order of "routes" */
	for (unsigned i = 0; i < r->count; i++) {
		json_open(j, NULL, '{');
		put(&r->routes[i].recent, j);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}
