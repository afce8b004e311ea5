/* json_schema.c - JSON Schema draft-07 for editors, from the tables.
 *
 * It says what the parser says, as far as a schema can: names, types, words, ranges of counts. Everything that may be a
 * variable (${NAME}) is allowed to be one.
 */
#include <stdio.h>

#include "emit.h"
#include "value.h"

struct schema { struct json json; const struct conf_block *blocks; unsigned count; };

static void write_value(struct schema *s, const struct conf_key *row);

static void write_reference(struct schema *s, const char *name)
{
	char path[96];
	snprintf(path, sizeof(path), "#/definitions/%s", name);
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "$ref", path);
	json_close(&s->json, '}');
}

static void write_bound(struct schema *s, const char *name, const char *bound)
{
	uint64_t n;
	struct span part;
	if (bound && value_count(span_of(bound), &n, &part) == VALUE_OK)
		json_u64(&s->json, name, n);
}

static const char *type_definition(enum conf_type type)
{
	switch (type) {
	case CONF_T_DURATION:  return "duration";
	case CONF_T_SIZE:      return "size";
	case CONF_T_RATE:      return "rate";
	case CONF_T_BYTE_RATE: return "byte_rate";
	case CONF_T_SHARE:     return "share";
	case CONF_T_TEXTS:
	case CONF_T_CUSTOM:    return "texts";
	case CONF_T_MAP:       return "map";
	default:               return "text";
	}
}

static void write_count(struct schema *s, const struct conf_key *row)
{
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "type", "integer");
	write_bound(s, "minimum", row->min ? row->min : "0");
	write_bound(s, "maximum", row->max);
	json_close(&s->json, '}');
	write_reference(s, "variable");
}

/* YAML 1.1 tools read the word off as false. */
static void write_words(struct schema *s, const struct conf_key *row)
{
	json_open(&s->json, NULL, '{');
	json_open(&s->json, "enum", '[');
	for (const char *const *w = row->words; *w; w++) {
		json_text(&s->json, NULL, *w);
		if (strcmp(*w, "off") == 0 || strcmp(*w, "on") == 0)
			json_bool(&s->json, NULL, (*w)[1] == 'n');
	}
	json_close(&s->json, ']');
	json_close(&s->json, '}');
	write_reference(s, "variable");
}

static void write_properties(struct schema *s, const struct conf_key *keys)
{
	for (const struct conf_key *row = keys; row->name; row++) {
		if ((row->flags & CONF_LATER) || (row->type == CONF_T_BLOCK && !row->keys))
			continue;
		json_open(&s->json, row->name, '{');
		write_value(s, row);
		json_close(&s->json, '}');
	}
}

static void write_object(struct schema *s, const struct conf_key *keys)
{
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "type", "object");
	json_bool(&s->json, "additionalProperties", false);
	json_open(&s->json, "properties", '{');
	write_properties(s, keys);
	json_close(&s->json, '}');
	json_close(&s->json, '}');
}

static void write_null(struct schema *s)
{
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "type", "null");
	json_close(&s->json, '}');
}

static void write_switch(struct schema *s, const struct conf_key *keys)
{
	const struct conf_key *enabled = schema_find(keys, SPAN("enabled"));
	if (!enabled || enabled->type != CONF_T_BOOL)
		return;
	json_open(&s->json, NULL, '{');
	json_open(&s->json, "enum", '[');
	json_text(&s->json, NULL, "off");
	json_text(&s->json, NULL, "on");
	json_bool(&s->json, NULL, false);
	json_bool(&s->json, NULL, true);
	json_close(&s->json, ']');
	json_close(&s->json, '}');
}

static void write_list(struct schema *s, const struct conf_key *row)
{
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "type", "array");
	json_open(&s->json, "items", '{');
	json_open(&s->json, "anyOf", '[');
	write_reference(s, "text");
	write_object(s, row->keys);
	json_close(&s->json, ']');
	json_close(&s->json, '}');
	json_close(&s->json, '}');
	write_reference(s, "text");
	write_object(s, row->keys);
}

/* The forms of a value, as elements of anyOf. */
static void write_forms(struct schema *s, const struct conf_key *row)
{
	switch (row->type) {
	case CONF_T_BOOL:
		json_open(&s->json, NULL, '{');
		json_text(&s->json, "type", "boolean");
		json_close(&s->json, '}');
		write_reference(s, "variable");
		break;
	case CONF_T_COUNT:
		write_count(s, row);
		break;
	case CONF_T_WORD:
		write_words(s, row);
		break;
	case CONF_T_BLOCK:
		write_object(s, row->keys);
		write_null(s);
		write_switch(s, row->keys);
		break;
	case CONF_T_LIST:
		write_list(s, row);
		break;
	case CONF_T_TEXT_OR_MAP:
		write_reference(s, "text");
		write_reference(s, "map");
		break;
	case CONF_T_NAMED:
		json_open(&s->json, NULL, '{');
		json_text(&s->json, "type", "object");
		json_open(&s->json, "additionalProperties", '{');
		json_open(&s->json, "anyOf", '[');
		write_object(s, row->keys);
		json_close(&s->json, ']');
		json_close(&s->json, '}');
		json_close(&s->json, '}');
		write_null(s);
		break;
	default:
		write_reference(s, type_definition(row->type));
	}
}

static void write_preset(struct schema *s, const struct conf_key *row)
{
	uint64_t n;
	if (!row->preset || row->type == CONF_T_TEXTS || row->type == CONF_T_CUSTOM)
		return;
	if (row->type == CONF_T_BOOL)
		json_bool(&s->json, "default", strcmp(row->preset, "true") == 0);
	else if (row->type == CONF_T_COUNT && span_to_u64(span_of(row->preset), UINT64_MAX, &n))
		json_u64(&s->json, "default", n);
	else
		json_text(&s->json, "default", row->preset);
}

