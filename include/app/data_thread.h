/* data_thread.h - one data thread: a loop, its listeners, its routes, its connections to upstreams. Share-nothing. */
#ifndef APP_DATA_THREAD_H
#define APP_DATA_THREAD_H

#include "app/estate.h"
#include "app/survivors.h"
#include "app/stores.h"
#include "edge/back_h1.h"
#include "edge/listen.h"

struct server;
struct data_thread;

struct order { struct message message; void (*what)(struct data_thread *); };

struct listeners { unsigned count; struct listener *at[]; };              /* in the order of the configuration */

/* How long a data thread's loop needs until it looks at what has come in: a message that stands in the same row as the sockets. */
struct probe { struct message message; bool under_way; uint64_t sent_us, lag_us; };      /* under_way, lag_us: atomic */

struct data_thread {
	struct server   *server;
	struct loop      loop;
	struct doorstep  step;
	struct stats_book *book;
	struct estate_desk desk;              /* used when there is a supervisor                  */
	struct worker_stores stores;
	struct router   *next;                /* built, and not in force yet (reload)             */
	struct worker_stores next_stores;     /* its                                              */
	const struct router *shown;           /* control thread: whose counters are read          */
	struct probe     probe;
	struct message   report;              /* to the control thread, of a reload               */
	struct order     order;               /* ... and from it: one at a time                   */
	bool             built;
	struct listeners *listeners;
	struct listeners *next_listeners;     /* a reload's: those that stay, and new ones that are not started */
	const struct listeners *shown_listeners;      /* control thread: as `shown` */
	struct backend  *backend;
	struct timer     drain_poll;
	struct message   stop;                /* there must always be memory to stop */
	pthread_t        thread;
	bool             running;
};

/* All before data_thread_start runs on the control thread. */
bool data_thread_init(struct data_thread *, struct server *, unsigned index);
bool data_thread_start(struct data_thread *);
/* Control thread, for a reload: next_listeners, of those that are shown and the sockets of those that are new. false: no memory, nothing made. */
bool data_thread_prepare_listeners(struct data_thread *, const struct conf *, struct sockets *added);
void data_thread_drop_listeners(struct data_thread *);            /* ... which will not be in force */
/* Messages, carried out by the thread in its own time. false: out of memory. */
bool data_thread_tell(struct data_thread *, void (*what)(struct data_thread *));
void data_thread_keep_alive_off(struct data_thread *);            /* for tell: answers say Connection: close ... */
void data_thread_keep_alive_on(struct data_thread *);             /* ... or no longer                            */
void data_thread_hurry_on(struct data_thread *);                  /* for tell: idle clients leave sooner ...     */
void data_thread_hurry_off(struct data_thread *);                 /* ... or no longer                            */
/* The same without needing memory: not again before it has reported. */
void data_thread_order(struct data_thread *, void (*what)(struct data_thread *));
void data_thread_build(struct data_thread *);                     /* for order: a router of server->reload's snapshot; reload_built() then */
void data_thread_adopt(struct data_thread *);                     /* for order: it is in force; reload_adopted() then */
void data_thread_discard(struct data_thread *);                   /* for order: or not */
void data_thread_board(struct data_thread *);                     /* for tell: let in its share of the server's survivors */
void data_thread_drain(struct data_thread *);                     /* for tell: accept nothing more; server_thread_drained() when empty */
/* The lag of its loop: of the last probe, or, while one is under way, so far. Sends the next one. */
uint64_t data_thread_lag_us(struct data_thread *, uint64_t now_us);
void data_thread_stop(struct data_thread *);                      /* tells it, once: cut what is left, end the thread */
void data_thread_join(struct data_thread *);
void data_thread_fini(struct data_thread *);

#endif
