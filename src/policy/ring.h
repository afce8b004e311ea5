/* ring.h - consistent hashing with bounded loads (Karger 1997; Mirrokni, Thorup, Zadimoghaddam 2016).
 *
 * Each endpoint stands on a ring at a hundred points per weight, found by its name; a key belongs to the first point behind its own. Who comes or
 * goes moves only the keys next to its points. All instances that know the same names agree, without talking.
 */
#ifndef SRC_POLICY_RING_H
#define SRC_POLICY_RING_H

#include "base/span.h"

enum { RING_POINTS = 100, RING_POINTS_MAX = 32768 };      /* of one weight; of a whole ring: then everybody has half of it, a quarter ... */

struct ring_point { uint64_t hash; unsigned who; };
struct ring { struct ring_point *points; unsigned count; };
struct ring_member { struct span name; uint64_t weight; };

bool ring_build(struct ring *, const struct ring_member *, unsigned count);     /* false: out of memory */
void ring_fini(struct ring *);

/* From the key's place on, the first of whom `fits` says so; each may be asked several times. UINT_MAX: nobody. */
unsigned ring_find(const struct ring *, uint64_t key, bool (*fits)(const void *self, unsigned who), const void *self);

/* May somebody with this weight have one more, when all have `busy`? Not when he would then be a quarter above his share. */
static inline bool ring_has_room(uint64_t mine, uint64_t weight, uint64_t busy, uint64_t weight_of_all)
{
	return mine * weight_of_all * 4 < (busy + 1) * weight * 5;
}

#endif
