/* discover.h - what the DNS says an upstream consists of, made into its next set of endpoints.
 *
 * Pure: no DNS, no clock. An endpoint that stays (same host and port) stays the same object, so that its marks, counts and
 * connection pools stay too; the set keeps its order, newcomers stand at the end. Control thread only: the one writer of sets.
 */
#ifndef CORE_DISCOVER_H
#define CORE_DISCOVER_H

#include "core/target.h"

enum { DISCOVER_MAX = 256 };              /* endpoints of one upstream; more are ignored */

struct found { struct span host; unsigned port; uint64_t weight; };

/* The set that the upstream should have now, for upstream_replace(); *next is NULL when it has it already. Twins count once,
 * weight 0 counts as 1. A weight cannot change under the workers' eyes: that endpoint gets a successor, which inherits its
 * marks and addresses. false: out of memory. */
bool discover_merge(struct upstream *, const struct found *, unsigned count, struct endpoint_set **next);

#endif
