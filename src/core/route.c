/* route.c - what a worker has built for each route: the chain of doors, the slots' layout, the fields to set; once for each of its ways. */
#include "core/route.h"

#include <stdlib.h>

#include "base/must.h"
#include "core/store.h"
#include "route_index.h"

enum { ROUTER_ARENA_MAX = 256 * 1024 * 1024, SLOT_ALIGN = 16 };

/* Which of the configuration's blocks are the settings of this policy? */
static unsigned block_of(const struct conf *conf, const struct policy_type *type)
{
	unsigned i = 0;
	while (conf->blocks[i].keys != type->block->keys)
		must(++i < conf->block_count);    /* else the policy's block was not handed to conf_load */
	return i;
}

static bool is_wanted(const struct policy_type *type, const struct conf_route *r, const void *settings, bool present)
{
	if (type->wanted)
		return type->wanted(r, settings, present);
	return !type->block || !type->block->optional || present;
}

struct route_parts { const struct router_parts *given; struct router *router; };

static bool room_for_chain(struct route *r, unsigned count)
{
	r->chain = arena_take_zeroed(&r->router->arena, count * sizeof(*r->chain) + 1);
	r->slot_at = arena_take_zeroed(&r->router->arena, count * sizeof(*r->slot_at) + 1);
	return r->chain && r->slot_at;
}

static void add_door(struct route *r, struct policy *door)
{
	const struct policy_type *type = door->type;
	bool try_begun = r->attempt_from < r->depth;
	must(type->per_try || !try_begun);                /* registry.c: what belongs to a try stands innermost */
	if (!type->per_try)
		r->attempt_from = r->depth + 1;
	r->tapped |= type->tap != NULL;
	r->slot_at[r->depth] = r->slot_bytes;
	/* even an empty slot has an address of its own: exchange_cut finds the door by it */
	r->slot_bytes += (type->slot_size + SLOT_ALIGN) / SLOT_ALIGN * SLOT_ALIGN;
	r->chain[r->depth++] = door;
}

/* Opens doors of types[from] on, behind those that are there. *fork: the type behind the one that chooses. */
static bool open_doors(struct route *r, const struct router_parts *parts, unsigned from, bool tries_only, unsigned *fork)
{
	struct route_parts own = { parts, r->router };
	struct policy_env env = { parts->worker, r->conf, r->upstream, parts->shared, r->router->stores, r->router->store_count, &own };

	for (unsigned i = from; i < parts->type_count; i++) {
		const struct policy_type *type = parts->types[i];
		unsigned block = type->block ? block_of(parts->conf, type) : 0;
		const void *settings = type->block ? r->conf->settings[block] : NULL;
		if ((tries_only && !type->per_try) || !is_wanted(type, r->conf, settings, type->block ? r->conf->present[block] : true))
			continue;
		struct policy *door = type->open(settings, &env);
		if (!door)
			return false;
		add_door(r, door);
		if (type->chooses) {
			r->fork = r->depth;
			*fork = i + 1;
		}
	}
	return true;
}

static bool fields_of_map(struct fields *out, const struct conf_map *map, struct arena *arena)
{
	bool ok = fields_init(out, arena, map->count);
	for (unsigned i = 0; ok && i < map->count; i++)
		ok = fields_add(out, map->at[i].name, map->at[i].value);
	return ok;
}

static void lead_to(struct route *r, const struct router_parts *parts, const struct conf_upstream *upstream)
{
	r->upstream = parts->upstreams[upstream->index];
	struct upstream_server server = parts->server_of(parts->self, r->upstream);
	r->ops = server.ops;
	r->ops_self = server.self;
}

static struct span joined_name(struct arena *arena, struct span a, struct span b)
{
	char *memory = arena_text(arena, a.len + 1 + b.len);
	if (!memory)
		return SPAN_NONE;
	memcpy(memory, a.at, a.len);
	memory[a.len] = '\n';                     /* which stands in no route's name */
	memcpy(memory + a.len + 1, b.at, b.len);
	return (struct span){ memory, a.len + 1 + b.len };
}

/* Counters that are not the route's, under a name that goes on over a reload. */
static bool count_apart(struct route *r, const struct router_parts *parts)
{
	struct span name = joined_name(&r->router->arena, r->name, r->upstream->name);
	return name.at && (r->own_stats = stats_take_route(parts->book, name));
}

/* Another way of `base`: its doors up to the one that chooses, and own ones behind. */
static bool build_way(struct route *r, struct route *base, const struct router_parts *parts, const struct conf_route *conf, unsigned fork)
{
	*r = *base;
	r->conf = conf;
	r->others = NULL;
	r->other_count = r->depth = 0;
	r->slot_bytes = r->attempt_from = 0;
	r->tapped = false;
	lead_to(r, parts, conf->upstream);
	if (!room_for_chain(r, parts->type_count))
		return false;
	for (unsigned d = 0; d < base->fork; d++)
		add_door(r, base->chain[d]);
	if (!count_apart(r, parts))
		return false;
	r->retries = r->own_stats->retries;
	if (!open_doors(r, parts, fork, false, &fork))
		return false;
	if (base->slot_bytes < r->slot_bytes)
		base->slot_bytes = r->slot_bytes;         /* an exchange begins there, and has room for all ways */
	return true;
}

static bool build_ways(struct route *r, const struct router_parts *parts)
{
	unsigned fork = parts->type_count;

	if (!room_for_chain(r, parts->type_count) || !open_doors(r, parts, 0, false, &fork))
		return false;
	if (!r->fork)
		r->fork = r->depth;
	if (!r->conf->other_count)
		return true;
	r->others = arena_take_zeroed(&r->router->arena, r->conf->other_count * sizeof(*r->others));
	while (r->others && r->other_count < r->conf->other_count) {
		unsigned i = r->other_count++;            /* route_free knows it from here on */
		if (!build_way(&r->others[i], r, parts, &r->conf->others[i], fork))
			return false;
	}
	return r->others != NULL;
}

