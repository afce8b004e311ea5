/* apply.c - tables of rows onto structs. Goes on after a mistake, so that all of them are found in one run.
 *
 * A key that is unknown or not in this version is reported and then taken out of the tree: what is left is bounded by
 * the tables, so that no file can make applying it expensive. Nothing is copied: the texts of the tree live as long as
 * the configuration.
 */
#include <stdio.h>

#include "base/must.h"
#include "emit.h"
#include "load.h"
#include "value.h"

enum { ITEMS_MAX = 1024 };                      /* elements of one list, pairs of one mapping */
enum { NAME_LONGEST = 64 };

static void *row_field(const struct conf_key *row, void *base) { return (char *)base + row->offset; }

static unsigned items_allowed(struct conf_reading *r, const struct conf_key *row, const struct node *value)
{
	unsigned n = value->kind == NODE_SCALAR ? 1 : value->count;
	if (n <= ITEMS_MAX)
		return n;
	conf_complain(r, SPAN_NONE, "'%s' has %u elements", row->name, n);
	conf_hint(r, "at most %d", ITEMS_MAX);
	return 0;
}

/* Without memory there are none of them: what is read later looks at the count. */
static void *items_new(struct conf_reading *r, unsigned *count, size_t size)
{
	void *items = *count ? arena_take_zeroed(conf_arena(r), *count * size) : NULL;
	if (*count && !items) {
		complain_memory(r->load);
		*count = 0;
	}
	return items;
}

const char *schema_switch(const struct conf_key *keys, const struct node *value)
{
	const struct conf_key *enabled = schema_find(keys, SPAN("enabled"));
	if (!enabled || enabled->type != CONF_T_BOOL || value->kind != NODE_SCALAR)
		return NULL;
	if (span_eq(value->text, SPAN("off")) || span_eq(value->text, SPAN("false")))
		return "false";
	return span_eq(value->text, SPAN("on")) || span_eq(value->text, SPAN("true")) ? "true" : NULL;
}

void schema_apply_block(struct conf_reading *r, const char *name, const struct conf_key *keys, struct node *value, void *to)
{
	const struct place here = { .up = r->place, .name = span_of(name), .index = -1 };
	const char *enabled = schema_switch(keys, value);
	struct conf_reading inner = *r;
	inner.place = &here;
	if (node_is_null(value)) {
		return;                         /* everything beneath may be commented out */
	} else if (value->kind == NODE_MAP) {
		schema_apply(&inner, keys, value, to);
		r->failed |= inner.failed;
	} else if (enabled) {
		struct node word = *value, key = *value;
		word.text = span_of(enabled);
		key.value = &word;
		schema_apply_row(&inner, schema_find(keys, SPAN("enabled")), &key, to);
	} else {
		r->node = value;
		conf_complain(r, SPAN_NONE, "'%s' must be a mapping", name);
		conf_hint(r, "write %s: {%s: ...}", name, keys[0].name);
	}
}

static void apply_item(struct conf_reading *r, const struct conf_key *row, struct node *item, void *to, unsigned index)
{
	const struct place here = { .up = r->place, .name = span_of(row->name), .index = (int)index };
	struct conf_reading inner = *r;
	inner.place = &here;
	schema_preset(&inner, row->keys, to);
	inner.node = item;
	if (item->broken) {
		inner.failed = true;
	} else if (item->kind == NODE_MAP) {
		schema_apply(&inner, row->keys, item, to);
		schema_require(&inner, row->keys, item, to);
	} else if (item->kind == NODE_SCALAR && !node_is_null(item)) {
		struct node key = *item;
		key.text = span_of(row->keys[0].name);
		key.value = item;
		schema_apply_row(&inner, &row->keys[0], &key, to);
	} else {
		conf_complain(&inner, SPAN_NONE, "an element of '%s' must be a mapping or a text", row->name);
	}
	r->failed |= inner.failed;
}

static void apply_list(struct conf_reading *r, const struct conf_key *row, struct node *value, void *base)
{
	bool many = value->kind == NODE_LIST;
	struct conf_list list = { .count = many ? items_allowed(r, row, value) : !node_is_null(value) };
	list.at = items_new(r, &list.count, row->item_size);
	struct node *item = many ? value->first : value;
	for (unsigned i = 0; list.at && i < list.count; i++, item = item->next)
		apply_item(r, row, item, (char *)list.at + i * row->item_size, i);
	/* Member by member: the field may be a typed pointer and a count, with something else right behind them. */
	memcpy(row_field(row, base), &list.at, sizeof(list.at));
	memcpy((char *)row_field(row, base) + offsetof(struct conf_list, count), &list.count, sizeof(list.count));
}

