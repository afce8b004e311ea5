/* cache_rules.h - may this answer be kept, and for how long is it good? RFC 9111 for a shared cache, RFC 5861 for stale ones. Pure: no clock.
 *
 * Stricter than the RFC: an answer to a request with Authorization or Cookie, and to such a request from the cache, only when the answer says
 * `public` or `s-maxage` itself. What must be asked about each time (no-cache) is not kept.
 */
#ifndef SRC_POLICY_CACHE_RULES_H
#define SRC_POLICY_CACHE_RULES_H

#include "http/message.h"

/* What the route says: ttl holds only where an answer says nothing of its own. */
struct cache_wishes { uint64_t ttl_us, stale_while_revalidate_us, stale_if_error_us; };

struct cache_terms {
	uint64_t fresh_us;                    /* from now on                                             */
	uint64_t age_us;                      /* that it has already                                     */
	uint64_t revalidate_us, error_us;     /* behind that: how long it may be given while ...         */
	bool     for_all;                     /* it says so: also to requests with credentials           */
};
/* `personal`: the request has credentials. false: not to be kept. */
bool cache_terms_of(const struct reply *, bool personal, const struct cache_wishes *, uint64_t wall_ms, struct cache_terms *);

struct cache_demand {
	bool     no_store, no_cache;          /* neither look nor keep; do not look */
	bool     personal;
	uint64_t max_age_us;                  /* UINT64_MAX: any */
};
/* false: this request has nothing to do with a cache. */
bool cache_demand_of(const struct request *, struct cache_demand *);

#endif