static bool build_route(struct route *r, struct router *router, const struct router_parts *parts, unsigned i)
{
	r->conf = &parts->conf->routes[i];
	r->name = r->conf->name;
	r->index = i;
	r->router = router;
	r->stats = stats_take_route(parts->book, r->name);
	if (!r->stats)
		return false;
	r->retries = r->stats->retries;
	if (r->conf->upstream)
		lead_to(r, parts, r->conf->upstream);
	return fields_of_map(&r->request_set, &r->conf->request_set, &router->arena)
		&& fields_of_map(&r->reply_set, &r->conf->reply_set, &router->arena)
		&& build_ways(r, parts);
}

const struct route *policy_route_aside(const struct policy_env *env, const struct conf_upstream *upstream)
{
	const struct router_parts *parts = env->parts->given;
	struct router *router = env->parts->router;
	struct route *r = arena_take_zeroed(&router->arena, sizeof(*r));
	struct conf_route *conf = arena_take(&router->arena, sizeof(*conf));
	unsigned fork;

	if (!r || !conf)
		return NULL;
	*conf = *env->route;
	conf->upstream = parts->conf->upstreams + upstream->index;
	conf->settings = conf->upstream->settings;
	conf->present = conf->upstream->present;
	conf->other_count = 0;
	r->next_aside = router->asides;
	router->asides = r;                       /* from here on router_free knows it */
	r->conf = conf;
	r->name = conf->name;
	r->index = conf->index;
	r->router = router;
	lead_to(r, parts, upstream);
	if (!count_apart(r, parts))
		return NULL;
	r->stats = r->own_stats;
	r->retries = r->stats->retries;
	bool ok = fields_of_map(&r->request_set, &conf->request_set, &router->arena) && room_for_chain(r, parts->type_count)
		&& open_doors(r, parts, 0, true, &fork);
	return ok ? r : NULL;
}

static void close_doors(struct route *r, unsigned from)
{
	for (unsigned d = from; d < r->depth; d++)
		r->chain[d]->type->close(r->chain[d]);
	if (r->own_stats)
		stats_give(r->own_stats);
}

static void route_free(struct route *r)
{
	for (unsigned i = 0; i < r->other_count; i++)
		close_doors(&r->others[i], r->fork);
	close_doors(r, 0);
	stats_give(r->stats);
}

static void router_free(struct router *router)
{
	for (unsigned i = 0; router->routes && i < router->conf->route_count; i++)
		route_free(&router->routes[i]);
	for (struct route *r = router->asides; r; r = r->next_aside)
		close_doors(r, 0);
	stats_give(router->none.stats);
	for (unsigned i = 0; i < router->store_count; i++)
		router->stores[i].ops->give(router->stores[i].self);
	for (unsigned i = 0; router->upstream_stats && i < router->conf->upstream_count; i++)
		stats_give(router->upstream_stats[i]);
	stats_book_free(router->own_book);
	for (unsigned i = 0; router->upstreams && i < router->conf->upstream_count; i++)
		if (router->upstreams[i])
			upstream_unref(router->upstreams[i]);
	route_index_fini(router->index);
	conf_unref(router->conf);
	arena_fini(&router->arena);
	free(router);
}

static bool hold_stores(struct router *router, const struct router_parts *parts)
{
	router->stores = arena_take_zeroed(&router->arena, (parts->store_count + 1) * sizeof(*router->stores));
	for (unsigned i = 0; router->stores && i < parts->store_count; i++) {
		router->stores[i] = parts->stores[i];
		router->stores[i].ops->hold(router->stores[i].self);
		router->store_count++;
	}
	return router->stores != NULL;
}

struct router *router_new(const struct router_parts *given)
{
	struct router_parts parts = *given;
	struct conf *conf = parts.conf;
	struct router *router = calloc(1, sizeof(*router));
	if (!router)
		return NULL;
	router->refs = 1;
	router->worker = parts.worker;
	router->origin = parts.origin;
	router->instance = parts.instance;
	router->conf = conf_ref(conf);
	arena_init(&router->arena, NULL, ROUTER_ARENA_MAX);
	router->none = (struct route){ .name = SPAN("none"), .index = conf->route_count, .router = router };

	bool ok = (router->upstreams = arena_take_zeroed(&router->arena, (conf->upstream_count + 1) * sizeof(struct upstream *)))
		&& (router->upstream_stats = arena_take_zeroed(&router->arena, (conf->upstream_count + 1) * sizeof(*router->upstream_stats)))
		&& hold_stores(router, &parts)
		&& (parts.book || (parts.book = router->own_book = stats_book_new()))
		&& (router->none.stats = stats_take_route(parts.book, router->none.name))
		&& (router->routes = arena_take_zeroed(&router->arena, (conf->route_count + 1) * sizeof(struct route)));
	for (unsigned i = 0; ok && i < conf->upstream_count; i++) {
		router->upstreams[i] = upstream_ref(parts.upstreams[i]);
		ok = (router->upstream_stats[i] = stats_take_upstream(parts.book, conf->upstreams[i].name)) != NULL;
	}
	for (unsigned i = 0; ok && i < conf->route_count; i++)
		ok = build_route(&router->routes[i], router, &parts, i);
	ok = ok && route_index_new(router);
	if (ok)
		return router;
	router_free(router);
	return NULL;
}

struct router *router_ref(struct router *router)
{
	router->refs++;
	return router;
}

void router_unref(struct router *router)
{
	if (router && --router->refs == 0)
		router_free(router);
}
