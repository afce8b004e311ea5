/* print.c - the configuration that is in force, as YAML that can be read back, or as JSON.
 *
 * `defaults` shows what every route starts from, an upstream the settings that routes cannot change, a route all the
 * others as they are for it: nobody needs to merge levels in his head.
 */
#include <stdio.h>

#include "emit.h"

struct printer {
	struct emit emit;
	const struct conf *conf;
	bool with_origin;
};
struct bases { const void *at[3]; };            /* the struct that holds the row, at its levels, most specific first */

static const struct origin *find_origin(const struct printer *p, const struct bases *bases, const struct conf_key *row)
{
	const struct origin *o = NULL;
	for (unsigned i = 0; i < 3 && bases->at[i] && !o; i++)
		o = origins_find(p->conf->origins, bases->at[i], row);
	return o;
}

static const char *origin_words(const struct origin *o, char *memory, size_t size)
{
	static const char *const levels[] = { "", "defaults ", "upstream ", "route " };
	if (!o)
		return "default";
	if (o->via == VIA_SET)
		return "--set";
	if (o->via == VIA_COMMAND_LINE)
		return "command line";
	snprintf(memory, size, "%sline %u", levels[o->level], o->line);
	return memory;
}

static void print_keys(struct printer *p, const struct conf_key *keys, const struct bases *bases);

static struct bases bases_inside(const struct bases *bases, const struct conf_key *row)
{
	struct bases inner = { { NULL } };
	for (unsigned i = 0; i < 3 && bases->at[i]; i++)
		inner.at[i] = (const char *)bases->at[i] + row->offset;
	return inner;
}

static struct conf_list list_at(const void *field)
{
	struct conf_list list;
	memcpy(&list.at, field, sizeof(list.at));
	memcpy(&list.count, (const char *)field + offsetof(struct conf_list, count), sizeof(list.count));
	return list;
}

/* What has no default and was not written has nothing to show. */
static bool row_is_absent(const struct printer *p, const struct conf_key *row, const struct bases *bases)
{
	const struct bases inner = bases_inside(bases, row);
	if (row->flags & CONF_LATER)
		return true;
	if (row->type == CONF_T_LIST || row->type == CONF_T_NAMED)
		return list_at(inner.at[0]).count == 0;
	if (row->type != CONF_T_BLOCK)
		return !row->preset && !find_origin(p, bases, row);
	bool absent = !row->keys || (row->present_offset != CONF_NO_PRESENCE && !*((const bool *)bases->at[0] + row->present_offset));
	if (absent)
		return true;
	for (const struct conf_key *k = row->keys; k->name; k++)
		if (!row_is_absent(p, k, &inner))
			return false;
	return true;
}

static void print_list(struct printer *p, const struct conf_key *row, struct conf_list list)
{
	emit_list_open(&p->emit, row->name);
	for (unsigned i = 0; i < list.count; i++) {
		const struct bases item = { { (const char *)list.at + i * row->item_size } };
		emit_item_open(&p->emit);
		print_keys(p, row->keys, &item);
		emit_item_close(&p->emit);
	}
	emit_list_close(&p->emit);
}

static void print_named(struct printer *p, const struct conf_key *row, struct conf_list list)
{
	emit_map_open(&p->emit, row->name);
	for (unsigned i = 0; i < list.count; i++) {
		const struct bases item = { { (const char *)list.at + i * row->item_size } };
		struct span name;
		memcpy(&name, item.at[0], sizeof(name));
		emit_map_named(&p->emit, name);
		print_keys(p, row->keys, &item);
		emit_map_close(&p->emit);
	}
	emit_map_close(&p->emit);
}

static void print_key(struct printer *p, const struct conf_key *row, const struct bases *bases)
{
	const struct bases inner = bases_inside(bases, row);
	char words[64];
	if (row_is_absent(p, row, bases))
		return;
	if (row->type == CONF_T_BLOCK) {
		emit_map_open(&p->emit, row->name);
		print_keys(p, row->keys, &inner);
		emit_map_close(&p->emit);
	} else if (row->type == CONF_T_LIST) {
		print_list(p, row, list_at(inner.at[0]));
	} else if (row->type == CONF_T_NAMED) {
		print_named(p, row, list_at(inner.at[0]));
	} else {
		const struct origin *o = find_origin(p, bases, row);
		struct span written = o ? o->text : span_of(row->preset);
		emit_row(&p->emit, row, inner.at[0], written, p->with_origin ? origin_words(o, words, sizeof(words)) : NULL);
	}
}

static void print_keys(struct printer *p, const struct conf_key *keys, const struct bases *bases)
{
	for (const struct conf_key *row = keys; row->name; row++)
		print_key(p, row, bases);
}

/* ── levels ── */

