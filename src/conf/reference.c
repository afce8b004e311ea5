/* reference.c - docs/configuration.md, printed from the tables: what stands there is what the parser does. */
#include "reference.h"

#include <stdio.h>

void reference_form(const struct conf_key *row, struct text *out)
{
	static const char *const forms[] = {
		[CONF_T_BOOL] = "true or false", [CONF_T_COUNT] = "count", [CONF_T_DURATION] = "duration", [CONF_T_SIZE] = "size",
		[CONF_T_RATE] = "rate", [CONF_T_BYTE_RATE] = "bytes per second", [CONF_T_SHARE] = "share", [CONF_T_TEXT] = "text",
		[CONF_T_TEXTS] = "text or list of texts", [CONF_T_MAP] = "mapping of texts", [CONF_T_TEXT_OR_MAP] = "text or mapping of texts",
		[CONF_T_BLOCK] = "mapping", [CONF_T_LIST] = "one or a list", [CONF_T_NAMED] = "mapping of names", [CONF_T_CUSTOM] = "text",
	};
	if (row->type == CONF_T_WORD) {
		for (const char *const *w = row->words; *w; w++)
			text_f(out, "%s%s", w == row->words ? "" : w[1] ? ", " : " or ", *w);
		return;
	}
	if (row->type == CONF_T_CUSTOM && row->preset && row->preset[0] == '[')
		text_add(out, SPAN("text or list of texts"));
	else
		text_add(out, span_of(forms[row->type]));
	if (row->min && row->max && row->type != CONF_T_SHARE)
		text_f(out, ", %s to %s", row->min, row->max);
	else if (row->max && row->type != CONF_T_SHARE)
		text_f(out, ", at most %s", row->max);
}

void reference_levels(unsigned levels, struct text *out)
{
	static const char *const names[] = { "defaults", "upstreams", "routes" };
	const char *before = "";
	for (unsigned i = 0; i < 3; i++)
		if (levels & (1u << i)) {
			text_f(out, "%s%s", before, names[i]);
			before = ", ";
		}
}

void reference_preset(const struct conf_key *row, struct text *out)
{
	if (!row->preset)
		return;
	if (strstr(row->preset, "${"))            /* what the environment says: not a text that happens to look like it */
		text_f(out, "\"%s\"", row->preset);
	else if (row->type == CONF_T_TEXT)
		emit_yaml_text(out, span_of(row->preset), false);
	else
		text_add(out, span_of(row->preset));
}

/* ── the page ── */

struct page { struct text *out; unsigned not_yet; };

/* Bars would end the cell. */
static void cell(struct text *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '|')
			text_char(out, '\\');
		text_char(out, s.at[i]);
	}
}

static void table_head(struct text *out, bool with_levels)
{
	text_add(out, with_levels ? SPAN("| key | value | default | may stand in | |\n|---|---|---|---|---|\n")
		: SPAN("| key | value | default | |\n|---|---|---|---|\n"));
}

static void table_row(struct text *out, struct span path, const struct conf_key *row, unsigned levels)
{
	char memory[400];
	struct text words;
	text_f(out, "| `" SPAN_FMT "` | ", SPAN_ARG(path));
	text_over(&words, memory, sizeof(memory));
	reference_form(row, &words);
	cell(out, text_span(&words));
	text_add(out, SPAN(" | "));
	text_over(&words, memory, sizeof(memory));
	reference_preset(row, &words);
	if (words.len) {
		text_char(out, '`');
		cell(out, text_span(&words));
		text_char(out, '`');
	}
	text_add(out, SPAN(" | "));
	if (levels) {
		reference_levels(levels, out);
		text_add(out, SPAN(" | "));
	}
	cell(out, span_of(row->help));
	if (row->example) {
		text_add(out, SPAN(" — e.g. `"));
		cell(out, span_of(row->example));
		text_char(out, '`');
	}
	text_add(out, SPAN(" |\n"));
}

static void table_rows(struct text *out, struct span prefix, const struct conf_key *keys, unsigned levels)
{
	for (const struct conf_key *row = keys; row->name; row++) {
		char memory[128];
		struct text path;
		if (row->flags & CONF_LATER)
			continue;
		text_over(&path, memory, sizeof(memory));
		text_f(&path, SPAN_FMT "%s%s", SPAN_ARG(prefix), prefix.len ? "." : "", row->name);
		table_row(out, text_span(&path), row, levels);
		if (row->keys)
			table_rows(out, text_span(&path), row->keys, levels);
	}
}