static void apply_named_item(struct conf_reading *r, const struct conf_key *row, const struct node *key, void *to)
{
	const struct place here = { .up = r->place, .name = key->text, .index = -1 };
	struct conf_reading inner = *r;
	inner.place = &here;
	inner.node = key;
	schema_preset(&inner, row->keys, to);
	memcpy(to, &key->text, sizeof(key->text));
	if (key->text.len > NAME_LONGEST || !check_name(key->text, "-_.")) {
		conf_complain(&inner, SPAN_NONE, "'" SPAN_FMT "' cannot be a name", SPAN_ARG(key->text));
		conf_hint(&inner, "at most %d letters, digits and - _ .", NAME_LONGEST);
	} else if (key->value->kind != NODE_MAP) {
		conf_complain(&inner, SPAN_NONE, "'" SPAN_FMT "' must be a mapping", SPAN_ARG(key->text));
		conf_hint(&inner, "write " SPAN_FMT ": {%s: %s}", SPAN_ARG(key->text), row->keys[0].name,
			row->keys[0].example ? row->keys[0].example : "...");
	} else {
		schema_apply(&inner, row->keys, key->value, to);
		schema_require(&inner, row->keys, key->value, to);
	}
	r->failed |= inner.failed;
}

static void apply_named(struct conf_reading *r, const struct conf_key *row, struct node *value, void *base)
{
	if (value->kind != NODE_MAP && !node_is_null(value)) {
		conf_complain(r, SPAN_NONE, "'%s' must be a mapping of names", row->name);
		conf_hint(r, "write %s: {name: {%s: ...}}", row->name, row->keys[0].name);
		return;
	}
	struct conf_list list = { .count = node_is_null(value) ? 0 : items_allowed(r, row, value) };
	list.at = items_new(r, &list.count, row->item_size);
	const struct node *key = value->first;
	for (unsigned i = 0; list.at && i < list.count; i++, key = key->next)
		apply_named_item(r, row, key, (char *)list.at + i * row->item_size);
	memcpy(row_field(row, base), &list.at, sizeof(list.at));
	memcpy((char *)row_field(row, base) + offsetof(struct conf_list, count), &list.count, sizeof(list.count));
}

static bool text_element(struct conf_reading *r, const struct conf_key *row, const struct node *item)
{
	r->node = item;
	if (item->broken) {
		r->failed = true;
		return false;
	}
	if (item->kind == NODE_SCALAR && !node_is_null(item))
		return true;
	if (item->kind == NODE_SCALAR)
		conf_complain(r, SPAN_NONE, "'%s' has no value", row->name);
	else
		conf_complain(r, SPAN_NONE, "'%s' takes plain values, not a %s here", row->name, item->kind == NODE_MAP ? "mapping" : "list");
	return false;
}

static void apply_texts(struct conf_reading *r, const struct conf_key *row, struct node *value, void *base)
{
	bool many = value->kind == NODE_LIST;
	struct conf_texts texts = { .count = many ? items_allowed(r, row, value) : 1 };
	texts.at = items_new(r, &texts.count, sizeof(*texts.at));
	struct node *item = many ? value->first : value;
	for (unsigned i = 0; texts.at && i < texts.count; i++, item = item->next) {
		texts.at[i] = SPAN("");
		if (!text_element(r, row, item))
			continue;
		texts.at[i] = item->text;
		if (row->read)
			row->read(r, &texts.at[i], item->text, i);
	}
	memcpy(row_field(row, base), &texts, sizeof(texts));
}

static void apply_map(struct conf_reading *r, const struct conf_key *row, struct node *value, void *field)
{
	if (value->kind != NODE_MAP) {
		conf_complain(r, SPAN_NONE, "'%s' must be a mapping", row->name);
		conf_hint(r, "write %s: {name: value}", row->name);
		return;
	}
	struct conf_map map = { .count = items_allowed(r, row, value) };
	map.at = items_new(r, &map.count, sizeof(*map.at));
	const struct node *pair = value->first;
	for (unsigned i = 0; map.at && i < map.count; i++, pair = pair->next) {
		const struct node *text = pair->value;
		bool is_text = text->kind == NODE_SCALAR && !node_is_null(text);
		map.at[i] = (struct conf_pair){ pair->text, is_text ? text->text : SPAN("") };
		r->node = pair;
		if (text->broken) {
			r->failed = true;
		} else if (!is_text) {
			conf_complain(r, SPAN_NONE, "'" SPAN_FMT "' must be a text", SPAN_ARG(pair->text));
			conf_hint(r, "write \"\" for an empty one");
		} else if (row->read) {
			row->read(r, &map.at[i], pair->text, 2 * i);
			r->node = text;
			row->read(r, &map.at[i], text->text, 2 * i + 1);
		}
	}
	memcpy(field, &map, sizeof(map));
}

