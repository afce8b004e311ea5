/* timer.h - timers that live inside the caller's struct, in a heap that never allocates.
 *
 * An intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): arming and disarming allocate nothing and
 * cannot fail; disarming is immediate and final. The heap knows no clock: it is told the time. Times are
 * microseconds of a monotonic clock. Re-arming a timer that only moves later is lazy: it keeps its place and is put
 * right when its old time comes, so "idle since the last byte" costs a store per byte-batch, not a heap operation.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct timer {
	uint64_t      due_us;                 /* when it shall fire                        */
	uint64_t      key_us;                 /* its place in the heap: never after due_us */
	uint64_t      run;                    /* the run it last fired in, while that matters */
	struct timer *child, *next, *prev;    /* prev: left sibling, or the parent         */
	void        (*fire)(struct timer *);  /* NULL: not armed. Disarmed before the call; may arm it again or free it */
};
struct timers {
	struct timer *root;
	struct timer *again;                  /* fired in the present run and armed anew: wait for the next */
	uint64_t      run, armed;             /* the present run; how many timers are armed */
};

#define TIMER_NEVER UINT64_MAX

void     timers_init(struct timers *);
void     timer_arm(struct timers *, struct timer *, uint64_t due_us, void (*fire)(struct timer *));
void     timer_disarm(struct timers *, struct timer *);            /* harmless when not armed (zeroed memory is not armed) */
static inline bool timer_armed(const struct timer *t) { return t->fire != 0; }
/* When to look again, or TIMER_NEVER. May be early because of lazy re-arming, never late. */
uint64_t timers_next(const struct timers *);
/* Fires all that are due at now_us, earliest first; those armed while firing for now_us or earlier fire too, except that
 * a timer fires at most once per call (no livelock). Returns how many fired. Not from inside a fire. */
unsigned timers_run(struct timers *, uint64_t now_us);

#endif
