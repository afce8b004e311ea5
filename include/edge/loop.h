/* loop.h - the event loop of one thread.
 *
 * Two layers. libuv's loop has everything that is not a byte stream of ours: signals, c-ares, libcurl, messages from other threads.
 * Our own sockets stand edge-triggered in an epoll set of the thread, in which libuv's backend descriptor is one more member
 * (uv_backend_fd, the documented way to embed a libuv loop): a proxied request then needs no epoll_ctl and no second look at a socket that
 * was read empty. One turn:
 *
 *     wait → take the time → readers with more to read → events (all of these only post) → timers → libuv
 *          → exchanges walk → one write per stream, until nothing is left to walk → the dead are freed
 */
#ifndef EDGE_LOOP_H
#define EDGE_LOOP_H

#include <pthread.h>
#include <uv.h>

#include "core/worker.h"

/* A descriptor in the epoll set. `ready` gets EPOLL* bits; it may close any watch, also its own (freeing waits for the turn's end). */
struct watch { int fd; void (*ready)(struct watch *, uint32_t events); };

/* Work for a later point of the turn; on at most one list. */
struct chore { struct link link; void (*run)(struct chore *); };

struct loop {
	struct worker   worker;
	uv_loop_t       uv;
	int             epoll_fd;
	struct watch    uv_watch;
	bool            uv_ready, stop;
	struct list     again;                /* chores for the beginning of the next turn: readers with more to read    */
	struct list     flush;                /* chores after walking: one write per stream                               */
	struct list     dead;                 /* chores at the end of the turn: free memory                               */
	struct splice  *splices; unsigned splice_count;       /* empty pipes, ready for use (splice.c) */
	struct chunk   *read_chunk, *body_chunk;      /* what sockets are read into; kept while nobody holds a part of them */
	uv_async_t      bell;
	pthread_mutex_t inbox_lock;
	struct message *inbox_first, **inbox_last;
	bool            halted;               /* atomic; see loop_halt */
	void          (*on_halt)(void *self); void *halt_self;
	uint64_t        turns, busy_us, lag_us;       /* counters for the metrics; lag: the longest turn since last asked */
	uint64_t        timers_armed;                 /* ... when the loop last turned                                     */
	uint64_t       *pulse_us;             /* atomic: when the loop last turned (livez, and a supervisor's watchdog)    */
	uint64_t        own_pulse_us;         /* where that is, unless somebody sets the pointer before it runs            */
};

bool loop_init(struct loop *, unsigned index, uint64_t seed);
void loop_fini(struct loop *);
void loop_run(struct loop *);             /* until loop_stop */
void loop_bury(struct loop *);            /* frees what was closed; for tearing down while the loop does not run */
void loop_stop(struct loop *);            /* own thread only; others send a message */
/* Its next turn does not begin; on_halt is called on its thread instead, and may not come back. Any thread, also in a signal handler. */
void loop_halt(struct loop *);
bool loop_watch(struct loop *, struct watch *, int fd, uint32_t events);
bool loop_watch_room(struct loop *, struct watch *, int fd);     /* once: it takes something again */
void loop_unwatch(struct loop *, struct watch *);
void loop_post(struct loop *, struct message *);          /* any thread; worker_post() comes here */
static inline void chore_init(struct chore *c, void (*run)(struct chore *)) { link_init(&c->link); c->run = run; }
static inline void chore_add(struct list *list, struct chore *c)
{
	if (!link_on_list(&c->link))
		list_append(list, &c->link);
}
static inline struct loop *loop_of(struct worker *w) { return container_of(w, struct loop, worker); }
uint64_t clock_now_us(void);              /* monotonic */
uint64_t clock_wall_ms(void);

#endif
