/* conf_routes.c - the list of routes: each read onto its upstream's level, named, and compared with its neighbours. */
#include <stdio.h>

#include "load.h"

enum { ROUTES_MAX = 10000, TWINS_MAX = 64, WAYS_MAX = 16 };
#define SHARE_ERROR 1e-9

/* ── the upstream of a route ── */

static bool is_url(struct span to)
{
	if (span_starts(to, SPAN("unix:")))
		return true;
	for (size_t i = 0; i + 3 <= to.len; i++)
		if (span_starts(span_from(to, i), SPAN("://")))
			return true;
	return false;
}

static void unknown_upstream(struct load *load, const struct node *at)
{
	struct nearest nearest;
	struct fault_words w;
	nearest_init(&nearest, at->text);
	for (unsigned i = 0; i < load->conf->upstream_count && i < 1000; i++)
		if (!load->conf->upstreams[i].anonymous)
			nearest_offer(&nearest, "", load->conf->upstreams[i].name);
	complain(load, at, SPAN_NONE, "unknown upstream '" SPAN_FMT "'", SPAN_ARG(at->text));
	if (nearest_found(&nearest))
		complain_hint(load, "did you mean '%s'?", nearest.best);
	else if (span_has(at->text, ':') && check_listen(at->text, &w))
		complain_hint(load, "write http://%s" SPAN_FMT, at->text.at[0] == ':' ? "127.0.0.1" : "", SPAN_ARG(at->text));
	else
		complain_hint(load, "the name of one of upstreams, or a URL such as http://127.0.0.1:3000");
}

/* The upstream of that name, or for that URL. NULL: complained about. */
static struct conf_upstream *upstream_named(struct load *load, const struct node *at, struct span url)
{
	struct fault_words w;
	struct conf_upstream *named = upstreams_find(load, url), *made;
	if (named && !named->anonymous) {
		load->upstream_used[named->index] = true;
		return named;
	}
	if (!is_url(url)) {
		unknown_upstream(load, at);
	} else if (!check_url(url, &w)) {
		complain(load, at, w.part, "%s", w.why);
		complain_hint(load, "%s", w.hint);
	} else {
		if (!span_starts(url, SPAN("unix:")) && url.at[url.len - 1] == '/')
			url.len--;
		made = upstreams_anonymous(load, url, at->line);
		if (made)
			load->upstream_used[made->index] = true;
		return made;
	}
	return NULL;
}

struct conf_upstream *conf_upstream_of(struct conf_reading *r, struct span name_or_url)
{
	struct conf_upstream *u = upstream_named(r->load, r->node, name_or_url);
	r->failed |= !u;
	return u;
}

const struct conf_route *conf_route_of(const struct conf_reading *r) { return r->load->route; }

/* ── a split: {v1: 95%, v2: 5%} ── */

struct way { struct conf_upstream *upstream; double share; };
struct ways { struct way at[WAYS_MAX]; unsigned count; };

static bool way_read(struct load *load, const struct node *pair, struct way *way)
{
	static const struct conf_key share = { .name = "share", .type = CONF_T_SHARE, .min = "0%", .max = "100%" };
	struct conf_reading r = { .load = load, .node = pair->value };
	if (pair->value->kind != NODE_SCALAR || node_is_null(pair->value) || pair->value->broken)
		return false;                   /* complained about when the row is read */
	if (is_url(pair->text)) {
		complain(load, pair, SPAN_NONE, "a split is between upstreams that have names");
		complain_hint(load, "give it one in upstreams:");
		return false;
	}
	way->upstream = upstream_named(load, pair, pair->text);
	return schema_scalar(&r, &share, &way->share, pair->value->text) && way->upstream;
}

static void ways_read(struct load *load, const struct node *key, struct ways *ways)
{
	double sum = 0;
	bool ok = true;
	if (!key->value->count) {
		complain(load, key, SPAN_NONE, "'upstream' is empty");
		complain_hint(load, "write upstream: {v1: 95%%, v2: 5%%}");
		return;
	}
	if (key->value->count > WAYS_MAX) {
		complain(load, key, SPAN_NONE, "a split between %u upstreams", key->value->count);
		complain_hint(load, "at most %d", WAYS_MAX);
		return;
	}
	for (const struct node *pair = key->value->first; pair; pair = pair->next) {
		struct way *way = &ways->at[ways->count];
		bool good = way_read(load, pair, way);
		ways->count += good;
		sum += way->share;
		ok &= good;
	}
	if (ok && (sum < 1 - SHARE_ERROR || sum > 1 + SHARE_ERROR)) {
		complain(load, key, SPAN_NONE, "the shares of 'upstream' make %.10g%%, not 100%%", sum * 100);
		complain_hint(load, "the first one is the stable version: give it the rest");
	}
}

