/* tree.c - nodes: looking them up, and what a mapping needs when it is complete: no key twice, and `<<` taken in. */
#include <stdlib.h>

#include "load.h"

enum { MERGE_KEYS_MAX = 512 };

bool node_is_null(const struct node *n)
{
	return n->kind == NODE_SCALAR && n->plain
		&& (n->text.len == 0 || span_eq(n->text, SPAN("~")) || span_eq_nocase(n->text, SPAN("null")));
}

struct node *node_find(const struct node *map, struct span name)
{
	for (struct node *key = map->first; key; key = key->next)
		if (span_eq(key->text, name))
			return key;
	return NULL;
}

void node_unlink(struct node *map, struct node *before, struct node *key)
{
	if (before)
		before->next = key->next;
	else
		map->first = key->next;
	if (map->last == key)
		map->last = before;
	map->count--;
}

/* ── duplicate keys ── */

static int by_text_then_place(const void *a, const void *b)
{
	const struct node *x = *(const struct node *const *)a, *y = *(const struct node *const *)b;
	size_t len = x->text.len < y->text.len ? x->text.len : y->text.len;
	int order = len ? memcmp(x->text.at, y->text.at, len) : 0;
	if (order)
		return order;
	if (x->text.len != y->text.len)
		return x->text.len < y->text.len ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

/* By sorting, so that a mapping of many keys costs no square. The first of them stays. */
bool tree_find_duplicates(struct load *load, struct node *map)
{
	if (map->count < 2)
		return true;
	struct node **keys = arena_take(&load->scratch, map->count * sizeof(*keys)), **end = keys;
	if (!keys) {
		complain_memory(load);
		return false;
	}
	for (struct node *key = map->first; key; key = key->next)
		*end++ = key;
	qsort(keys, map->count, sizeof(*keys), by_text_then_place);
	const struct node *original = keys[0];
	for (struct node **at = keys + 1; at < end; at++) {
		if (!span_eq(original->text, (*at)->text)) {
			original = *at;
			continue;
		}
		complain(load, *at, SPAN_NONE, "duplicate key '" SPAN_FMT "'", SPAN_ARG((*at)->text));
		complain_hint(load, "first on line %u", original->line);
		(*at)->broken = true;
	}
	struct node *before = NULL;
	for (struct node *key = map->first; key; key = key->next)
		if (key->broken)
			node_unlink(map, before, key);
		else
			before = key;
	return true;
}

/* ── `<<: *base` (YAML 1.1): the keys of base, where the mapping has none of its own ── */

static bool merge_from(struct load *load, struct node *map, const struct node *base, unsigned *weight)
{
	if (base->kind != NODE_MAP) {
		complain(load, base, SPAN_NONE, "'<<' needs a mapping");
		complain_hint(load, "write <<: *name, where &name stands before a mapping");
		return false;
	}
	if (map->count > MERGE_KEYS_MAX || base->count > MERGE_KEYS_MAX) {
		complain(load, map, SPAN_NONE, "too many keys to merge with '<<'");
		complain_hint(load, "at most %d", MERGE_KEYS_MAX);
		return false;
	}
	for (const struct node *key = base->first; key; key = key->next) {
		if (node_find(map, key->text))
			continue;
		struct node *copy = arena_take(&load->scratch, sizeof(*copy));
		if (!copy || (*weight += key->weight) > TREE_WEIGHT_MAX) {
			complain(load, map, SPAN_NONE, "the aliases of this file expand to too many values");
			complain_hint(load, "at most %d", TREE_WEIGHT_MAX);
			return false;
		}
		*copy = *key;
		map->weight += key->weight;
		node_append(map, copy);
	}
	return true;
}

bool tree_merge(struct load *load, struct node *map, unsigned *weight)
{
	struct node *before = NULL, *key = map->first;
	while (key && !(key->plain && span_eq(key->text, SPAN("<<")))) {
		before = key;
		key = key->next;
	}
	if (!key)
		return true;
	const struct node *base = key->value;
	node_unlink(map, before, key);
	if (base->kind != NODE_LIST)
		return merge_from(load, map, base, weight);
	for (const struct node *item = base->first; item; item = item->next)
		if (!merge_from(load, map, item, weight))
			return false;
	return true;
}
