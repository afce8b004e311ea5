/* worker.h - what one data thread owns and the core needs: the time, timers, memory pools, and the lists of exchanges.
 *
 * Nothing in here is shared between threads. The owner of the event loop (edge/loop.c, or the test rig's virtual clock)
 * sets the time once per turn and then, in this order: delivers events (which only post), timers_run(), exchanges_run().
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/rand.h"
#include "base/timer.h"
#include "core/pressure.h"

struct exchange;
struct flag_book;
struct flag_set;
struct worker;

/* Something to do on another worker's thread. Owned by the sender until `run` is called there; run may free it. */
struct message { struct message *next; void (*run)(struct message *); };

struct worker {
	unsigned          index;
	uint64_t          now_us;             /* monotonic; taken once per turn                            */
	uint64_t          wall_ms;            /* of the same moment, since 1970                            */
	struct timers     timers;
	struct rand       rand;
	struct arena_pool arenas;
	struct chunk_pool chunks;
	struct list       live;               /* every exchange between exchange_new and its end           */
	struct list       ready;              /* exchanges with a posted answer, in the order of posting   */
	struct list       graveyard;          /* over; freed when exchanges_run() returns                  */
	unsigned          live_count;         /* stored relaxed: other threads may look   */
	unsigned          ready_count;
	bool              draining;           /* answers say Connection: close                             */
	bool              leaving;            /* for good: exchanges_farewell                              */
	uint64_t          farewell_us;        /* within this time streams end where they may               */
	struct flag_book *flag_book;          /* of the process; NULL: all flags are off */
	struct flag_set  *flag_set;           /* what it has seen there last; held */
	struct pressure   pressure;           /* its level is for all to see; the rest is of who feeds it  */
	void            (*post)(struct worker *, struct message *);        /* set by the owner of the loop: see worker_post */
	/* Called once for each exchange of a client when its route is known ... */
	void            (*on_begin)(struct worker *, struct exchange *);
	/* ... and when it is over, all policies settled, before its memory goes: metrics, access log. */
	void            (*on_over)(struct worker *, const struct exchange *);
	void             *observer;           /* theirs */
};

void worker_init(struct worker *, unsigned index, uint64_t seed);
void worker_fini(struct worker *);                                 /* must be empty of exchanges */

static inline void worker_count_live(struct worker *w, int change)
{
	__atomic_store_n(&w->live_count, w->live_count + (unsigned)change, __ATOMIC_RELAXED);
}

/* From any thread, also this worker's own; it runs in a later turn. The worker must be known to be alive: see shared.h for who holds whom. */
static inline void worker_post(struct worker *w, struct message *m) { w->post(w, m); }
static inline void worker_arm(struct worker *w, struct timer *t, uint64_t in_us, void (*fire)(struct timer *))
{
	timer_arm(&w->timers, t, w->now_us + in_us, fire);
}
static inline void worker_disarm(struct worker *w, struct timer *t) { timer_disarm(&w->timers, t); }

#endif
