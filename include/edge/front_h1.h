/* front_h1.h - one HTTP/1 client connection (implements client_ops). */
#ifndef EDGE_FRONT_H1_H
#define EDGE_FRONT_H1_H

#include "edge/listen.h"

/* Takes over the accepted descriptor and a place in the gate; on failure gives both back. requests: that were answered on it before. */
void front_h1_open(struct listener *, int fd, const struct sockaddr *peer, unsigned requests);
/* All connections of which everything that was read has been answered, so that anybody could go on with them. Only reads memory; while the
 * loop stands still, wherever that is. */
void front_h1_at_rest(const struct doorstep *, void (*each)(void *self, const struct listener *, int fd), void *self);
/* Drain: idle connections are closed within `spread_us` (at random, so that clients do not come back all at once); the others
 * with their next answer. */
void front_h1_drain(struct doorstep *, uint64_t spread_us);
void front_h1_leave(const struct listener *);             /* the same for those that came in there, within a second */
/* Under pressure, or no longer: idle clients may stay for a tenth of keepalive_timeout only. */
void front_h1_hurry(struct doorstep *, bool hurry);
/* The end of patience: everything that is still open is cut. */
void front_h1_close_all(struct doorstep *);
/* Instead of an answer: this client's connection is reset, as if nobody were there. Not from inside upstream_ops. */
void front_h1_reset(struct exchange *);
/* The same in the midst of an answer: its first bytes go out, no more. front_h1_reset() has to follow, in a later turn: the peer of a reset at
 * the very beginning may take it for the close of an idle connection (and ask again, as outrigger does). */
void front_h1_falter(struct exchange *);

#endif
