/* estate.h - what a server leaves to its successor when it crashes. Memory that the supervisor maps, and that each server (a child of it) shares.
 *
 *   supervisor ─▶ server      orders; how often, and why, servers were replaced
 *   server ─▶ supervisor      when each loop last turned; is it serving, or leaving; which requests are in flight
 *   server ─▶ successor       the configuration in force; what cores want to be known (core_kind.save)
 *
 * Plain bytes, no pointers (but to another such mapping). Whoever writes may die at any point: a request is there when its `live` is set, and
 * what is kept has two halves of which `whole` names the one that is complete. A page that nobody has touched costs nothing.
 */
#ifndef APP_ESTATE_H
#define APP_ESTATE_H

#include "app/attic.h"
#include "core/exchange.h"
#include "core/shared.h"

enum { ESTATE_REQUESTS = 1024, ESTATE_ID = 64, ESTATE_ROUTE = 48, ESTATE_KEPT = 4 * 1024 * 1024, ESTATE_ATTIC = 256 * 1024 * 1024 };

struct estate_request {
	uint64_t      since_ms;               /* on the wall */
	unsigned char live;                   /* atomic */
	unsigned char id_len, route_len;
	char          id[ESTATE_ID], route[ESTATE_ROUTE];
};
struct estate_worker {
	_Alignas(64) uint64_t pulse_us;       /* atomic; 0: does not run                  */
	uint64_t beyond;                      /* atomic; in flight without a place below  */
	struct estate_request request[ESTATE_REQUESTS];
};
struct estate_kept {
	unsigned whole;                       /* atomic; 0: nothing yet, else 1 + the half */
	struct { size_t len; char bytes[ESTATE_KEPT]; } half[2];
};

#define RESTART_CAUSES(X) X(crash) X(abort) X(killed) X(watchdog) X(exit)
enum restart_cause {
#define X(word) RESTART_##word,
	RESTART_CAUSES(X)
#undef X
	RESTART_CAUSE_COUNT
};
const char *restart_cause_name(enum restart_cause);

enum { ORDER_QUIT = 1, ORDER_RELOAD = 2, ORDER_REOPEN = 4 };
enum { ORDERS_SIGNAL = 12 };                  /* SIGUSR2: there are orders */

struct estate {
	size_t   size;
	unsigned workers;
	/* orders; all atomic */
	unsigned stops;                       /* how often TERM or INT came               */
	unsigned orders;                      /* bits; the server takes them              */
	uint64_t restarts[RESTART_CAUSE_COUNT];
	/* of the server that runs */
	uint64_t serving_us;                  /* atomic; since when; 0: not yet           */
	bool     draining;                    /* POST /drain: not of one server, it stays */
	bool     leaving;                     /* atomic; its end is near, and in order    */
	uint64_t control_pulse_us;            /* atomic */
	uint64_t connections;                 /* atomic; of clients */
	struct estate_kept conf, cores;
	struct attic *attic;                  /* at the same address in each; NULL: no room for one */
	struct estate_worker worker[];
};

struct estate *estate_new(unsigned workers);      /* NULL: no memory for it */
void estate_free(struct estate *);
void estate_next(struct estate *);        /* before another server begins: nothing runs, nothing is in flight */

/* ── requests in flight ── */
/* Of one worker: which places are free. Ordinary memory, it dies with the server. */
struct estate_desk { struct estate_worker *worker; unsigned free_count; unsigned short free[ESTATE_REQUESTS]; };
void estate_desk_init(struct estate_desk *, struct estate *, unsigned worker);
void estate_begin(struct estate_desk *, struct exchange *);
void estate_over(struct estate_desk *, const struct exchange *);

/* ── kept ── */
void estate_keep(struct estate_kept *, struct span bytes);        /* more than fits: nothing is kept */
struct span estate_kept(const struct estate_kept *);              /* length 0: nothing */
void estate_save_cores(struct estate *, struct shared *, uint64_t now_us);
/* For shared_on_new: the state that the last server saved goes into a core that was just made. `self`: struct span, a copy of what was kept. */
void estate_restore_core(void *self, const struct core_kind *, struct span name, void *core);

#endif
