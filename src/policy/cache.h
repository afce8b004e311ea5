/* cache.h - private to cache.c and cache_refresh.c. */
#ifndef SRC_POLICY_CACHE_H
#define SRC_POLICY_CACHE_H

#include "cache_core.h"

struct cache {
	struct policy  base;
	struct cache_conf conf;
	struct cache_wishes wishes;
	struct shared *shared;
	struct cache_core *core;
};

/* Asks again, in the background, for what was found stale; `slot` is the door's, `has` what is kept. */
void cache_refresh(struct cache *, struct exchange *model, const void *slot, struct capture *has);

#endif
