/* emit.c - see emit.h. What is written as YAML reads back as the same values: texts are quoted, and $ is doubled, as needed. */
#include "emit.h"

#include "value.h"

enum { COMMENT_COLUMN = 48 };

static bool yaml_plain(struct span s, bool flow)
{
	static const struct span words[] = { { "null", 4 }, { "true", 4 }, { "false", 5 }, { "yes", 3 }, { "no", 2 }, { "on", 2 },
		{ "y", 1 }, { "n", 1 }, { "~", 1 } };
	if (!s.len || s.at[s.len - 1] == ':')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (span_eq_nocase(s, words[i]))
			return false;
	if (!check_name(span_first(s, 1), "/_.~=:") || (flow && span_has(s, ':')))
		return false;
	return check_name(s, "/_.~=:-+@%^*()$;!");
}

/* Inside double quotes; a $ that would begin a reference is doubled. */
static void yaml_dollars(struct text *out, struct span s, bool quoted)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '$' && i + 1 < s.len && (s.at[i + 1] == '{' || s.at[i + 1] == '$'))
			text_char(out, '$');
		if (!quoted) {
			text_char(out, s.at[i]);
			continue;
		}
		size_t n = 1;
		while (i + n < s.len && ((unsigned char)s.at[i + n] & 0xc0) == 0x80)
			n++;
		json_escape(out, (struct span){ s.at + i, n });
		i += n - 1;
	}
}

void emit_yaml_text(struct text *out, struct span s, bool flow)
{
	bool plain = yaml_plain(s, flow);
	if (!plain)
		text_char(out, '"');
	yaml_dollars(out, s, !plain);
	if (!plain)
		text_char(out, '"');
}

/* ── lines ── */

static void line_begin(struct emit *e)
{
	unsigned indent = e->indent - e->dash;
	for (unsigned i = 0; i < indent; i++)
		text_add(e->out, SPAN("  "));
	if (e->dash)
		text_add(e->out, SPAN("- "));
	e->dash = false;
}

void emit_map_open(struct emit *e, const char *name)
{
	if (e->json) {
		json_open(e->json, name, '{');
		return;
	}
	line_begin(e);
	text_f(e->out, "%s:\n", name);
	e->indent++;
}

void emit_map_named(struct emit *e, struct span name)
{
	char memory[128];
	struct text key;
	text_over(&key, memory, sizeof(memory) - 1);
	if (e->json) {
		text_add(&key, name);
		memory[key.len] = '\0';
	} else {
		emit_yaml_text(&key, name, true);
		memory[key.len] = '\0';
	}
	emit_map_open(e, memory);
}

void emit_map_close(struct emit *e)
{
	if (e->json)
		json_close(e->json, '}');
	else
		e->indent--;
}

void emit_list_open(struct emit *e, const char *name)
{
	if (e->json)
		json_open(e->json, name, '[');
	else
		emit_map_open(e, name);
}

void emit_list_close(struct emit *e)
{
	if (e->json)
		json_close(e->json, ']');
	else
		e->indent--;
}

void emit_item_open(struct emit *e)
{
	if (e->json) {
		json_open(e->json, NULL, '{');
		return;
	}
	e->indent++;
	e->dash = true;
}

void emit_item_close(struct emit *e)
{
	emit_map_close(e);
	e->dash = false;
}

/* ── values ── */

static void yaml_texts(struct text *out, const struct conf_texts *texts)
{
	text_char(out, '[');
	for (unsigned i = 0; i < texts->count; i++) {
		if (i)
			text_add(out, SPAN(", "));
		emit_yaml_text(out, texts->at[i], true);
	}
	text_char(out, ']');
}

static void yaml_map(struct text *out, const struct conf_map *map)
{
	text_char(out, '{');
	for (unsigned i = 0; i < map->count; i++) {
		if (i)
			text_add(out, SPAN(", "));
		emit_yaml_text(out, map->at[i].name, true);
		text_add(out, SPAN(": "));
		emit_yaml_text(out, map->at[i].value, true);
	}
	text_char(out, '}');
}

