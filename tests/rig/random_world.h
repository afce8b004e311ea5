/* random_world.h - a world drawn by dice: configuration, clients and upstreams. The dice are a seeded generator, or a fuzzer's bytes. */
#ifndef RIG_RANDOM_WORLD_H
#define RIG_RANDOM_WORLD_H

#include "world.h"

struct dice { const uint8_t *bytes; size_t left; struct rand rand; };     /* bytes NULL: rand; bytes used up: always 0 */

uint64_t dice_below(struct dice *, uint64_t n);      /* 0 .. n-1 */
void random_world(struct world *, struct dice *);

#endif
