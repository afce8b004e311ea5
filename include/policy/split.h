/* split.h - what an operator can tell a route that is split between upstreams. */
#ifndef POLICY_SPLIT_H
#define POLICY_SPLIT_H

#include "core/shared.h"

/* state: "reset" (each version has its share again, the guard knows nothing), or "rollback" (all shares to the stable version, until reset). */
enum split_answer { SPLIT_SET, SPLIT_NO_SUCH_STATE, SPLIT_NO_SUCH_ROUTE };
enum split_answer split_set(struct shared *, struct span route, struct span state);

#endif
