/* listen.h - listening sockets, and who may come in.
 *
 * A gate is process-wide: it counts connections, in all and per client address, over all workers. A doorstep is a worker's: what all
 * connections that it accepts have in common. Sockets are opened elsewhere, one per worker with SO_REUSEPORT (unix sockets: one for all), so that a
 * supervisor can hold them. Listeners are made by the control thread, and belong to their worker's thread from listener_start on.
 */
#ifndef EDGE_LISTEN_H
#define EDGE_LISTEN_H

#include <sys/socket.h>

#include "conf/conf.h"
#include "core/route.h"
#include "edge/loop.h"
#include "http/h1_read.h"

#define REFUSED_CAUSES(X) X(max_connections) X(per_ip) X(descriptors) X(memory)
enum refused_cause {
#define X(word) REFUSED_##word,
	REFUSED_CAUSES(X)
#undef X
	REFUSED_CAUSE_COUNT
};

struct gate;                              /* process-wide, thread-safe */
/* count: where it is counted, 0 now; NULL: in itself. */
struct gate *gate_new(uint64_t max, uint64_t max_per_ip, uint64_t *count);
/* For who comes from now on. max_per_ip must not change from or to 0: it is not counted then. Any thread. */
void gate_set(struct gate *, uint64_t max, uint64_t max_per_ip);
void gate_free(struct gate *);
bool gate_enter(struct gate *, const struct sockaddr *, enum refused_cause *);
void gate_leave(struct gate *, const struct sockaddr *);
uint64_t gate_count(const struct gate *);

struct trust;                             /* trusted_proxies: addresses and networks; immutable */
struct trust *trust_new(const struct conf_texts *);       /* NULL: out of memory, or not an address (conf has checked) */
void trust_free(struct trust *);
bool trust_has(const struct trust *, const struct sockaddr *);

struct doorstep {
	struct loop              *loop;
	struct router            *router;     /* of new exchanges; replaced whole on reload */
	const struct conf_client *limits;
	struct h1_limits          h1;
	struct gate              *gate;
	const struct trust       *trust;
	struct list               fronts;     /* all client connections of this worker */
	unsigned                  front_count;
	struct list               leaving;    /* listeners that a reload has taken away: until their last connection has gone */
	uint64_t                  hurry_since_us;     /* under pressure since then; 0: it is not */
	const void               *in_hand;            /* whose bytes are being taken in just now: read, and kept nowhere yet */
};

enum listener_state {
	LISTENER_OPEN,
	LISTENER_CLOSING,                     /* nobody new is let in; who was in the backlog, or on the way into it, is */
	LISTENER_CLOSED,
};

struct listener {
	struct watch     watch;
	struct doorstep *step;                /* NULL: not started */
	struct link      on_leaving;
	unsigned         port;
	enum listener_state state;
	bool             paused, leaving;     /* not watched just now; taken away by a reload */
	unsigned         expected;            /* so many are likely to wait to be accepted: they came together last time */
	uint64_t         turn;                /* ... and when that was                                                   */
	struct timer     resume;
	int              reserve;             /* one descriptor kept to be able to refuse politely when they run out */
	uint64_t         accepted, closed, refused[REFUSED_CAUSE_COUNT];      /* open now: accepted - closed */
	struct span      address;             /* as configured: what a reload knows it by; its bytes follow */
	char             bytes[];
};

/* Opens and binds (not yet listening for anybody to see: listen() is part of it, so errors are known before anything runs).
 * reuseport: several sockets share the address. Returns the fd, or -1 with *why an errno-like text. */
enum { LISTEN_BACKLOG = 4096 };
int  listen_open(struct span address, bool reuseport, char why[128]);
unsigned listen_port(int fd);             /* 0 for unix sockets */
struct listener *listener_new(int fd, struct span address);       /* owns the socket from now on; NULL: no memory, it does not */
void listener_start(struct listener *, struct doorstep *);
/* Drain: who is connected already, though not yet accepted, is still served; then listener_stop, LISTEN_LAST_LOOK_US later. */
enum { LISTEN_LAST_LOOK_US = 100000 };
void listener_drain(struct listener *);
/* Nobody is let in any more, and the socket is closed; also for a supervisor that holds it: whoever comes now is refused, not kept waiting. */
void listener_stop(struct listener *);
/* As drain; its connections end with the request that they are at, and when the last has gone it is freed. */
void listener_leave(struct listener *);
/* A connection that another server had let in here: it is let in again, if there is room, as one that has had an answer already. Owns fd. */
void listener_let_in(struct listener *, int fd);
void listener_closed_one(struct listener *);      /* a connection of it has gone */
void listener_free(struct listener *);

#endif
