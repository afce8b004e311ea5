/* front.h - private: one HTTP/1 client connection, shared by the files that make it: front_h1.c (life), front_request.c (requests in),
 * front_reply.c (replies out), front_patience.c (time).
 *
 * Reading and writing are two small machines:
 *
 *   reading   IDLE ─▶ HEAD ─▶ BODY ─▶ DONE ─▶ IDLE ...     TUNNEL after a 101     LINGER: we have answered, let it drain
 *   writing   bytes wait in stream.out; `reply_over` once the last body byte is queued
 *
 * Always true:
 *   - ex is set from the moment a whole head is read until the core says done(); a connection has one exchange at a time.
 *   - in DONE nothing is read from the socket: a pipelining client waits with at most one read's worth in `ahead`.
 *   - `timer` is armed no later than what front_due() says; firing early is harmless, so steady state never touches it.
 */
#ifndef SRC_EDGE_FRONT_H
#define SRC_EDGE_FRONT_H

#include <arpa/inet.h>

#include "core/exchange.h"
#include "edge/listen.h"
#include "edge/stream.h"
#include "http/h1_read.h"

enum { RATE_SECONDS = 5 };

enum reading { READ_IDLE, READ_HEAD, READ_BODY, READ_DONE, READ_TUNNEL, READ_LINGER };

struct front {
	struct stream    stream;
	struct h1_reader reader;
	struct listener *listener;
	struct doorstep *step;
	struct exchange *ex;
	struct link      on_fronts;
	struct timer     timer;
	struct buf       ahead;               /* read, but of a later request                                */
	uint64_t         since_us;            /* when the present state of reading began; BODY: the last byte */
	uint64_t         accepted_us;
	uint64_t         progress_us;         /* of writing, while blocked                                   */
	uint64_t         close_at_us;         /* drain; 0: no                                                */
	struct splice   *pipe;                /* while a long request body is spliced                        */
	size_t           unpaid;              /* body bytes queued, not yet paid back to the core            */
	uint32_t         lingered;            /* bytes thrown away in LINGER                                 */
	uint32_t         requests;
	uint32_t         rate[RATE_SECONDS];  /* body bytes of the last seconds                              */
	uint64_t         rate_at_us;          /* when the present one began                                  */
	uint64_t         body_began_us;
	uint8_t          rate_seconds;        /* whole ones measured                                         */
	uint8_t          reading;
	bool             keep, chunked, until_close, reply_over, aborted, dying, trusted, withheld;
	bool             last;                /* this reply is the last one, and the client may still be sending */
	uint8_t          address_len;
	char             address[INET6_ADDRSTRLEN];
	struct sockaddr_storage *peer;        /* for the gate, when it counts per address                    */
};

extern const struct client_ops front_ops;

static inline uint64_t front_now(const struct front *f) { return f->stream.loop->worker.now_us; }

/* front_h1.c */
void front_close(struct front *, bool reset);
void front_doom(struct front *);          /* inside a call from the core nothing may be closed: the timer does it next */
void front_linger(struct front *);
/* front_request.c */
void front_input(struct stream *);
void front_gone(struct stream *, bool reset);
void front_serve_next(struct front *);    /* what was read ahead is looked at again, as if it had come now */
void front_refuse(struct front *, enum reason, int status, const char *detail);
/* front_reply.c */
void front_wrote(struct stream *, size_t n);
/* front_patience.c */
void front_rearm(struct front *);

#endif
