/* cache_core.h - the answers that a route keeps, by host, target and upstream, and by what they vary with; bounded by bytes, the
 * least recently used goes first. Behind one short lock. What is kept never changes (capture.h), so it is read without.
 */
#ifndef SRC_POLICY_CACHE_CORE_H
#define SRC_POLICY_CACHE_CORE_H

#include <pthread.h>

#include "base/list.h"
#include "base/map.h"
#include "cache_rules.h"
#include "capture.h"
#include "core/exchange.h"
#include "core/shared.h"

#define CACHE_RESULTS(X) X(hit) X(miss) X(stale) X(bypass)
enum cache_result {
#define X(word) CACHE_##word,
	CACHE_RESULTS(X)
#undef X
	CACHE_RESULT_COUNT
};

struct cache_conf { uint64_t ttl_us, stale_while_revalidate_us, stale_if_error_us, max_size; };

struct cache_core {
	pthread_mutex_t lock;
	struct map      pages;
	struct list     recent;               /* entries, the most recently used first */
	uint64_t        bytes, entries, max_size, evicted;
	uint64_t        growing;              /* atomic: bytes of answers that are being read into it */
	uint64_t        results[CACHE_RESULT_COUNT];      /* atomic */
};
extern const struct core_kind cache_kind;

/* What was found: counted; the caller gives the capture back. */
struct cache_found {
	struct capture *capture;              /* NULL: nothing */
	uint64_t age_us, left_us;             /* left: of its freshness, 0: stale */
	uint64_t late_us;                     /* behind it */
	bool     may_revalidate, refresh;     /* it may be given while it is asked for again; and the caller is the one to ask */
	bool     on_error;                    /* it may be given instead of an error */
};
void cache_find(struct cache_core *, const struct exchange *, const struct cache_demand *, uint64_t now_us, struct cache_found *);
/* The answer to this request. Takes its own reference. false: no memory, too large, or it varies with everything. */
bool cache_keep(struct cache_core *, const struct exchange *, struct capture *, const struct cache_terms *, uint64_t now_us);
/* The upstream says that what is kept is good (304). */
void cache_extend(struct cache_core *, const struct exchange *, const struct cache_terms *, uint64_t now_us);
/* A refresh came to nothing; the next one may come after a second. */
void cache_refresh_failed(struct cache_core *, const struct exchange *, uint64_t now_us);
/* What is kept for this target is no longer so (RFC 9111 §4.4), whichever version of a split has answered it. */
void cache_forget(struct cache_core *, const struct exchange *);
/* Room for n more bytes of an answer that has `so_far`? They are counted until cache_give_room. */
bool cache_take_room(struct cache_core *, size_t so_far, size_t n);
void cache_give_room(struct cache_core *, size_t n);
static inline void cache_note(struct cache_core *core, enum cache_result r) { __atomic_fetch_add(&core->results[r], 1, __ATOMIC_RELAXED); }

#endif