static void not_yet(struct text *out, const struct conf_key *keys, const char *where)
{
	for (const struct conf_key *row = keys; row->name; row++) {
		char memory[64];
		if (row->flags & CONF_LATER)
			text_f(out, "- `%s%s`: %s\n", where, row->name, row->help);
		snprintf(memory, sizeof(memory), "%s%s.", where, row->name);
		if (row->keys)
			not_yet(out, row->keys, memory);
	}
}

static const char page_intro[] =
	"# Configuration\n\n"
	"<!-- Printed by `outrigger` from the tables that parse the file. Do not edit. -->\n\n"
	"The six lines that are enough:\n\n"
	"```yaml\n# yaml-language-server: $schema=/usr/share/outrigger/outrigger.schema.json\n"
	"listen: 0.0.0.0:8080\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n    timeout: 10s\n```\n\n"
	"**defaults < upstream < route: the most specific value wins, key by key.** `outrigger explain METHOD URL` shows every\n"
	"setting of a route and where it came from, `outrigger config --origin` all of them.\n\n"
	"| kind | written as |\n|---|---|\n"
	"| duration | number and unit, also several: `10s`, `1m30s`, `250ms`; units `us ms s m h d` |\n"
	"| size | `500B`, `64KiB`, `16MiB`; units `B KB MB GB KiB MiB GiB` |\n"
	"| rate | `100/s`, `100/m`, `100/h` |\n"
	"| bytes per second | `500B/s`, `64KiB/s` |\n"
	"| share | `20%`, `0.5%` |\n\n"
	"Units are compulsory: `timeout: 10` is refused. `${NAME}`, `${NAME:-default}`, `${NAME:?message}` in a value are replaced\n"
	"by the environment variable (`$$` is a plain `$`); one that is unset and has no default is an error. Top-level keys that\n"
	"begin with `x-` are ignored: put anchors there. `retry: off` switches a block off that has a key `enabled`.\n\n";

static void page_section(struct text *out, const struct conf_key *row)
{
	text_f(out, "## %s\n\n%s.\n\n", row->name, row->help);
	if (row->keys) {
		char memory[128];
		struct text path;
		text_over(&path, memory, sizeof(memory));
		text_f(&path, "%s%s", row->name, row->type == CONF_T_NAMED ? ".NAME" : "");
		table_head(out, false);
		table_rows(out, text_span(&path), row->keys, 0);
	} else {
		table_head(out, false);
		table_row(out, span_of(row->name), row, 0);
	}
	text_char(out, '\n');
}

static void page_blocks(struct text *out, const struct conf_block *blocks, unsigned count)
{
	text_add(out, SPAN("## defaults, upstreams, routes\n\n"
		"Settings of the policies. The most specific level that writes a key wins.\n\n"));
	for (unsigned i = 0; i < count; i++) {
		const struct conf_block *block = &blocks[i];
		text_f(out, "### %s\n\n%s.%s\n\n", block->name ? block->name : block->keys[0].name, block->help ? block->help : "",
			block->optional ? " Does nothing unless it is written." : "");
		table_head(out, true);
		table_rows(out, block->name ? span_of(block->name) : SPAN(""), block->keys, block->levels);
		text_char(out, '\n');
	}
}

void conf_print_reference(const struct conf_block *blocks, unsigned count, struct text *out)
{
	text_add(out, span_of(page_intro));
	for (const struct conf_key *row = conf_top_keys; row->name; row++)
		if (!(row->flags & CONF_LATER) && (row->type != CONF_T_BLOCK || row->keys))
			page_section(out, row);
	text_add(out, SPAN("## upstreams\n\nA mapping of names. A route may also name a URL: then an upstream is made for it.\n\n"));
	table_head(out, false);
	table_rows(out, SPAN("upstreams.NAME"), conf_upstream_keys, 0);
	text_add(out, SPAN("\n## routes\n\nA list. The most specific path wins, then the order written.\n\n"));
	table_head(out, false);
	table_rows(out, SPAN("routes[]"), conf_route_keys, 0);
	text_char(out, '\n');
	page_blocks(out, blocks, count);
	text_add(out, SPAN("## Not in this version\n\n"
		"These keys are known and refused, so that nothing is silently without effect.\n\n"));
	not_yet(out, conf_top_keys, "");
	not_yet(out, conf_upstream_keys, "upstreams.NAME.");
	not_yet(out, conf_route_keys, "routes[].");
}