static void write_value(struct schema *s, const struct conf_key *row)
{
	char words[400];
	struct text description;
	text_over(&description, words, sizeof(words));
	text_add(&description, span_of(row->help));
	if (row->preset)
		text_f(&description, " (default: %s)", *row->preset ? row->preset : "empty");
	if (row->min && row->max)
		text_f(&description, " (%s to %s)", row->min, row->max);
	json_span(&s->json, "description", text_span(&description));
	write_preset(s, row);
	json_open(&s->json, "anyOf", '[');
	write_forms(s, row);
	json_close(&s->json, ']');
}

/* ── levels ── */

static void write_block(struct schema *s, const struct conf_block *block)
{
	json_open(&s->json, block->name, '{');
	json_text(&s->json, "description", block->help);
	json_open(&s->json, "anyOf", '[');
	write_object(s, block->keys);
	write_null(s);
	write_switch(s, block->keys);
	const struct conf_key *first = block->keys;
	while (first->name && strcmp(first->name, "enabled") == 0)
		first++;
	if (block->scalar_ok && first->name)
		write_forms(s, first);
	json_close(&s->json, ']');
	json_close(&s->json, '}');
}

static void write_level(struct schema *s, const char *name, unsigned level)
{
	json_open(&s->json, name, '{');
	json_text(&s->json, "type", "object");
	json_bool(&s->json, "additionalProperties", false);
	json_open(&s->json, "properties", '{');
	write_properties(s, scope_of(level)->own);
	for (unsigned i = 0; i < s->count; i++) {
		const struct conf_block *block = &s->blocks[i];
		if (!(block->levels & level))
			continue;
		if (!block->name) {
			write_properties(s, block->keys);
			continue;
		}
		char path[96];
		snprintf(path, sizeof(path), "#/definitions/%s", block->name);
		json_open(&s->json, block->name, '{');
		json_text(&s->json, "$ref", path);
		json_close(&s->json, '}');
	}
	json_close(&s->json, '}');
	json_close(&s->json, '}');
}

static void write_top_levels(struct schema *s)
{
	write_level(s, "defaults", CONF_DEFAULTS);
	json_open(&s->json, "upstreams", '{');
	json_text(&s->json, "description", "what we protect, by name");
	json_text(&s->json, "type", "object");
	write_level(s, "additionalProperties", CONF_UPSTREAM);
	json_close(&s->json, '}');
	json_open(&s->json, "routes", '{');
	json_text(&s->json, "description", "who goes where: the most specific path wins, then the order written");
	json_text(&s->json, "type", "array");
	write_level(s, "items", CONF_ROUTE);
	json_close(&s->json, '}');
}

static void write_definition(struct schema *s, const char *name, const char *pattern)
{
	json_open(&s->json, name, '{');
	json_text(&s->json, "type", "string");
	json_text(&s->json, "pattern", pattern);
	json_close(&s->json, '}');
}

static void write_definitions(struct schema *s)
{
	json_open(&s->json, "definitions", '{');
	write_definition(s, "variable", "\\$\\{");
	write_definition(s, "duration", "^([0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d))+$|\\$\\{");
	write_definition(s, "size", "^[0-9]+(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$|\\$\\{");
	write_definition(s, "rate", "^[0-9]+/(s|m|h)$|\\$\\{");
	write_definition(s, "byte_rate", "^[0-9]+(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)/s$|\\$\\{");
	write_definition(s, "share", "^[0-9]+(\\.[0-9]+)?%$|\\$\\{");
	json_open(&s->json, "text", '{');
	json_open(&s->json, "type", '[');
	json_text(&s->json, NULL, "string");
	json_text(&s->json, NULL, "number");
	json_text(&s->json, NULL, "boolean");
	json_close(&s->json, ']');
	json_close(&s->json, '}');
	json_open(&s->json, "texts", '{');
	json_open(&s->json, "anyOf", '[');
	write_reference(s, "text");
	json_open(&s->json, NULL, '{');
	json_text(&s->json, "type", "array");
	json_open(&s->json, "items", '{');
	json_text(&s->json, "$ref", "#/definitions/text");
	json_close(&s->json, '}');
	json_close(&s->json, '}');
	json_close(&s->json, ']');
	json_close(&s->json, '}');
	json_open(&s->json, "map", '{');
	json_text(&s->json, "type", "object");
	json_open(&s->json, "additionalProperties", '{');
	json_text(&s->json, "$ref", "#/definitions/text");
	json_close(&s->json, '}');
	json_close(&s->json, '}');
	for (unsigned i = 0; i < s->count; i++)
		if (s->blocks[i].name)
			write_block(s, &s->blocks[i]);
	json_close(&s->json, '}');
}

void conf_print_schema(const struct conf_block *blocks, unsigned count, struct text *out)
{
	struct schema s = { .blocks = blocks, .count = count };
	json_init(&s.json, out);
	json_open(&s.json, NULL, '{');
	json_text(&s.json, "$schema", "http://json-schema.org/draft-07/schema#");
	json_text(&s.json, "title", "outrigger configuration");
	json_text(&s.json, "type", "object");
	json_bool(&s.json, "additionalProperties", false);
	json_open(&s.json, "patternProperties", '{');
	json_open(&s.json, "^x-", '{');
	json_close(&s.json, '}');
	json_close(&s.json, '}');
	json_open(&s.json, "properties", '{');
	write_properties(&s, conf_top_keys);
	write_top_levels(&s);
	json_close(&s.json, '}');
	write_definitions(&s);
	json_close(&s.json, '}');
	text_char(out, '\n');
}
