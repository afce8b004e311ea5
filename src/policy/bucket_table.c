/* bucket_table.c - see bucket_table.h. Sets of sixteen neighbours; a key lives in the set that its hash names. */
#include "bucket_table.h"

enum { SET = 16 };

static uint64_t size_for(uint64_t max_keys)
{
	uint64_t size = SET;
	while (size < max_keys + max_keys / 2)            /* half as many again: sets fill unevenly */
		size *= 2;
	return size;
}

size_t bucket_table_bytes(uint64_t max_keys)
{
	return sizeof(struct bucket_rows) + size_for(max_keys) * sizeof(((struct bucket_rows *)0)->at[0]);
}

void bucket_table_init(struct bucket_table *t, void *memory, uint64_t max_keys)
{
	*t = (struct bucket_table){ .rows = memory, .size = size_for(max_keys), .max = max_keys };
}

struct bucket *bucket_table_find(struct bucket_table *t, struct bucket_key key, const struct bucket_conf *conf, uint64_t now_us)
{
	struct bucket_rows *rows = t->rows;
	uint64_t first = key.low & (t->size - 1) & ~(uint64_t)(SET - 1), empty = t->size, idle = t->size;

	for (uint64_t i = first; i < first + SET; i++) {
		const struct bucket_key *k = &rows->at[i].key;
		if (k->high == key.high && k->low == key.low)
			return &rows->at[i].bucket;
		if (!k->high && !k->low)
			empty = empty == t->size ? i : empty;
		else if (idle == t->size && bucket_is_idle(&rows->at[i].bucket, conf, now_us))
			idle = i;
	}
	uint64_t place = idle;
	if (place == t->size && empty != t->size && rows->used < t->max) {
		place = empty;
		rows->used++;
	}
	if (place == t->size) {
		t->overflowed++;
		return &rows->overflow;
	}
	rows->at[place].key = key;
	rows->at[place].bucket = (struct bucket){ 0, 0 };
	return &rows->at[place].bucket;
}