/* Nothing said and still refused? Then the words are ours. */
static void custom_read(struct conf_reading *r, const struct conf_key *row, void *field, struct span text, unsigned index)
{
	bool before = r->failed;
	r->failed = false;
	if (!row->read(r, field, text, index) && !r->failed)
		conf_complain(r, SPAN_NONE, "'%s' cannot be '" SPAN_FMT "'", row->name, SPAN_ARG(text));
	r->failed |= before;
}

/* The text as written is kept for the printers, who cannot ask the struct. */
static struct span apply_custom(struct conf_reading *r, const struct conf_key *row, struct node *value, void *base)
{
	if (value->kind != NODE_LIST) {
		if (text_element(r, row, value))
			custom_read(r, row, row_field(row, base), value->text, 0);
		return value->text;
	}
	struct text all;
	text_init(&all, 64 * 1024);
	unsigned count = items_allowed(r, row, value);
	if (!value->count)
		custom_read(r, row, row_field(row, base), SPAN_NONE, 0);
	struct node *item = value->first;
	for (unsigned i = 0; i < count; i++, item = item->next) {
		if (text_element(r, row, item))
			custom_read(r, row, row_field(row, base), item->text, i);
		text_add(&all, i ? SPAN(", ") : SPAN(""));
		emit_yaml_text(&all, item->text, true);
	}
	struct span inside = text_span(&all), whole = SPAN_NONE;
	char *copy = arena_text(conf_arena(r), inside.len + 2);
	if (copy) {
		copy[0] = '[';
		if (inside.len)
			memcpy(copy + 1, inside.at, inside.len);
		copy[inside.len + 1] = ']';
		whole = (struct span){ copy, inside.len + 2 };
	}
	text_fini(&all);
	return whole;
}

static struct span apply_value(struct conf_reading *r, const struct conf_key *row, struct node *value, void *base)
{
	switch (row->type) {
	case CONF_T_BLOCK:
		if (row->keys)                  /* else it is read elsewhere */
			schema_apply_block(r, row->name, row->keys, value, row_field(row, base));
		return SPAN_NONE;
	case CONF_T_LIST:
		apply_list(r, row, value, base);
		return SPAN_NONE;
	case CONF_T_NAMED:
		apply_named(r, row, value, base);
		return SPAN_NONE;
	case CONF_T_TEXTS:
		apply_texts(r, row, value, base);
		return SPAN_NONE;
	case CONF_T_MAP:
		apply_map(r, row, value, row_field(row, base));
		return SPAN_NONE;
	case CONF_T_TEXT_OR_MAP:
		if (value->kind != NODE_MAP)
			break;
		apply_map(r, row, value, (char *)row_field(row, base) + offsetof(struct conf_choice, map));
		return SPAN_NONE;
	case CONF_T_CUSTOM:
		return apply_custom(r, row, value, base);
	default:
		break;
	}
	if (value->kind != NODE_SCALAR) {
		conf_complain(r, SPAN_NONE, "'%s' takes one value, not a %s", row->name, value->kind == NODE_MAP ? "mapping" : "list");
	} else if (node_is_null(value)) {
		conf_complain(r, SPAN_NONE, "'%s' has no value", row->name);
		conf_hint(r, "leave the line out%s%s", row->preset && *row->preset ? " for the default, " : "", row->preset ? row->preset : "");
	} else if (schema_scalar(r, row, row_field(row, base), value->text) && row->read) {
		row->read(r, row_field(row, base), value->text, 0);
	}
	return SPAN_NONE;
}

