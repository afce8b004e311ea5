/* route.c - what a worker has built for each route: the chain of doors, the slots' layout, the fields to set. */
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

static bool open_chain(struct route *r, const struct router_parts *parts)
{
	struct policy_env env = { parts->worker, r->conf, r->upstream, parts->shared, r->router->stores, r->router->store_count };

	r->chain = arena_take_zeroed(&r->router->arena, parts->type_count * sizeof(*r->chain) + 1);
	r->slot_at = arena_take_zeroed(&r->router->arena, parts->type_count * sizeof(*r->slot_at) + 1);
	if (!r->chain || !r->slot_at)
		return false;
	bool try_begun = false;
	for (unsigned i = 0; i < parts->type_count; i++) {
		const struct policy_type *type = parts->types[i];
		unsigned block = type->block ? block_of(parts->conf, type) : 0;
		const void *settings = type->block ? r->conf->settings[block] : NULL;
		if (!is_wanted(type, r->conf, settings, type->block ? r->conf->present[block] : true))
			continue;
		struct policy *door = type->open(settings, &env);
		if (!door)
			return false;
		if (type->per_try && !try_begun) {
			try_begun = true;
			r->attempt_from = r->depth;
		}
		r->tapped |= type->tap != NULL;
		must(type->per_try || !try_begun);        /* registry.c: what belongs to a try stands innermost */
		r->slot_at[r->depth] = r->slot_bytes;
		/* even an empty slot has an address of its own: exchange_cut finds the door by it */
		r->slot_bytes += (type->slot_size + SLOT_ALIGN) / SLOT_ALIGN * SLOT_ALIGN;
		r->chain[r->depth++] = door;
	}
	if (!try_begun)
		r->attempt_from = r->depth;
	return true;
}

static bool fields_of_map(struct fields *out, const struct conf_map *map, struct arena *arena)
{
	bool ok = fields_init(out, arena, map->count);
	for (unsigned i = 0; ok && i < map->count; i++)
		ok = fields_add(out, map->at[i].name, map->at[i].value);
	return ok;
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
	if (r->conf->upstream) {
		r->upstream = parts->upstreams[r->conf->upstream->index];
		struct upstream_server server = parts->server_of(parts->self, r->upstream);
		r->ops = server.ops;
		r->ops_self = server.self;
	}
	return fields_of_map(&r->request_set, &r->conf->request_set, &router->arena)
		&& fields_of_map(&r->reply_set, &r->conf->reply_set, &router->arena)
		&& open_chain(r, parts);
}

static void router_free(struct router *router)
{
	for (unsigned i = 0; router->routes && i < router->conf->route_count; i++)
		for (unsigned d = 0; d < router->routes[i].depth; d++)
			router->routes[i].chain[d]->type->close(router->routes[i].chain[d]);
	for (unsigned i = 0; router->routes && i < router->conf->route_count; i++)
		stats_give(router->routes[i].stats);
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
