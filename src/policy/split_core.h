/* split_core.h - what is known of the versions of a split route, for the whole process: where requests went, and whose share was taken back.
 *
 * By the route's name, so it goes on over a reload; a version is known by its upstream's name. A version keeps its place as long as it is
 * listed: doors know it by its number.
 */
#ifndef SRC_POLICY_SPLIT_CORE_H
#define SRC_POLICY_SPLIT_CORE_H

#include <pthread.h>

#include "core/policy.h"
#include "core/shared.h"
#include "guard_watch.h"

enum { VERSIONS_MAX = 32, VERSION_NAME = 64 };            /* twice what a configuration can name: the old ones may still have requests */

/* Why a request did not go where its share is. */
#define DIVERSIONS(X) X(taken_back) X(unavailable)
enum diversion {
#define X(word) DIVERTED_##word,
	DIVERSIONS(X)
#undef X
	DIVERSION_COUNT
};

struct split_version {
	char     name[VERSION_NAME]; unsigned name_len;
	double   share;
	uint64_t requests, diverted[DIVERSION_COUNT];     /* atomic */
	bool     taken_back;                              /* atomic; latched */
	bool     listed, stable;
	/* under the lock; the guard's */
	enum guard_cause told;                            /* its share was, or would have been, taken back for this */
	struct watch_sum then, compared;                  /* the numbers of that moment */
	uint64_t judged_us;
	struct watch *watch;                              /* NULL: no guard */
};
struct split_core {
	pthread_mutex_t lock;
	struct split_version version[VERSIONS_MAX];
	uint64_t watch_width_us;
};

/* `route` NULL: as it is. NULL: out of memory. */
struct split_core *split_core_take(const struct policy_env *, const struct conf_route *route);
unsigned split_version_of(const struct split_core *, struct span upstream);        /* must be one of them */
static inline struct span split_version_name(const struct split_version *v) { return (struct span){ v->name, v->name_len }; }
/* Forgets results of a window of another width; false: out of memory. */
bool split_core_watch(struct split_core *, uint64_t width_us);
/* With the lock held: nothing was taken back, and nothing is known. */
void split_core_reset(struct split_core *);

static inline bool split_is_taken_back(const struct split_version *v) { return __atomic_load_n(&v->taken_back, __ATOMIC_RELAXED); }
static inline void split_take_back(struct split_version *v, bool yes) { __atomic_store_n(&v->taken_back, yes, __ATOMIC_RELAXED); }
static inline void split_count(uint64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

#endif
