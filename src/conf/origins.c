/* origins.c - where each value came from: an open-addressed table from (struct, row) to the place that wrote it last.
 *
 * Values that nobody wrote have no entry. Addresses are stable: settings never move once they are made.
 */
#include <stdlib.h>

#include "load.h"

static size_t origins_slot(const struct conf_origins *o, const void *base, const struct conf_key *row)
{
	uint64_t h = ((uint64_t)(uintptr_t)base ^ ((uint64_t)(uintptr_t)row << 7)) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 20) & (o->size - 1);
	while (o->at[i].row && (o->at[i].base != base || o->at[i].row != row))
		i = (i + 1) & (o->size - 1);
	return i;
}

static bool origins_grow(struct conf_origins *o)
{
	struct conf_origins bigger = { .count = o->count, .size = o->size ? o->size * 2 : 256 };
	bigger.at = calloc(bigger.size, sizeof(*bigger.at));
	if (!bigger.at)
		return false;
	for (size_t i = 0; i < o->size; i++)
		if (o->at[i].row)
			bigger.at[origins_slot(&bigger, o->at[i].base, o->at[i].row)] = o->at[i];
	free(o->at);
	*o = bigger;
	return true;
}

bool origins_put(struct conf_origins *o, const struct origin *entry)
{
	if ((o->count + 1) * 4 > o->size * 3 && !origins_grow(o))
		return false;
	struct origin *slot = &o->at[origins_slot(o, entry->base, entry->row)];
	o->count += !slot->row;
	*slot = *entry;
	return true;
}

const struct origin *origins_find(const struct conf_origins *o, const void *base, const struct conf_key *row)
{
	if (!o->size)
		return NULL;
	const struct origin *slot = &o->at[origins_slot(o, base, row)];
	return slot->row ? slot : NULL;
}

void origins_forget_nodes(struct conf_origins *o)
{
	for (size_t i = 0; i < o->size; i++)
		o->at[i].node = NULL;
}

void origins_fini(struct conf_origins *o)
{
	free(o->at);
	*o = (struct conf_origins){ .at = NULL };
}