static void route_upstreams(struct load *load, struct node *map, struct ways *ways)
{
	struct node *key = node_find(map, SPAN("upstream"));
	if (!key)
		return;
	const struct node *at = key->value;
	ways->at[0].share = 1;
	if (at->kind == NODE_MAP)
		ways_read(load, key, ways);
	else if (at->kind == NODE_SCALAR && !node_is_null(at) && !at->broken)       /* else complained about when the row is read */
		ways->count = (ways->at[0].upstream = upstream_named(load, at, at->text)) != NULL;
}

/* ── one route ── */

static bool route_responds(const struct load *load, const struct level *level)
{
	for (unsigned i = 0; i < load->conf->block_count; i++) {
		const char *name = load->conf->blocks[i].name;
		if (name && level->present[i] && span_eq(span_of(name), SPAN("respond")))
			return true;
	}
	return false;
}

static void route_check(struct load *load, const struct place *place, struct node *map, struct conf_route *route,
	const struct level *level)
{
	struct level *upstream = route->upstream ? &load->upstream_levels[route->upstream->index] : NULL;
	const struct node *to = node_find(map, SPAN("upstream"));
	bool responds = route_responds(load, level);
	if (!to && !responds) {
		complain(load, map->first ? map->first : map, SPAN_NONE, "this route has no upstream");
		complain_hint(load, "add upstream: with a name or a URL such as http://127.0.0.1:3000");
	} else if (to && responds) {
		complain_warn(load, to, "this upstream is never asked: 'respond' answers");
		complain_hint(load, "remove one of them");
	}
	void **bases[3] = { level->settings, upstream ? upstream->settings : load->defaults->settings,
		upstream ? load->defaults->settings : NULL };
	level_check(load, place, map, level, bases);
	if (!load_node(load, conf_route_keys, "max_request_body", route))
		route->max_request_body = load->conf->client.max_request_body;
}

static void route_preset(struct load *load, struct conf_route *route, const struct way *way)
{
	schema_preset(&(struct conf_reading){ .load = load }, conf_route_keys, route);
	route->upstream = way->upstream;
	route->share = way->share;
}

static bool route_apply(struct load *load, const struct place *here, struct node *map, struct conf_route *route)
{
	struct level level;
	const struct level *under = route->upstream ? &load->upstream_levels[route->upstream->index] : load->defaults;
	if (!level_new(load, under, &level))
		return false;
	route->settings = level.settings;
	route->present = level.present;
	level_read(load, &scope_route, here, map, route, &level);
	route_check(load, here, map, route, &level);
	return true;
}

/* The other ways are the same mapping, read onto other upstreams. What is wrong with it was said already. */
static void others_read(struct load *load, const struct place *here, struct node *map, struct conf_route *route, const struct ways *ways)
{
	unsigned errors = load->errors;
	for (unsigned i = 1; i <= route->other_count && load->errors == errors; i++) {
		struct conf_route *other = &route->others[i - 1];
		other->index = route->index;
		other->line = route->line;
		route_preset(load, other, &ways->at[i]);
		load->route = other;
		if (!route_apply(load, here, map, other))
			return;
	}
}

static void route_read(struct load *load, struct node *map, struct conf_route *route)
{
	const struct node *name = map->kind == NODE_MAP ? node_find(map, SPAN("name")) : NULL;
	struct place here = { .name = SPAN("routes"), .index = (int)route->index };
	struct ways ways = { .count = 0 };
	unsigned errors = load->errors;
	route->line = map->line;
	if (map->kind != NODE_MAP) {
		complain(load, map, SPAN_NONE, "a route must be a mapping");
		complain_hint(load, "write - path: / and below it upstream: http://127.0.0.1:3000");
		return;
	}
	if (name && name->value->kind == NODE_SCALAR)
		here.label = name->value->text;
	route_upstreams(load, map, &ways);
	route_preset(load, route, &ways.at[0]);
	if (ways.count > 1) {
		route->others = arena_take_zeroed(&load->conf->arena, (ways.count - 1) * sizeof(*route->others));
		route->other_count = route->others ? ways.count - 1 : 0;
		if (!route->others)
			complain_memory(load);
		for (unsigned i = 0; i < route->other_count; i++)
			route->others[i].upstream = ways.at[i + 1].upstream;
	}
	load->route = route;
	if (route_apply(load, &here, map, route) && load->errors == errors)
		others_read(load, &here, map, route, &ways);
	load->route = NULL;
}

/* ── names ── */

struct route_entry { struct map_entry entry; const struct conf_route *routes[TWINS_MAX]; unsigned count; };

static struct route_entry *entry_new(struct load *load, struct map *map, struct span key)
{
	struct route_entry *e = arena_take_zeroed(&load->scratch, sizeof(*e));
	if (e && map_add(map, &e->entry, key))
		return e;
	complain_memory(load);
	return NULL;
}