/* The field as a map, when it is one. */
static const struct conf_map *map_of(const struct conf_key *row, const void *field)
{
	const struct conf_choice *choice = field;
	if (row->type == CONF_T_TEXT_OR_MAP)
		return choice->map.count ? &choice->map : NULL;
	return row->type == CONF_T_MAP ? field : NULL;
}

static void yaml_row(struct emit *e, const struct conf_key *row, const void *field, struct span written)
{
	const struct conf_map *map = map_of(row, field);
	if (row->flags & CONF_SECRET)
		text_add(e->out, SPAN("\"(hidden)\""));
	else if (row->type == CONF_T_TEXTS)
		yaml_texts(e->out, field);
	else if (map)
		yaml_map(e->out, map);
	else if (row->type == CONF_T_TEXT || row->type == CONF_T_TEXT_OR_MAP)
		emit_yaml_text(e->out, *(const struct span *)field, false);
	else if (row->type == CONF_T_CUSTOM && written.len && written.at[0] == '[')
		text_add(e->out, written);
	else if (row->type == CONF_T_CUSTOM)
		emit_yaml_text(e->out, written, false);
	else
		value_write(row, field, e->out);
}

static void json_elements(struct json *json, const char *name, struct span list)
{
	struct span rest = { list.at + 1, list.len - 2 }, element;
	json_open(json, name, '[');
	while (rest.len && span_next(&rest, ',', &element)) {
		if (element.len >= 2 && element.at[0] == '"')
			element = (struct span){ element.at + 1, element.len - 2 };
		json_span(json, NULL, element);
	}
	json_close(json, ']');
}

static void json_pairs(struct json *json, const char *name, const struct conf_map *map)
{
	json_open(json, name, '{');
	for (unsigned i = 0; i < map->count; i++)
		json_span(json, map->at[i].name.at, map->at[i].value);      /* names are NUL-terminated: the tree copied them */
	json_close(json, '}');
}

static void json_row(struct json *json, const struct conf_key *row, const void *field, struct span written)
{
	char memory[64];
	struct text value;
	const struct conf_texts *texts = field;
	const struct conf_map *map = map_of(row, field);
	text_over(&value, memory, sizeof(memory));
	if (row->flags & CONF_SECRET) {
		json_text(json, row->name, "(hidden)");
	} else if (row->type == CONF_T_TEXTS) {
		json_open(json, row->name, '[');
		for (unsigned i = 0; i < texts->count; i++)
			json_span(json, NULL, texts->at[i]);
		json_close(json, ']');
	} else if (map) {
		json_pairs(json, row->name, map);
	} else if (row->type == CONF_T_BOOL) {
		json_bool(json, row->name, *(const bool *)field);
	} else if (row->type == CONF_T_COUNT) {
		json_u64(json, row->name, *(const uint64_t *)field);
	} else if (row->type == CONF_T_TEXT || row->type == CONF_T_TEXT_OR_MAP) {
		json_span(json, row->name, *(const struct span *)field);
	} else if (row->type == CONF_T_CUSTOM && written.len >= 2 && written.at[0] == '[') {
		json_elements(json, row->name, written);
	} else if (row->type == CONF_T_CUSTOM) {
		json_span(json, row->name, written);
	} else {
		value_write(row, field, &value);
		json_span(json, row->name, text_span(&value));
	}
}

void emit_row(struct emit *e, const struct conf_key *row, const void *field, struct span written, const char *comment)
{
	if (e->json) {
		json_row(e->json, row, field, written);
		return;
	}
	size_t start = e->out->len;
	line_begin(e);
	text_f(e->out, "%s: ", row->name);
	yaml_row(e, row, field, written);
	if (comment) {
		do
			text_char(e->out, ' ');
		while (e->out->len - start < COMMENT_COLUMN && !e->out->cut);
		text_f(e->out, "# %s", comment);
	}
	text_char(e->out, '\n');
}
