/* example.c - the complete commented example, conf/outrigger.yaml: every key with its default and what it does.
 *
 * It is a file that loads, and it means the same as the six lines: what would switch something on stands in comments.
 */
#include "reference.h"

enum { HELP_COLUMN = 46 };

struct example {
	struct text *out;
	const struct conf_block *blocks; unsigned count;
	unsigned indent;
	unsigned comment_indent;                /* where the # of a commented-out block stands */
	bool dash, commented;
};

static void margin(struct example *e, bool dash)
{
	for (unsigned i = 0; i + dash < e->indent; i++) {
		if (e->commented && i == e->comment_indent)
			text_add(e->out, SPAN("# "));
		text_add(e->out, SPAN("  "));
	}
	if (e->commented && e->comment_indent >= e->indent)
		text_add(e->out, SPAN("# "));
}

/* Help stands behind the value, or above it when the value is long. */
static void line(struct example *e, const char *name, struct span value, const char *help)
{
	bool above = e->indent * 2 + 2 * e->commented + strlen(name) + 2 + value.len >= HELP_COLUMN;
	if (above) {
		margin(e, false);
		text_f(e->out, "# %s\n", help);
	}
	size_t start = e->out->len;
	margin(e, e->dash);
	if (e->dash)
		text_add(e->out, SPAN("- "));
	e->dash = false;
	text_f(e->out, "%s:%s" SPAN_FMT, name, value.len ? " " : "", SPAN_ARG(value));
	while (!above && e->out->len - start < HELP_COLUMN && !e->out->cut)
		text_char(e->out, ' ');
	text_f(e->out, "%s%s\n", above ? "" : "# ", above ? "" : help);
}

static bool comment_begin(struct example *e, bool commented)
{
	bool before = e->commented;
	if (commented && !before)
		e->comment_indent = e->indent;
	e->commented = before || commented;
	return before;
}

static void write_keys(struct example *e, const struct conf_key *keys);

/* Levels of comment do not nest: the outermost decides. */
static void write_inside(struct example *e, const char *name, const struct conf_key *keys, const char *help, bool commented)
{
	bool before = comment_begin(e, commented);
	line(e, name, SPAN(""), help);
	e->indent++;
	write_keys(e, keys);
	e->indent--;
	e->commented = before;
}

static bool has_preset(const struct conf_key *keys)
{
	for (; keys->name; keys++)
		if (keys->preset)
			return true;
		else if (keys->keys && has_preset(keys->keys))
			return true;
	return false;
}

/* A list without an example of its own is empty by default. */
static void write_list(struct example *e, const struct conf_key *row)
{
	bool before = comment_begin(e, !row->example);
	line(e, row->name, SPAN(""), row->help);
	e->indent += 2;
	e->dash = true;
	write_keys(e, row->keys);
	e->dash = false;
	e->indent -= 2;
	e->commented = before;
}

static void write_row(struct example *e, const struct conf_key *row)
{
	char memory[400];
	struct text value;
	text_over(&value, memory, sizeof(memory));
	if ((row->flags & CONF_LATER) || (row->type == CONF_T_BLOCK && !row->keys))
		return;
	if (row->type == CONF_T_BLOCK) {
		write_inside(e, row->name, row->keys, row->help, row->present_offset != CONF_NO_PRESENCE || !has_preset(row->keys));
		return;
	}
	if (row->type == CONF_T_LIST) {
		write_list(e, row);
		return;
	}
	if (row->type == CONF_T_NAMED) {
		bool outside = comment_begin(e, true);
		line(e, row->name, SPAN(""), row->help);
		e->indent++;
		write_inside(e, row->example, row->keys, "a name of your own", true);
		e->indent--;
		e->commented = outside;
		return;
	}
	bool before = comment_begin(e, !row->preset && !(row->flags & CONF_REQUIRED));
	if (row->preset)
		reference_preset(row, &value);
	else if (row->example)
		text_add(&value, span_of(row->example));
	else
		text_add(&value, row->type == CONF_T_MAP ? SPAN("{name: value}") : row->type == CONF_T_TEXTS ? SPAN("[name]") : SPAN("..."));
	line(e, row->name, text_span(&value), row->help);
	e->commented = before;
}

static void write_keys(struct example *e, const struct conf_key *keys)
{
	for (const struct conf_key *row = keys; row->name; row++)
		write_row(e, row);
}

static void write_blocks(struct example *e, unsigned at, unsigned not_at)
{
	for (unsigned i = 0; i < e->count; i++) {
		const struct conf_block *block = &e->blocks[i];
		if (!(block->levels & at) || (block->levels & not_at))
			continue;
		if (block->name)
			write_inside(e, block->name, block->keys, block->help, block->optional);
		else
			write_keys(e, block->keys);
	}
}

static void write_upstream(struct example *e)
{
	text_add(e->out, SPAN("upstreams:                                    # what we protect, by name\n  app:\n"));
	e->indent = 2;
	write_keys(e, conf_upstream_keys);
	text_add(e->out, SPAN("    # and any key of `defaults`, for all routes that lead here\n"));
	write_blocks(e, CONF_UPSTREAM, CONF_DEFAULTS);
}

/* The first line of a list's element carries the hyphen, so it must not be one that is commented out. */
static void write_route(struct example *e)
{
	text_add(e->out, SPAN("routes:                                       # the most specific path wins, then the order written\n"));
	e->indent = 2;
	e->dash = true;
	const struct conf_key *path = schema_find(conf_route_keys, SPAN("path"));
	write_row(e, path);
	line(e, "upstream", SPAN("app"), "a name of upstreams, or the URL of an endpoint such as http://127.0.0.1:3000");
	for (const struct conf_key *row = conf_route_keys; row->name; row++)
		if (row != path && strcmp(row->name, "upstream") != 0)
			write_row(e, row);
	text_add(e->out, SPAN("    # and any key of `defaults` that is not about endpoints\n"));
	write_blocks(e, CONF_ROUTE, CONF_DEFAULTS);
}

static void write_level(struct example *e, const char *name)
{
	if (strcmp(name, "defaults") == 0) {
		text_add(e->out, SPAN("# What every route starts from; upstreams and routes may differ, key by key.\ndefaults:\n"));
		e->indent = 1;
		write_blocks(e, CONF_DEFAULTS, 0);
	} else if (strcmp(name, "upstreams") == 0) {
		write_upstream(e);
	} else {
		write_route(e);
	}
	e->indent = 0;
}

void conf_print_example(const struct conf_block *blocks, unsigned count, struct text *out)
{
	struct example e = { .out = out, .blocks = blocks, .count = count };
	text_add(out, SPAN("# yaml-language-server: $schema=/usr/share/outrigger/outrigger.schema.json\n"
		"#\n# Every key with its default. What stands in comments has no default, or does nothing until it is written.\n"
		"# `outrigger help KEY` says more about one; `outrigger check` reads a file and stops. Not a file to start from:\n"
		"# six lines are enough, see conf/examples/minimal.yaml.\n"));
	for (const struct conf_key *row = conf_top_keys; row->name; row++) {
		if (row->flags & CONF_LATER)
			continue;
		text_char(out, '\n');
		if (row->type == CONF_T_BLOCK && !row->keys)
			write_level(&e, row->name);
		else
			write_row(&e, row);
	}
}
