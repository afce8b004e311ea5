/* redis_core.h - what is seen of a store in metrics and status: counted by all workers. */
#ifndef SRC_EDGE_REDIS_CORE_H
#define SRC_EDGE_REDIS_CORE_H

#include "core/shared.h"
#include "core/store.h"

/* All atomic. connected, workers: how many of them are, and how many there are. */
struct redis_core { uint64_t results[STORE_RESULT_COUNT], connected, workers, instances; };
extern const struct core_kind redis_kind;

#endif
