/* back.h - private: one HTTP/1 connection to an endpoint, and the calls that run on it; shared by back_h1.c (life), back_request.c
 * (requests out) and back_reply.c (replies in).
 *
 *   call   one try of one exchange; lives in the exchange's arena; waits for a connection or runs on one
 *   back   one connection: CONNECTING or BUSY with a call, IDLE in its pool, or LEAVING: a tunnel whose two directions have ended, and whose
 *          last bytes the endpoint has not taken yet
 *
 * Always true:
 *   - call->back and back->call point at each other or are both NULL; a call that ended or was cancelled is on neither.
 *   - a connection goes back to the pool only when its request was written whole, its reply was read whole, nothing came behind it, and both
 *     sides want to go on. Everything else closes it: never another client's bytes.
 *   - what happens before the first byte of a reply on a reused connection is the keep-alive race: ex->reused_dead, and retry repairs it.
 */
#ifndef SRC_EDGE_BACK_H
#define SRC_EDGE_BACK_H

#include "core/exchange.h"
#include "edge/stream.h"
#include "http/h1_read.h"
#include "pool.h"

enum back_state { BACK_CONNECTING, BACK_BUSY, BACK_IDLE, BACK_LEAVING };

struct call {
	struct exchange *ex;
	struct pool     *pool;
	struct back     *back;
	struct link      waiting;
	struct buf       body;                    /* came while waiting                               */
	bool             body_ended, body_lost;
	unsigned         addresses_tried;
};

struct back {
	struct stream    stream;
	struct h1_reader reader;
	struct pool     *pool;
	struct call     *call;
	struct link      on_idle, on_backs;
	struct timer     timer;                   /* connect, or idle; lazy                           */
	uint64_t         since_us;                /* connecting: began; idle: since; leaving: progress */
	size_t           unpaid;
	struct splice   *pipe;                    /* while a long reply body is spliced               */
	uint64_t         served;
	enum back_state  state;
	bool reused, got_bytes;
	bool in_head, head_read;                  /* a head is due; the head that counts was read (1xx do not) */
	bool chunked;                             /* our request body                                 */
	bool request_ended, reply_ended, keep, tunnel;
	bool broken;                              /* out of memory inside a call of the core: the timer ends it */
};

static inline uint64_t back_now(const struct back *b) { return b->stream.loop->worker.now_us; }
static inline struct upstream_stats *back_stats(const struct exchange *ex)
{
	return ex->route->router->upstream_stats[ex->route->upstream->index];
}

/* back_h1.c */
struct call *back_detach(struct back *);          /* the connection is nobody's from here on */
void back_leave(struct back *);                   /* the same; it closes when all is written, or nothing moves for the pool's idle time */
void back_close(struct back *);
void back_fail(struct back *, enum reason);       /* the try is over, badly */
void back_reply_over(struct back *, bool more_bytes);
void back_break_off(struct back *);               /* out of memory inside a call of the core: the timer fails it */
/* back_request.c */
void back_begin_call(struct back *, struct call *);       /* the connection is the call's from here on; it may still be connecting */
void back_body(void *call, struct slice, bool end);
void back_wrote(struct stream *, size_t n);
/* back_reply.c */
void back_input(struct stream *);
void back_gone(struct stream *, bool reset);
void back_want(void *call, size_t n);

#endif
