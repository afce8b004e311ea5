/* store.h - shared state outside the process (Redis) or inside it (memory), as policies see it. Implemented in edge/.
 *
 * A call is embedded in the caller's slot, may be answered at once or later, and its cancel is synchronous and final.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include "base/span.h"

enum store_result { STORE_OK, STORE_REFUSED, STORE_DOWN, STORE_SLOW };

struct store_call {
	/* Called once, on the worker's thread, unless cancelled before. `reply` is good during the call. */
	void (*done)(struct store_call *, enum store_result, struct span reply);
	void  *pending;                       /* the store's; NULL: not running */
};

struct store_ops {
	/* One command with its arguments, in the store's own words ("EVALSHA", ...). May call done before it returns. */
	void (*ask)(void *store, struct store_call *, const struct span *words, unsigned count);
	void (*cancel)(void *store, struct store_call *);              /* harmless when not running */
};
struct store { const struct store_ops *ops; void *self; };

#endif
