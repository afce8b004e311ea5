/* map.h - a hash table keyed by spans; seeded, so that a peer who chooses keys cannot choose collisions.
 *
 * Intrusive: the entry is a member of the caller's struct and the key's bytes are the caller's too, so adding
 * allocates only when the table of buckets grows (never beyond `max` entries: bounded at birth).
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/span.h"

struct map_entry { struct map_entry *next; uint64_t hash; struct span key; };
struct map {
	struct map_entry **buckets;
	size_t count, size, max;
	uint64_t seed;
};

void map_init(struct map *, size_t max, uint64_t seed);
void map_fini(struct map *);                                       /* frees buckets; entries are the caller's */
struct map_entry *map_find(const struct map *, struct span key);
/* The key must not be in the map. false: full, or out of memory. */
bool map_add(struct map *, struct map_entry *, struct span key) __attribute__((warn_unused_result));
void map_remove(struct map *, struct map_entry *);
/* Any order. Start with NULL; NULL ends. The entry last returned may be removed... only after asking for the next. */
struct map_entry *map_next(const struct map *, const struct map_entry *);

#endif
