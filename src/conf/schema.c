/* schema.c - looking up rows, and the words for what is wrong with keys. */
#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"
#include "load.h"

const struct node schema_preset_node = { .kind = NODE_SCALAR, .weight = 1 };

/* ── complaining ── */

struct arena *conf_arena(struct conf_reading *r) { return &r->load->conf->arena; }

static struct span words_of(struct text *memory, const char *format, va_list args)
{
	char words[300];
	vsnprintf(words, sizeof(words), format, args);
	text_add(memory, span_of(words));
	return text_span(memory);
}

static void reading_complain(struct conf_reading *r, const struct node *at, struct span part, const char *format, va_list args)
{
	char memory[300];
	struct text words;
	text_over(&words, memory, sizeof(memory));
	struct span message = words_of(&words, format, args);
	r->failed = true;
	if (at == &schema_preset_node)
		must_fail(r->row ? r->row->name : "preset", __FILE__, __LINE__, "a default in a table is wrong");
	complain(r->load, at, part, SPAN_FMT, SPAN_ARG(message));
}

/* Who wrote the value of that row of the block that is being checked, most specific level first. */
static const struct node *block_node(const struct conf_reading *r, struct span path)
{
	for (unsigned i = 0; r->block && i < 3 && r->bases[i]; i++) {
		const void *base = r->bases[i];
		const struct conf_key *row = schema_find_path(r->block->keys, path, &base);
		const struct origin *origin = row ? origins_find(r->load->conf->origins, base, row) : NULL;
		if (origin && origin->node)
			return origin->node;
	}
	return NULL;
}

/* The node whose text `part` is a piece of. */
static const struct node *node_with(const struct node *n, struct span part)
{
	if (n->kind == NODE_SCALAR && part.at >= n->text.at && part.at < span_end(n->text))
		return n;
	const struct node *found = n->value ? node_with(n->value, part) : NULL;
	for (const struct node *child = n->first; child && !found; child = child->next)
		found = node_with(child, part);
	return found;
}

void conf_complain(struct conf_reading *r, struct span part, const char *message, ...)
{
	const struct node *at = r->node;
	if (r->block && part.len) {             /* a check names the key, or hands in a piece of a text that it was given */
		const struct node *named = block_node(r, part), *holds = named ? NULL : node_with(at, part);
		at = named ? named : holds ? holds : at;
	}
	va_list args;
	va_start(args, message);
	reading_complain(r, at, part, message, args);
	va_end(args);
}

void conf_complain_key(struct conf_reading *r, const char *key, const char *message, ...)
{
	const struct node *named = block_node(r, span_of(key)), *at = named ? named : r->node;
	va_list args;
	va_start(args, message);
	reading_complain(r, at, SPAN_NONE, message, args);
	va_end(args);
}

void conf_hint(struct conf_reading *r, const char *hint, ...)
{
	char memory[300];
	struct text words;
	text_over(&words, memory, sizeof(memory));
	va_list args;
	va_start(args, hint);
	struct span all = words_of(&words, hint, args);
	va_end(args);
	complain_hint(r->load, SPAN_FMT, SPAN_ARG(all));
}

void schema_place(const struct place *place, struct text *out)
{
	if (!place)
		return;
	schema_place(place->up, out);
	if (place->name.len)
		text_f(out, "%s" SPAN_FMT, place->up && place->up->name.len ? "." : "", SPAN_ARG(place->name));
	if (place->index >= 0)
		text_f(out, "[%d]", place->index);
}

/* " in routes[1].retry ('orders')", or nothing at the top. */
static void place_words(const struct place *place, struct text *out)
{
	text_add(out, SPAN(" in "));
	size_t before = out->len;
	schema_place(place, out);
	if (out->len == before)
		out->len = 0;
	for (; place && !place->label.len; place = place->up)
		;
	if (place)
		text_f(out, " ('" SPAN_FMT "')", SPAN_ARG(place->label));
}

/* ── looking up rows ── */

const struct conf_key *schema_find(const struct conf_key *keys, struct span name)
{
	for (; keys && keys->name; keys++)
		if (span_eq(span_of(keys->name), name))
			return keys;
	return NULL;
}

const struct conf_key *schema_find_path(const struct conf_key *keys, struct span path, const void **base)
{
	struct span name;
	const struct conf_key *row = NULL;
	while (span_next(&path, '.', &name)) {
		if (row && base)
			*base = (const char *)*base + row->offset;
		row = schema_find(row ? row->keys : keys, name);
		if (!row)
			return NULL;
	}
	return row;
}

void schema_offer(struct nearest *nearest, const char *prefix, const struct conf_key *keys)
{
	for (; keys && keys->name; keys++) {
		if (keys->flags & CONF_LATER)
			continue;
		nearest_offer(nearest, prefix, span_of(keys->name));
		if (keys->type == CONF_T_BLOCK && !*prefix) {
			char inner[64];
			snprintf(inner, sizeof(inner), "%s.", keys->name);
			schema_offer(nearest, inner, keys->keys);
		}
	}
}

void schema_unknown(struct conf_reading *r, const struct node *key, const struct nearest *nearest)
{
	char memory[200];
	struct text where;
	text_over(&where, memory, sizeof(memory));
	place_words(r->place, &where);
	r->node = key;
	conf_complain(r, SPAN_NONE, "unknown key '" SPAN_FMT "'" SPAN_FMT, SPAN_ARG(key->text), SPAN_ARG(text_span(&where)));
	if (nearest_found(nearest))
		conf_hint(r, "did you mean '%s'?", nearest->best);
}

void schema_not_yet(struct conf_reading *r, const struct node *key)
{
	r->node = key;
	conf_complain(r, SPAN_NONE, "'" SPAN_FMT "' is not in this version", SPAN_ARG(key->text));
	conf_hint(r, "remove it");
}

void schema_hint_allowed(struct conf_reading *r, const struct conf_key *keys)
{
	char memory[200];
	struct text names;
	text_over(&names, memory, sizeof(memory));
	for (const struct conf_key *k = keys; k->name; k++)
		if (!(k->flags & CONF_LATER))
			text_f(&names, "%s%s", names.len ? ", " : "", k->name);
	if (!names.cut)
		conf_hint(r, "allowed: " SPAN_FMT, SPAN_ARG(text_span(&names)));
}
