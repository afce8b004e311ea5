/* map.c - chained buckets, a power of two of them, doubled when there are as many entries as buckets.
 *
 * Always true: count <= max; an entry is in the bucket that its hash names. When doubling fails for want of memory the
 * map goes on with longer chains; only the very first table can make map_add fail.
 */
#include "base/map.h"

#include <stdlib.h>

#include "base/must.h"

enum { FIRST_BUCKETS = 16 };

void map_init(struct map *m, size_t max, uint64_t seed)
{
	*m = (struct map){ .max = max, .seed = seed };
}

void map_fini(struct map *m)
{
	free(m->buckets);
	m->buckets = NULL;
	m->count = m->size = 0;
}

static struct map_entry **bucket_of(const struct map *m, uint64_t hash)
{
	return &m->buckets[hash & (m->size - 1)];
}

struct map_entry *map_find(const struct map *m, struct span key)
{
	if (!m->count)
		return NULL;
	uint64_t hash = span_hash(key, m->seed);
	for (struct map_entry *e = *bucket_of(m, hash); e; e = e->next)
		if (e->hash == hash && span_eq(e->key, key))
			return e;
	return NULL;
}

static bool grow(struct map *m)
{
	size_t size = m->size ? m->size * 2 : FIRST_BUCKETS, old_size = m->size;
	struct map_entry **buckets = calloc(size, sizeof(*buckets)), **old = m->buckets;

	if (!buckets)
		return m->size != 0;
	m->buckets = buckets;
	m->size = size;
	for (size_t i = 0; i < old_size; i++) {
		for (struct map_entry *e = old[i], *next; e; e = next) {
			struct map_entry **bucket = bucket_of(m, e->hash);
			next = e->next;
			e->next = *bucket;
			*bucket = e;
		}
	}
	free(old);
	return true;
}

bool map_add(struct map *m, struct map_entry *e, struct span key)
{
	if (m->count >= m->max)
		return false;
	if (m->count >= m->size && !grow(m))
		return false;
	e->key = key;
	e->hash = span_hash(key, m->seed);
	struct map_entry **bucket = bucket_of(m, e->hash);
	e->next = *bucket;
	*bucket = e;
	m->count++;
	return true;
}

void map_remove(struct map *m, struct map_entry *e)
{
	must(m->count > 0);
	struct map_entry **place = bucket_of(m, e->hash);
	while (*place != e) {
		must(*place);                     /* it is in this map */
		place = &(*place)->next;
	}
	*place = e->next;
	e->next = NULL;
	m->count--;
}

struct map_entry *map_next(const struct map *m, const struct map_entry *e)
{
	if (e && e->next)
		return e->next;
	for (size_t i = e ? (e->hash & (m->size - 1)) + 1 : 0; i < m->size; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}
