/* stream.h - one byte stream: TCP or unix socket. The only place that knows how bytes move.
 *
 * Edge-triggered: registered once, for everything. `readable` is a remembered edge; it is cleared by a read that came back short. Writes
 * are queued in `out` and go out in one sendmsg at the end of the turn. A stream is closed once; its memory goes at the end of the turn,
 * through the owner's `free`. Owners embed it and answer its four events; inside an event they may close any stream.
 */
#ifndef EDGE_STREAM_H
#define EDGE_STREAM_H

#include <sys/socket.h>

#include "base/buf.h"
#include "edge/loop.h"

struct stream;
struct stream_events {
	/* There may be something to read (also the end, also a reset). Call stream_read while stream->readable and you want more. */
	void (*input)(struct stream *);
	/* n bytes of `out` were written now. out.len == 0: all (n may be 0 after stream_poke). */
	void (*wrote)(struct stream *, size_t n);
	/* Connected (error 0), or not (an errno). Only for stream_connect. */
	void (*connected)(struct stream *, int error);
	/* The peer is gone while nobody reads: reset, or (hup) it has shut down its sending side. */
	void (*gone)(struct stream *, bool reset);
	/* At the end of the turn in which the stream was closed. */
	void (*free)(struct stream *);
};

struct stream {
	struct watch watch;
	struct loop *loop;
	const struct stream_events *on;
	struct chore again, flush, dead;
	struct buf   out;
	bool readable;                        /* an edge not yet read empty                        */
	bool writable;                        /* the last write was not cut short                  */
	bool connecting;
	bool hup;                             /* the peer has shut down its side: the end is in sight */
	bool closed;
	bool wants_input;                     /* `input` shall be called when readable             */
	bool ends;                            /* shut down our side once out is empty              */
	bool stalled;                         /* the low-water guard went off                      */
	bool spoiled;                         /* something could not be queued: what is queued goes out, and nothing after it */
	int  error;                           /* of the last read or write                         */
	int  low_water;                       /* SO_RCVLOWAT as set                                */
	struct timer guard;                   /* armed while low_water > 1                         */
};

/* Takes over fd (non-blocking). false: the fd could not be watched; it is closed, and the stream was never open. */
bool stream_open(struct stream *, struct loop *, int fd, const struct stream_events *, size_t out_max);
/* Begins to connect; `connected` comes later, never from inside. Returns 0, or an errno at once (then nothing is open). */
int  stream_connect(struct stream *, struct loop *, const struct sockaddr *, socklen_t, const struct stream_events *, size_t out_max);
/* `connected` has told an error: the same stream, with what is queued, tries another address. Returns 0, or an errno at once. */
int  stream_reconnect(struct stream *, const struct sockaddr *, socklen_t);
void stream_close(struct stream *);
void stream_reset(struct stream *);       /* close so that the peer notices: RST */

enum stream_got { GOT_BYTES, GOT_NOTHING, GOT_END, GOT_ERROR };
/* Reads once, into a chunk of the loop: at most CHUNK_HEAD bytes, or CHUNK_BODY when `large`. *got is borrowed until the next read on this loop. */
enum stream_got stream_read(struct stream *, bool large, struct slice *got);
/* The same without looking at the bytes: some of the `left` ones go into a pipe, a new one when *pipe is NULL. The caller owns a reference to
 * *pipe until it says splice_done. GOT_ERROR with error EINVAL: this descriptor cannot be spliced.
 * A fast sender is not looked at for every packet: the socket wakes us for a quarter of a mebibyte (SO_RCVLOWAT), which on a long body saves
 * a fifth of all CPU; bytes that stay below that are fetched after 5 ms, and a sender that turns out slow is looked at as usual. */
enum stream_got stream_splice(struct stream *, struct splice **pipe, uint64_t left, struct slice *got);
/* Input wanted or not (back-pressure). Wanting again schedules `input` when an edge is pending. */
void stream_want_input(struct stream *, bool want);

/* All of these queue; false: the limit or the memory is exhausted. Then so are all later ones: what would follow is not what belongs there.
 * A stream spoiled like that does not end in order either; its owner resets it. */
bool stream_send(struct stream *, struct slice) __attribute__((warn_unused_result));
char *stream_room(struct stream *, size_t n) __attribute__((warn_unused_result));      /* then stream_grew */
void stream_grew(struct stream *, size_t n);
void stream_poke(struct stream *);        /* `wrote` shall be called at the end of this turn even if nothing is queued */
void stream_end(struct stream *);         /* shut down the sending side after what is queued */

#endif
