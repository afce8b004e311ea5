/* bucket_table.c - see bucket_table.h. Sets of sixteen neighbours; a key lives in the set that its hash names. */
#include "bucket_table.h"

#include <stdlib.h>

enum { SET = 16 };

bool bucket_table_init(struct bucket_table *t, uint64_t max_keys)
{
	*t = (struct bucket_table){ .size = SET, .max = max_keys };
	while (t->size < max_keys + max_keys / 2)         /* half as many again: sets fill unevenly */
		t->size *= 2;
	t->at = calloc(t->size, sizeof(*t->at));
	return t->at != NULL;
}

void bucket_table_fini(struct bucket_table *t) { free(t->at); }

struct bucket *bucket_table_find(struct bucket_table *t, struct bucket_key key, const struct bucket_conf *conf, uint64_t now_us)
{
	uint64_t first = key.low & (t->size - 1) & ~(uint64_t)(SET - 1), empty = t->size, idle = t->size;

	for (uint64_t i = first; i < first + SET; i++) {
		const struct bucket_key *k = &t->at[i].key;
		if (k->high == key.high && k->low == key.low)
			return &t->at[i].bucket;
		if (!k->high && !k->low)
			empty = empty == t->size ? i : empty;
		else if (idle == t->size && bucket_is_idle(&t->at[i].bucket, conf, now_us))
			idle = i;
	}
	uint64_t place = idle;
	if (place == t->size && empty != t->size && t->used < t->max) {
		place = empty;
		t->used++;
	}
	if (place == t->size) {
		t->overflowed++;
		return &t->overflow;
	}
	t->at[place].key = key;
	t->at[place].bucket = (struct bucket){ 0, 0 };
	return &t->at[place].bucket;
}
