/* rate_limit_core.h - the limits of one route, for the whole process: their settings, their tables of buckets, their counters.
 *
 * All behind one short lock. A limit with a store keeps its table too: a shadow that is charged as the store decides, so that it is warm when
 * the store is gone.
 */
#ifndef SRC_POLICY_RATE_LIMIT_CORE_H
#define SRC_POLICY_RATE_LIMIT_CORE_H

#include <pthread.h>

#include "core/shared.h"
#include "rate_key.h"

enum { LIMITS_MAX = 8, LIMIT_NAME_MAX = 64 };
enum missing { MISSING_SHARED, MISSING_SKIP, MISSING_DENY };
enum store_error { STORE_ERROR_LOCAL, STORE_ERROR_ALLOW, STORE_ERROR_DENY };

struct limit_conf {
	struct conf_rate rate;
	uint64_t burst, max_keys;
	struct rate_key key;
	struct span name, store;
	unsigned algorithm, missing, on_store_error;
	struct conf_dry_run dry_run;
};
struct rate_limit_conf { struct conf_list limits; };

struct bucket_conf bucket_conf_of(const struct limit_conf *);
static inline bool limit_is_shared(const struct limit_conf *c) { return !span_eq(c->store, SPAN("memory")); }

struct limit_name { char at[LIMIT_NAME_MAX + 16]; unsigned len; };
/* As it is shown: its own, or "limit", "limit2" ... */
void limit_name(struct limit_name *, const struct limit_conf *, unsigned index);
static inline struct span limit_name_span(const struct limit_name *n) { return (struct span){ n->at, n->len }; }

struct limit_core {
	struct bucket_conf  conf;
	uint64_t            max_keys, allowed, limited;
	uint64_t            degraded;         /* a bit per worker: it decides alone, its store is gone */
	struct bucket_table table;
	struct limit_name   name;
};
struct rate_limit_core {
	pthread_mutex_t lock;
	struct shared  *shared;               /* whose memory the tables are */
	uint64_t        seed;
	unsigned        count;                /* in force                                                                            */
	unsigned        tables;               /* ... and those of before: requests under the settings of before may still be at them */
	struct limit_core limit[LIMITS_MAX];
};
struct rate_limit_with { const struct rate_limit_conf *conf; struct shared *shared; struct span route; };       /* the kind's parameters */
extern const struct core_kind rate_limit_kind;
bool rate_limit_core_has(struct rate_limit_core *, unsigned limits);      /* false: there was no memory for all of them */

#endif