/* The blocks that may stand at all of `levels` and at none of `not_at`, as they are in levels[0]. */
static void print_blocks(struct printer *p, void **const levels[3], const bool *present, unsigned at, unsigned not_at)
{
	for (unsigned i = 0; i < p->conf->block_count; i++) {
		const struct conf_block *block = &p->conf->blocks[i];
		struct bases bases = { { NULL } };
		if (!(block->levels & at) || (block->levels & not_at) || (block->optional && !present[i]))
			continue;
		for (unsigned n = 0; n < 3 && levels[n]; n++)
			bases.at[n] = levels[n][i];
		if (block->name)
			emit_map_open(&p->emit, block->name);
		print_keys(p, block->keys, &bases);
		if (block->name)
			emit_map_close(&p->emit);
	}
}

static void print_defaults(struct printer *p)
{
	void **const levels[3] = { p->conf->defaults, NULL, NULL };
	unsigned any = 0;
	for (unsigned i = 0; i < p->conf->block_count; i++)
		any |= p->conf->blocks[i].levels & CONF_DEFAULTS;
	if (!any)
		return;
	emit_map_open(&p->emit, "defaults");
	print_blocks(p, levels, p->conf->defaults_present, CONF_DEFAULTS, 0);
	emit_map_close(&p->emit);
}

static void print_upstreams(struct printer *p)
{
	unsigned named = 0;
	for (unsigned i = 0; i < p->conf->upstream_count; i++)
		named += !p->conf->upstreams[i].anonymous;
	if (!named)
		return;
	emit_map_open(&p->emit, "upstreams");
	for (unsigned i = 0; i < p->conf->upstream_count; i++) {
		const struct conf_upstream *u = &p->conf->upstreams[i];
		const struct bases own = { { u } };
		void **const levels[3] = { u->settings, p->conf->defaults, NULL };
		if (u->anonymous)
			continue;
		emit_map_named(&p->emit, u->name);
		print_keys(p, conf_upstream_keys, &own);
		print_blocks(p, levels, u->present, CONF_UPSTREAM, CONF_ROUTE);
		emit_map_close(&p->emit);
	}
	emit_map_close(&p->emit);
}

static void print_route_keys(struct printer *p, const struct conf_route *route)
{
	const struct bases own = { { route } };
	void **const upstream = route->upstream ? route->upstream->settings : NULL;
	void **const levels[3] = { route->settings, upstream ? upstream : p->conf->defaults, upstream ? p->conf->defaults : NULL };
	for (const struct conf_key *row = conf_route_keys; row->name; row++) {
		/* A name that was made of the path is for readers of JSON; as YAML it would not be taken back. */
		if (p->emit.json && row->type == CONF_T_TEXT && row->offset == offsetof(struct conf_route, name))
			emit_row(&p->emit, row, &route->name, SPAN_NONE, NULL);
		else
			print_key(p, row, &own);
	}
	print_blocks(p, levels, route->present, CONF_ROUTE, 0);
}

static void print_routes(struct printer *p)
{
	emit_list_open(&p->emit, "routes");
	for (unsigned i = 0; i < p->conf->route_count; i++) {
		emit_item_open(&p->emit);
		print_route_keys(p, &p->conf->routes[i]);
		emit_item_close(&p->emit);
	}
	emit_list_close(&p->emit);
}

static void print_conf(struct printer *p)
{
	const struct bases top = { { p->conf } };
	for (const struct conf_key *row = conf_top_keys; row->name; row++) {
		if (row->type != CONF_T_BLOCK || row->keys)
			print_key(p, row, &top);
		else if (strcmp(row->name, "defaults") == 0)
			print_defaults(p);
		else if (strcmp(row->name, "upstreams") == 0)
			print_upstreams(p);
		else
			print_routes(p);
	}
}

void conf_print(const struct conf *conf, bool with_origin, struct text *out)
{
	struct printer p = { .emit = { .out = out }, .conf = conf, .with_origin = with_origin };
	print_conf(&p);
}

void conf_print_json(const struct conf *conf, struct text *out)
{
	struct json json;
	json_init(&json, out);
	struct printer p = { .emit = { .out = out, .json = &json }, .conf = conf };
	json_open(&json, NULL, '{');
	print_conf(&p);
	json_close(&json, '}');
}

void conf_print_route(const struct conf *conf, const struct conf_route *route, bool with_origin, struct text *out)
{
	struct printer p = { .emit = { .out = out }, .conf = conf, .with_origin = with_origin };
	print_route_keys(&p, route);
	for (unsigned i = 0; i < route->other_count; i++) {       /* the same keys, over another upstream's */
		text_f(out, "\n# and for requests that go to " SPAN_FMT ":\n", SPAN_ARG(route->others[i].upstream->name));
		print_route_keys(&p, &route->others[i]);
	}
}
