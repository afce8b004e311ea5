/* levels.c - the settings of the policies at defaults, upstreams and routes, merged key by key.
 *
 * A level begins as a copy of the one beneath it and then applies its own mapping, so each mapping is read exactly once
 * however many routes there are. `broken` marks a block with a mistake in it: its check is not asked, it could only
 * complain about values that nobody wrote.
 */
#include <stdio.h>

#include "load.h"

bool level_new(struct load *load, const struct level *under, struct level *out)
{
	unsigned n = load->conf->block_count;
	struct arena *arena = &load->conf->arena;
	out->settings = arena_take_zeroed(arena, (n + 1) * sizeof(*out->settings));
	out->present = arena_take_zeroed(arena, n + 1);
	out->broken = arena_take_zeroed(&load->scratch, n + 1);
	out->nodes = arena_take_zeroed(&load->scratch, (n + 1) * sizeof(*out->nodes));
	if (!out->settings || !out->present || !out->broken || !out->nodes)
		goto out_of_memory;
	struct conf_reading r = { .load = load };
	for (unsigned i = 0; i < n; i++) {
		const struct conf_block *block = &load->conf->blocks[i];
		out->settings[i] = arena_take_zeroed(arena, block->size);
		if (!out->settings[i])
			goto out_of_memory;
		if (!under) {
			schema_preset(&r, block->keys, out->settings[i]);
			continue;
		}
		memcpy(out->settings[i], under->settings[i], block->size);
		out->present[i] = under->present[i];
		out->broken[i] = under->broken[i];
		out->nodes[i] = under->nodes[i];
	}
	return true;
out_of_memory:
	complain_memory(load);
	return false;
}

/* ── one key ── */

/* `key: scalar`: the first row that is not "enabled". */
static const struct conf_key *block_short_row(const struct conf_block *block)
{
	const struct conf_key *row = block->keys;
	while (row->name && span_eq(span_of(row->name), SPAN("enabled")))
		row++;
	return row->name ? row : NULL;
}


static void block_read(struct conf_reading *r, const struct conf_block *block, struct node *key, void *settings)
{
	struct node *value = key->value;
	const struct conf_key *row = block_short_row(block);
	if (value->kind == NODE_MAP || node_is_null(value) || schema_switch(block->keys, value)
	    || !block->scalar_ok || !row || (value->kind == NODE_LIST && row->type != CONF_T_TEXTS && row->type != CONF_T_CUSTOM)) {
		schema_apply_block(r, block->name, block->keys, value, settings);
		return;
	}
	struct node inner = *key;
	inner.text = span_of(row->name);
	schema_apply_row(r, row, &inner, settings);
}

struct finding { int block; const struct conf_key *row; };     /* row NULL: the block's own name */

static bool level_find(const struct conf *conf, struct span name, struct finding *out)
{
	for (unsigned i = 0; i < conf->block_count; i++) {
		const struct conf_block *block = &conf->blocks[i];
		const struct conf_key *row = block->name ? NULL : schema_find(block->keys, name);
		if (row || (block->name && span_eq(span_of(block->name), name))) {
			*out = (struct finding){ (int)i, row };
			return true;
		}
	}
	return false;
}

static void level_misplaced(struct conf_reading *r, const struct level_scope *scope, const struct node *key, unsigned levels)
{
	char memory[80];
	struct text where;
	text_over(&where, memory, sizeof(memory));
	for (unsigned level = CONF_DEFAULTS; level <= CONF_ROUTE; level <<= 1)
		if (levels & level)
			text_f(&where, "%s%s", where.len ? " or " : "", scope_of(level)->noun);
	r->node = key;
	conf_complain(r, SPAN_NONE, "'" SPAN_FMT "' cannot stand in %s", SPAN_ARG(key->text), scope->noun);
	conf_hint(r, "it belongs in " SPAN_FMT, SPAN_ARG(text_span(&where)));
}

