/* store.h - shared state outside the process (Redis), as policies see it. Implemented in edge/.
 *
 * A store belongs to one worker. A call is embedded in the caller's slot, may be answered at once or later, and its cancel is synchronous and
 * final. A store that is not connected says so at once: nobody waits for what is known to be gone.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "base/span.h"

#define STORE_RESULTS(X) \
	X(ok)       /* `reply` holds: a text or a number's digits; .at NULL: there is nothing under that key */ \
	X(refused)  /* it answered with an error: `reply` holds its words                                  */ \
	X(slow)     /* no answer within its timeout                                                        */ \
	X(down)     /* not connected, or the connection broke                                              */
enum store_result {
#define X(word) STORE_##word,
	STORE_RESULTS(X)
#undef X
	STORE_RESULT_COUNT
};
const char *store_result_name(enum store_result);

/* A script that runs inside the store, in one piece: KEYS, ARGV and return as Redis has them (a text or a number). */
struct store_script { const char *text; };

struct store_call {
	/* Called once, on the worker's thread, unless cancelled before; maybe before `ask` returns. `reply` is good during the call. */
	void (*done)(struct store_call *, enum store_result, struct span reply);
	void  *pending;                       /* the store's; NULL: not running */
};

struct store_ops {
	/* `script` with the number of keys, the keys and the arguments; or, with NULL, a command and its arguments. */
	void     (*ask)(void *store, struct store_call *, const struct store_script *script, const struct span *words, unsigned count);
	void     (*cancel)(void *store, struct store_call *);          /* harmless when not running */
	unsigned (*instances)(void *store);   /* processes that share it, this one included; at least 1 */
	void     (*hold)(void *store);        /* by routers: a store lives as long as somebody may ask it */
	void     (*give)(void *store);
};
struct store { struct span name; const struct store_ops *ops; void *self; };

/* What there is of that name; NULL: nothing. */
const struct store *store_named(const struct store *, unsigned count, struct span name);

#endif
