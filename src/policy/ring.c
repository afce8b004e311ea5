/* ring.c - see ring.h. */
#include "ring.h"

#include <limits.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static int by_hash(const void *one, const void *other)
{
	const struct ring_point *a = one, *b = other;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->who > b->who) - (a->who < b->who);
}

/* At least one, whatever the others have. */
static uint64_t points_of(const struct ring_member *m, unsigned shift)
{
	uint64_t n = m->weight * RING_POINTS >> shift;
	return n ? n : 1;
}

static uint64_t points_of_all(const struct ring_member *m, unsigned count, unsigned shift)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < count; i++)
		sum += points_of(&m[i], shift);
	return sum;
}

bool ring_build(struct ring *ring, const struct ring_member *members, unsigned count)
{
	unsigned shift = 0;
	*ring = (struct ring){ 0 };
	while (points_of_all(members, count, shift) > RING_POINTS_MAX && shift < 32)
		shift++;
	ring->points = calloc(points_of_all(members, count, shift) + 1, sizeof(*ring->points));
	if (!ring->points)
		return false;
	for (unsigned i = 0; i < count; i++)
		for (uint64_t n = points_of(&members[i], shift); n > 0; n--)
			ring->points[ring->count++] = (struct ring_point){ XXH3_64bits_withSeed(members[i].name.at, members[i].name.len, n), i };
	qsort(ring->points, ring->count, sizeof(*ring->points), by_hash);
	return true;
}

void ring_fini(struct ring *ring)
{
	free(ring->points);
	*ring = (struct ring){ 0 };
}

unsigned ring_find(const struct ring *ring, uint64_t key, bool (*fits)(const void *self, unsigned who), const void *self)
{
	unsigned low = 0, high = ring->count;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		if (ring->points[middle].hash < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (unsigned i = 0; i < ring->count; i++) {
		unsigned who = ring->points[(low + i) % ring->count].who;
		if (fits(self, who))
			return who;
	}
	return UINT_MAX;
}
