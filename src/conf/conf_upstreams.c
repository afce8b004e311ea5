/* conf_upstreams.c - the upstreams of the file by name, and those made for routes that name a URL.
 *
 * conf.upstreams has its final size before the first one is read: routes point into it.
 */
#include "load.h"

struct name_entry { struct map_entry entry; unsigned index; };

enum { UPSTREAM_NAME_MAX = 64, URLS_OF_ROUTE = 2 };         /* upstream and mirror.upstream */

static bool entry_add(struct load *load, struct map *map, struct span name, unsigned index)
{
	struct name_entry *e = arena_take_zeroed(&load->scratch, sizeof(*e));
	if (!e || !map_add(map, &e->entry, name)) {
		complain_memory(load);
		return false;
	}
	e->index = index;
	return true;
}

static struct conf_upstream *entry_find(struct load *load, const struct map *map, struct span name)
{
	struct map_entry *e = map_find(map, name);
	return e ? &load->conf->upstreams[((struct name_entry *)(void *)e)->index] : NULL;
}

struct conf_upstream *upstreams_find(struct load *load, struct span name)
{
	return entry_find(load, &load->upstream_names, name);
}

static struct conf_upstream *upstream_new(struct load *load, struct span name, unsigned line)
{
	struct conf *conf = load->conf;
	if (conf->upstream_count == load->upstream_room)
		return NULL;
	unsigned index = conf->upstream_count;
	struct conf_upstream *u = &conf->upstreams[index];
	struct level *level = &load->upstream_levels[index];
	if (!level_new(load, load->defaults, level) || !entry_add(load, &load->upstream_names, name, index))
		return NULL;
	conf->upstream_count++;
	*u = (struct conf_upstream){ .name = name, .settings = level->settings, .present = level->present, .index = index,
		.line = line };
	schema_preset(&(struct conf_reading){ .load = load }, conf_upstream_keys, u);
	return u;
}

struct conf_upstream *upstreams_anonymous(struct load *load, struct span url, unsigned line)
{
	struct conf_upstream *u = entry_find(load, &load->upstream_urls, url);
	if (u)
		return u;
	/* Named by where it is, unless the file gave that name to another. */
	struct span name = span_starts(url, SPAN("http://")) ? span_from(url, 7) : url;
	if (upstreams_find(load, name))
		name = url;
	struct conf_endpoint *endpoint = arena_take(&load->conf->arena, sizeof(*endpoint));
	u = endpoint && !upstreams_find(load, name) ? upstream_new(load, name, line) : NULL;
	if (!u || !entry_add(load, &load->upstream_urls, url, u->index)) {
		complain_memory(load);
		return NULL;
	}
	*endpoint = (struct conf_endpoint){ url, 1 };
	u->anonymous = true;
	u->endpoints = endpoint;
	u->endpoint_count = 1;
	return u;
}

/* ── checks of one ── */

static void check_ways(struct load *load, const struct node *key, struct conf_upstream *u)
{
	static const char *const ways[] = { "endpoints", "dns", "srv" };
	const struct node *found[3];
	unsigned count = 0;
	for (unsigned i = 0; i < 3; i++) {
		const struct node *at = load_node(load, conf_upstream_keys, ways[i], u);
		if (at)
			found[count++] = at;
	}
	if (!count) {
		complain(load, key, SPAN_NONE, "upstream '" SPAN_FMT "' has no endpoints", SPAN_ARG(u->name));
		complain_hint(load, "add endpoints: [http://127.0.0.1:3000], or dns: or srv:");
	} else if (count > 1) {
		complain(load, found[1], SPAN_NONE, "upstream '" SPAN_FMT "' is described twice", SPAN_ARG(u->name));
		complain_hint(load, "one of endpoints, dns and srv; the other is on line %u", found[0]->line);
	} else if (u->discovery == CONF_STATIC && !u->endpoint_count) {
		complain(load, found[0], SPAN_NONE, "upstream '" SPAN_FMT "' has no endpoints", SPAN_ARG(u->name));
		complain_hint(load, "a URL such as http://127.0.0.1:3000");
	}
}

static void check_twins(struct load *load, const struct conf_upstream *u)
{
	const struct conf_key *row = schema_find(conf_upstream_keys, SPAN("endpoints"));
	for (unsigned i = 1; i < u->endpoint_count; i++)
		for (unsigned j = 0; j < i; j++)
			if (u->endpoints[i].url.len && span_eq(u->endpoints[i].url, u->endpoints[j].url)) {
				complain_warn(load, load_node(load, row->keys, "url", &u->endpoints[i]), "endpoint " SPAN_FMT " is listed twice",
					SPAN_ARG(u->endpoints[i].url));
				complain_hint(load, "use weight to give it more requests");
				break;
			}
}

static void upstream_read(struct load *load, const struct place *all, struct node *key)
{
	const struct place here = { .up = all, .name = key->text, .index = -1 };
	if (key->text.len > UPSTREAM_NAME_MAX || !check_name(key->text, "-_.")) {
		complain(load, key, SPAN_NONE, "'" SPAN_FMT "' cannot be the name of an upstream", SPAN_ARG(key->text));
		complain_hint(load, "at most %d letters, digits and - _ .", UPSTREAM_NAME_MAX);
	}
	struct conf_upstream *u = upstream_new(load, key->text, key->line);
	if (!u)
		return;
	load->upstream_keys[u->index] = key;
	if (key->value->kind != NODE_MAP) {
		complain(load, key, SPAN_NONE, "upstream '" SPAN_FMT "' must be a mapping", SPAN_ARG(key->text));
		complain_hint(load, "write " SPAN_FMT ": {endpoints: [http://127.0.0.1:3000]}", SPAN_ARG(key->text));
		return;
	}
	unsigned errors = load->errors;
	level_read(load, &scope_upstream, &here, key->value, u, &load->upstream_levels[u->index]);
	if (load->errors == errors) {           /* a misspelt `endpoints` is one mistake, not two */
		check_ways(load, key, u);
		check_twins(load, u);
	}
}

void upstreams_read(struct load *load, struct node *map, unsigned routes)
{
	static const struct place all = { .name = { "upstreams", 9 }, .index = -1 };
	bool is_map = map && map->kind == NODE_MAP;
	size_t room = load->upstream_room = (is_map ? map->count : 0) + URLS_OF_ROUTE * routes + 1;
	load->conf->upstreams = arena_take_zeroed(&load->conf->arena, room * sizeof(*load->conf->upstreams));
	load->upstream_levels = arena_take_zeroed(&load->scratch, room * sizeof(*load->upstream_levels));
	load->upstream_used = arena_take_zeroed(&load->scratch, room);
	load->upstream_keys = arena_take_zeroed(&load->scratch, room * sizeof(*load->upstream_keys));
	if (!load->upstream_keys || !load->conf->upstreams || !load->upstream_levels || !load->upstream_used) {
		load->upstream_room = 0;
		complain_memory(load);
		return;
	}
	if (map && !is_map && !node_is_null(map)) {
		complain(load, map, SPAN_NONE, "'upstreams' must be a mapping of names");
		complain_hint(load, "write upstreams: {name: {endpoints: [...]}}");
	}
	for (struct node *key = is_map ? map->first : NULL; key; key = key->next)
		upstream_read(load, &all, key);
}