void schema_apply_row(struct conf_reading *r, const struct conf_key *row, struct node *key, void *base)
{
	struct node *value = key->value;
	r->row = row;
	/* A value that is a collection or nothing has no place of its own worth showing. */
	const struct node *at = value->kind == NODE_SCALAR && !node_is_null(value) ? value : key;
	r->node = at;
	r->failed |= value->broken;
	struct origin origin = { .base = base, .row = row, .level = r->level, .via = at->source->via, .line = at->line, .node = at };
	if (!value->broken)
		origin.text = apply_value(r, row, value, base);
	if (!origins_put(r->load->conf->origins, &origin))
		complain_memory(r->load);
	if (row->present_offset != CONF_NO_PRESENCE)
		*((bool *)base + row->present_offset) = true;
}

void schema_apply(struct conf_reading *outer, const struct conf_key *keys, struct node *map, void *base)
{
	struct node *before = NULL;
	for (struct node *key = map->first; key; key = key->next) {
		struct conf_reading r = *outer;
		r.failed = false;
		const struct conf_key *row = schema_find(keys, key->text);
		if (row && !(row->flags & CONF_LATER)) {
			schema_apply_row(&r, row, key, base);
			before = key;
		} else if (row) {
			schema_not_yet(&r, key);
			node_unlink(map, before, key);
		} else {
			struct nearest nearest;
			nearest_init(&nearest, key->text);
			schema_offer(&nearest, "", keys);
			schema_unknown(&r, key, &nearest);
			if (!nearest_found(&nearest))
				schema_hint_allowed(&r, keys);
			node_unlink(map, before, key);
		}
		outer->failed |= r.failed;
	}
}

/* ── defaults ── */

/* "[GET, HEAD]" or one value: each element, trimmed. */
static bool preset_next(struct span *rest, bool list, struct span *element)
{
	if (list)
		return span_next(rest, ',', element);
	*element = *rest;
	bool more = rest->at != NULL;
	*rest = SPAN_NONE;
	return more;
}

static void preset_elements(struct conf_reading *r, const struct conf_key *row, void *field)
{
	struct span all = span_of(row->preset), element;
	bool list = all.len >= 2 && all.at[0] == '[' && all.at[all.len - 1] == ']';
	if (list)
		all = (struct span){ all.at + 1, all.len - 2 };
	struct conf_texts texts = { .count = 0 };
	for (struct span rest = all; (!list || all.len) && preset_next(&rest, list, &element);)
		texts.count++;
	if (row->type == CONF_T_TEXTS)
		texts.at = items_new(r, &texts.count, sizeof(*texts.at));
	struct span rest = all;
	for (unsigned i = 0; i < texts.count && preset_next(&rest, list, &element); i++) {
		if (row->type == CONF_T_CUSTOM)
			must(row->read(r, field, element, i));
		else if (texts.at)
			texts.at[i] = element;
	}
	if (row->type == CONF_T_TEXTS)
		memcpy(field, &texts, sizeof(texts));
}

/* "${NAME:-default}" is as good in a default as in a file. What the environment holds is no mistake of ours: it is looked at by `read`. */
static void preset_scalar(struct conf_reading *r, const struct conf_key *row, void *field)
{
	struct node node = { .kind = NODE_SCALAR, .text = span_of(row->preset), .weight = 1 };
	if (row->type != CONF_T_TEXT || !span_has(node.text, '$')) {
		schema_scalar(r, row, field, node.text);
		return;
	}
	must(expand_value(r->load, &node));
	r->node = NULL;
	if (schema_scalar(r, row, field, node.text) && row->read)
		row->read(r, field, node.text, 0);
}

void schema_preset(struct conf_reading *r, const struct conf_key *keys, void *base)
{
	const struct node *node = r->node;
	r->node = &schema_preset_node;
	for (const struct conf_key *row = keys; row->name; row++) {
		r->row = row;
		if (row->type == CONF_T_BLOCK && row->keys)
			schema_preset(r, row->keys, row_field(row, base));
		else if (row->preset && (row->type == CONF_T_TEXTS || row->type == CONF_T_CUSTOM))
			preset_elements(r, row, row_field(row, base));
		else if (row->preset)
			preset_scalar(r, row, row_field(row, base));
		r->node = &schema_preset_node;
	}
	r->node = node;
}

void schema_require(struct conf_reading *r, const struct conf_key *keys, const struct node *at, const void *base)
{
	for (const struct conf_key *row = keys; row->name; row++) {
		if (!(row->flags & CONF_REQUIRED) || origins_find(r->load->conf->origins, base, row))
			continue;
		r->node = at;
		conf_complain(r, SPAN_NONE, "'%s' is missing", row->name);
		conf_hint(r, "%s", row->help);
	}
}
