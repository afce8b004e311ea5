/* jwt_cache.h - tokens whose signature was good, so that it is not checked again for each request. Of one door of one worker.
 *
 * A token is known by all of its bytes, not by a hash of them. Sets of four: a new one takes the place of the one that ends first, so there are never
 * more than `size`. Who looks one up sees to it that it still holds: its time, and the keys that it was checked with.
 */
#ifndef SRC_POLICY_JWT_CACHE_H
#define SRC_POLICY_JWT_CACHE_H

#include "jwt.h"

struct jwt_cache { struct jwt **at; uint64_t *hash; size_t sets; uint64_t seed; };

/* size 0: keeps none. Takes memory when the first one is put. */
void jwt_cache_init(struct jwt_cache *, uint64_t size, uint64_t seed);
void jwt_cache_fini(struct jwt_cache *);
struct jwt *jwt_cache_find(const struct jwt_cache *, struct span token);          /* counted for the cache, not for the caller; or NULL */
void jwt_cache_put(struct jwt_cache *, struct jwt *);             /* takes a reference of its own; instead of the one with the same bytes */

#endif