static void name_given(struct load *load, struct map *names, struct conf_route *route)
{
	const struct route_entry *twin = (const void *)map_find(names, route->name);
	if (twin) {
		complain(load, load_node(load, conf_route_keys, "name", route), SPAN_NONE, "two routes are named '" SPAN_FMT "'",
			SPAN_ARG(route->name));
		complain_hint(load, "the other one begins on line %u", twin->routes[0]->line);
		return;
	}
	struct route_entry *e = entry_new(load, names, route->name);
	if (e)
		e->routes[0] = route;
}

static void name_make(struct load *load, struct map *names, struct conf_route *route)
{
	char memory[96];
	struct text name;
	text_over(&name, memory, sizeof(memory));
	text_add(&name, span_first(route->path, 64));
	if (map_find(names, text_span(&name)))
		text_f(&name, "#%u", route->index + 1);         /* given names have no #, so this one is free */
	route->name = arena_copy(&load->conf->arena, text_span(&name));
	if (!route->name.at)
		complain_memory(load);
	else
		entry_new(load, names, route->name);
}

static void routes_name(struct load *load)
{
	struct map names;
	map_init(&names, ROUTES_MAX + 1, (uint64_t)(uintptr_t)load);
	for (unsigned i = 0; i < load->conf->route_count; i++)
		if (load->conf->routes[i].name.len)
			name_given(load, &names, &load->conf->routes[i]);
	for (unsigned i = 0; i < load->conf->route_count; i++)
		if (!load->conf->routes[i].name.len)
			name_make(load, &names, &load->conf->routes[i]);
	for (unsigned i = 0; i < load->conf->route_count; i++)
		for (unsigned k = 0; k < load->conf->routes[i].other_count; k++)
			load->conf->routes[i].others[k].name = load->conf->routes[i].name;
	map_fini(&names);
}

/* ── routes that can never match: an earlier one with the same path takes all they could get ── */

static bool texts_cover(const struct conf_texts *wide, const struct conf_texts *narrow)
{
	if (!wide->count || !narrow->count)
		return wide->count == narrow->count;
	for (unsigned i = 0; i < narrow->count; i++) {
		unsigned j = 0;
		while (j < wide->count && !span_eq_nocase(wide->at[j], narrow->at[i]))
			j++;
		if (j == wide->count)
			return false;
	}
	return true;
}

static bool headers_cover(const struct conf_map *wide, const struct conf_map *narrow)
{
	for (unsigned i = 0; i < wide->count; i++) {
		unsigned j = 0;
		while (j < narrow->count && (!span_eq_nocase(wide->at[i].name, narrow->at[j].name) || !span_eq(wide->at[i].value,
			narrow->at[j].value)))
			j++;
		if (j == narrow->count)
			return false;
	}
	return true;
}

/* Hosts must be listed alike: a route with a host of its own comes before one for any host, whatever the order. */
static bool route_covers(const struct conf_route *wide, const struct conf_route *narrow)
{
	return texts_cover(&wide->hosts, &narrow->hosts) && (!wide->methods.count || texts_cover(&wide->methods, &narrow->methods))
		&& headers_cover(&wide->headers, &narrow->headers);
}

static void route_find_cover(struct load *load, struct map *paths, const struct conf_route *route, const struct node *at)
{
	struct route_entry *e = (void *)map_find(paths, route->path);
	if (!e && !(e = entry_new(load, paths, route->path)))
		return;
	for (unsigned i = 0; i < e->count; i++) {
		if (!route_covers(e->routes[i], route))
			continue;
		complain_warn(load, at->first ? at->first : at, "this route can never match");
		complain_hint(load, "the one on line %u takes all of its requests", e->routes[i]->line);
		return;
	}
	if (e->count < TWINS_MAX)
		e->routes[e->count++] = route;
}

void routes_cross_check(struct load *load, struct node *list)
{
	struct map paths;
	routes_name(load);
	map_init(&paths, ROUTES_MAX + 1, (uint64_t)(uintptr_t)load);
	const struct node *at = list->first;
	for (unsigned i = 0; i < load->conf->route_count; i++, at = at->next)
		if (at->kind == NODE_MAP)
			route_find_cover(load, &paths, &load->conf->routes[i], at);
	map_fini(&paths);
}

void routes_read(struct load *load, struct node *list)
{
	if (!list || list->kind != NODE_LIST) {
		if (list && !node_is_null(list)) {
			complain(load, list, SPAN_NONE, "'routes' must be a list");
			complain_hint(load, "begin each route with a hyphen: - path: /");
		}
		return;
	}
	if (list->count > ROUTES_MAX) {
		complain(load, list, SPAN_NONE, "too many routes: %u", list->count);
		complain_hint(load, "at most %d", ROUTES_MAX);
		return;
	}
	struct conf_route *routes = arena_take_zeroed(&load->conf->arena, (list->count + 1) * sizeof(*routes));
	if (!routes) {
		complain_memory(load);
		return;
	}
	load->conf->routes = routes;
	for (struct node *map = list->first; map; map = map->next) {
		struct conf_route *route = &routes[load->conf->route_count];
		route->index = load->conf->route_count++;
		route_read(load, map, route);
	}
}
