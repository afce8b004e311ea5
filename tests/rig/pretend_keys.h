/* pretend_keys.h - keys that sign nothing: a token says under which of them it is good. For `auth`, without any cryptography. */
#ifndef RIG_PRETEND_KEYS_H
#define RIG_PRETEND_KEYS_H

#include "clock.h"
#include "core/keys.h"

struct world;
struct guest;

enum { PRETEND_KEYS_MAX = 8, PRETEND_SETS_MAX = 16 };

struct pretend_set { struct key_set base; struct span kid[PRETEND_KEYS_MAX]; };
struct pretend_keys {
	struct pretend_set sets[PRETEND_SETS_MAX]; unsigned used;
	struct event       fetch;             /* the early one that runs */
	uint64_t           takes_us, not_before_us;
	struct span        next[PRETEND_KEYS_MAX]; unsigned next_count;      /* what it will bring */
	unsigned           fetches;
};

/* The keys of all sources of this world, from now on. The names live as long as the world. */
void pretend_keys_publish(struct world *, const struct span *kid, unsigned count);
/* Whenever they are asked for early: it takes so long, then there are these; at most once in ten seconds. */
void pretend_keys_fetch(struct world *, uint64_t takes_us, const struct span *kid, unsigned count);
/* "sub=ann exp=5s kid=k2 forged=yes": the field Authorization of this guest. false: it does not fit. */
bool pretend_token(struct guest *, struct span words);
void pretend_base64url(struct text *out, struct span bytes);

#endif