static void level_unknown(struct conf_reading *r, const struct level_scope *scope, const struct node *key)
{
	const struct conf *conf = r->load->conf;
	for (unsigned level = CONF_DEFAULTS; level <= CONF_ROUTE; level <<= 1) {
		const struct conf_key *row = schema_find(scope_of(level)->own, key->text);
		if (!row)
			continue;
		if (row->flags & CONF_LATER)
			schema_not_yet(r, key);
		else
			level_misplaced(r, scope, key, level);
		return;
	}
	struct nearest nearest;
	nearest_init(&nearest, key->text);
	schema_offer(&nearest, "", scope->own);
	for (unsigned i = 0; i < conf->block_count; i++) {
		const struct conf_block *block = &conf->blocks[i];
		char prefix[64];
		snprintf(prefix, sizeof(prefix), "%s.", block->name ? block->name : "");
		if (!(block->levels & scope->level))
			continue;
		if (block->name)
			nearest_offer(&nearest, "", span_of(block->name));
		schema_offer(&nearest, block->name ? prefix : "", block->keys);
	}
	schema_unknown(r, key, &nearest);
}

static void level_key(struct conf_reading *r, const struct level_scope *scope, struct node *key, void *own, struct level *level)
{
	const struct conf *conf = r->load->conf;
	const struct conf_key *row = schema_find(scope->own, key->text);
	struct finding f;
	r->node = key;
	if (row && (row->flags & CONF_LATER)) {
		schema_not_yet(r, key);
	} else if (row) {
		schema_apply_row(r, row, key, own);
	} else if (!level_find(conf, key->text, &f)) {
		level_unknown(r, scope, key);
	} else if (!(conf->blocks[f.block].levels & scope->level)) {
		level_misplaced(r, scope, key, conf->blocks[f.block].levels);
	} else if (f.row && (f.row->flags & CONF_LATER)) {
		schema_not_yet(r, key);
	} else {
		if (f.row)
			schema_apply_row(r, f.row, key, level->settings[f.block]);
		else
			block_read(r, &conf->blocks[f.block], key, level->settings[f.block]);
		level->present[f.block] = true;
		level->broken[f.block] |= r->failed;
		level->nodes[f.block] = key;
	}
}

void level_read(struct load *load, const struct level_scope *scope, const struct place *place, struct node *map, void *own,
	struct level *level)
{
	for (struct node *key = map->first; key; key = key->next) {
		struct conf_reading r = { .load = load, .place = place, .node = key, .level = scope->origin };
		level_key(&r, scope, key, own, level);
	}
}

/* ── the whole ── */

static void require_anywhere(struct conf_reading *r, const struct conf_block *block)
{
	for (const struct conf_key *row = block->keys; row->name; row++) {
		bool written = !(row->flags & CONF_REQUIRED);
		for (unsigned i = 0; i < 3 && r->bases[i] && !written; i++)
			written = origins_find(r->load->conf->origins, r->bases[i], row) != NULL;
		if (written)
			continue;
		conf_complain(r, SPAN_NONE, "'%s' needs '%s'", block->name ? block->name : row->name, row->name);
		conf_hint(r, "%s", row->help);
	}
}

void level_check(struct load *load, const struct place *place, const struct node *at, const struct level *level,
	void **const levels[3])
{
	for (unsigned i = 0; i < load->conf->block_count; i++) {
		const struct conf_block *block = &load->conf->blocks[i];
		if (!level->present[i] || level->broken[i])
			continue;
		struct conf_reading r = { .load = load, .place = place, .node = level->nodes[i] ? level->nodes[i] : at, .block = block };
		for (unsigned n = 0; n < 3 && levels[n]; n++)
			r.bases[n] = levels[n][i];
		require_anywhere(&r, block);
		if (block->check && !r.failed && !block->check(&r, level->settings[i]) && !r.failed)
			conf_complain(&r, SPAN_NONE, "the settings of '%s' contradict each other", block->name ? block->name : block->keys[0].name);
	}
}

bool conf_beside(const struct conf_reading *r, const char *name, const void **settings)
{
	const struct conf_route *route = r->load->route;
	struct finding f;
	*settings = NULL;
	if (!route || !level_find(r->load->conf, span_of(name), &f))
		return false;
	if (route->present[f.block])
		*settings = route->settings[f.block];
	return true;
}
