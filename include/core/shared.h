/* shared.h - process-wide cores of policies: what makes `limit: 200` mean 200 in the process, not per worker.
 *
 * A core is a counted, named piece of memory. The first policy that asks for a name creates it; policies of other workers,
 * and of later configurations, get the same one as long as somebody holds it. What is inside protects itself (atomics, or a short lock).
 */
#ifndef CORE_SHARED_H
#define CORE_SHARED_H

#include "base/span.h"

struct shared;
struct shared *shared_new(void);
void  shared_free(struct shared *);                                /* all cores must have been given back */
/* name: "retry_budget/orders". `init` runs once per core, under the table's lock, on zeroed memory of `size` bytes; `fini` (may
 * be NULL) when the last holder gives it back. NULL: out of memory. */
void *shared_take(struct shared *, struct span name, size_t size, void (*init)(void *core, const void *with), const void *with,
	void (*fini)(void *core));
void  shared_give(struct shared *, void *core);

#endif
