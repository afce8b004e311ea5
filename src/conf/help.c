/* help.c - `outrigger help retry.budget`: one key in plain words, from the same row that parses it. */
#include <stdio.h>

#include "reference.h"

struct found { const struct conf_key *row; const struct conf_block *block; unsigned levels; const char *where; };

static bool find_in(const struct conf_key *keys, struct span path, const char *where, unsigned levels, struct found *out)
{
	const struct conf_key *row = schema_find_path(keys, path, NULL);
	if (!row)
		return false;
	*out = (struct found){ .row = row, .where = where, .levels = levels };
	return true;
}

/* A block's own name finds its table; what is behind the dot one of its rows. */
static bool find_block(const struct conf_block *block, struct span path, struct found *out)
{
	struct span rest = path, name;
	if (!block->name)
		return find_in(block->keys, path, "", block->levels, out);
	if (!span_next(&rest, '.', &name) || !span_eq(name, span_of(block->name)))
		return false;
	if (rest.len)
		return find_in(block->keys, rest, "", block->levels, out);
	*out = (struct found){ .block = block, .levels = block->levels };
	return true;
}

static bool find_key(const struct conf_block *blocks, unsigned count, struct span path, struct found *out)
{
	static const struct span upstreams = { "upstreams.", 10 }, routes = { "routes.", 7 }, defaults = { "defaults.", 9 };
	if (span_starts(path, upstreams) && find_in(conf_upstream_keys, span_from(path, upstreams.len), "", CONF_UPSTREAM, out))
		return true;
	if (span_starts(path, routes) && find_in(conf_route_keys, span_from(path, routes.len), "", CONF_ROUTE, out))
		return true;
	if (find_in(conf_top_keys, path, "the top", 0, out))
		return true;
	const struct span *prefixes[] = { &upstreams, &routes, &defaults };
	for (unsigned i = 0; i < 3; i++)
		if (span_starts(path, *prefixes[i]))
			path = span_from(path, prefixes[i]->len);
	for (unsigned i = 0; i < count; i++)
		if (find_block(&blocks[i], path, out))
			return true;
	return find_in(conf_upstream_keys, path, "", CONF_UPSTREAM, out) || find_in(conf_route_keys, path, "", CONF_ROUTE, out);
}

static void print_children(const struct conf_key *keys, struct text *out)
{
	text_add(out, SPAN("\n"));
	for (const struct conf_key *row = keys; row && row->name; row++)
		if (!(row->flags & CONF_LATER)) {
			size_t start = out->len;
			text_f(out, "  %s: %s", row->name, row->preset ? row->preset : "");
			do
				text_char(out, ' ');
			while (out->len - start < 40 && !out->cut);
			text_f(out, "%s\n", row->help);
		}
}

static void print_row(struct span key, const struct conf_key *row, struct text *out)
{
	text_f(out, SPAN_FMT, SPAN_ARG(key));
	if (row->flags & CONF_LATER) {
		text_f(out, "  (%s)\n  is not in this version.\n", row->help);
		return;
	}
	text_add(out, SPAN("  ("));
	reference_form(row, out);
	if (row->preset) {
		text_add(out, SPAN("; default "));
		reference_preset(row, out);
	}
	text_f(out, ")\n  %s\n", row->help);
	if (row->example)
		text_f(out, "  for example  %s: %s\n", row->name, row->example);
	if (row->flags & CONF_ONCE)
		text_add(out, SPAN("  read at start only: a reload does not change it\n"));
}

bool conf_print_key(const struct conf_block *blocks, unsigned count, struct span key, struct text *out)
{
	struct found f = { .row = NULL };
	if (!key.len || !find_key(blocks, count, key, &f))
		return false;
	if (f.block)
		text_f(out, SPAN_FMT "  (mapping)\n  %s\n", SPAN_ARG(key), f.block->help);
	else
		print_row(key, f.row, out);
	if (f.levels) {
		text_add(out, SPAN("  may stand in: "));
		reference_levels(f.levels, out);
		text_char(out, '\n');
	}
	const struct conf_key *children = f.block ? f.block->keys : f.row->keys;
	if (children)
		print_children(children, out);
	return true;
}
