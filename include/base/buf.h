/* buf.h - body bytes: counted chunks, slices of them, and bounded queues of slices.
 *
 *   chunk   a block of memory with a reference count. Sockets are read into chunks.
 *   slice   some bytes of a chunk. Passed down the pipes BORROWED: good until the function called returns.
 *           Whoever wants to keep the bytes keeps them in a buf (by reference when that is worth a whole
 *           chunk, by copy when they are few: a slow peer must not pin 256 KiB with 10 bytes).
 *   buf     a queue of kept slices with a limit set at birth.
 *
 * Bytes may also live elsewhere, where nobody can read them (a kernel pipe: edge/splice.c). Such a chunk has no data[], a `release`, and
 * its slices have no `at`; they are first in, first out, and can only be kept by reference.
 *
 * All of it belongs to one thread; nothing here is atomic.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/span.h"

enum {
	CHUNK_SMALL = 4 * 1024,               /* copies of few bytes, partial heads  */
	CHUNK_HEAD  = 32 * 1024,              /* what a socket is read into at first: a 16 KiB answer fits, head and all */
	CHUNK_BODY  = 256 * 1024,             /* while a large body streams          */
	BUF_COPY_BELOW = 2 * 1024,            /* slices shorter than this are copied when kept */
};

struct chunk_pool;
struct chunk {
	struct chunk_pool *pool;
	struct chunk      *next_free;
	unsigned           refs;
	unsigned           used;              /* bytes written from the start; the rest is free to fill */
	unsigned           size;              /* of data[] */
	void             (*release)(struct chunk *);  /* not NULL: the bytes are elsewhere; called for the last unref */
	char               data[];
};
struct chunk_class { struct chunk *free; unsigned kept, keep, size; };
struct buf_piece;
struct chunk_pool {                       /* free lists of one thread */
	struct chunk_class small, head, body;
	struct buf_piece  *pieces;            /* free pieces */
	unsigned           pieces_kept;
	size_t             bytes_out;         /* chunk bytes that are not in the free lists: outrigger_buffer_bytes */
};

struct slice {
	struct chunk *chunk;                  /* NULL: borrowed memory of somebody else; keeping it copies it */
	const char   *at;
	size_t        len;
};

struct buf_piece { struct buf_piece *next; struct slice slice; };
struct buf {
	struct chunk_pool *pool;
	struct buf_piece  *first, *last;
	size_t             len;               /* bytes queued */
	size_t             max;               /* the named limit: buf_keep refuses to go beyond it */
};

void chunk_pool_init(struct chunk_pool *);
void chunk_pool_fini(struct chunk_pool *);

/* size is one of the three above. refs is 1, used is 0. NULL: out of memory. */
struct chunk *chunk_new(struct chunk_pool *, unsigned size) __attribute__((warn_unused_result));
static inline struct chunk *chunk_ref(struct chunk *c) { c->refs++; return c; }
void chunk_unref(struct chunk *);         /* NULL is harmless */

static inline bool slice_is_elsewhere(struct slice s) { return s.chunk && s.chunk->release; }
static inline struct slice slice_of(struct span s) { return (struct slice){ NULL, s.at, s.len }; }
static inline struct slice slice_in(struct chunk *c, struct span s) { return (struct slice){ c, s.at, s.len }; }
static inline struct span slice_span(struct slice s) { return (struct span){ s.at, s.len }; }

void   buf_init(struct buf *, struct chunk_pool *, size_t max);
void   buf_fini(struct buf *);            /* = buf_clear; the buf may be used again */
void   buf_clear(struct buf *);
/* Keeps the slice at the end of the queue. false: over the limit or out of memory, and nothing was kept. */
bool   buf_keep(struct buf *, struct slice) __attribute__((warn_unused_result));
/* Room for n bytes in one run at the end of the queue, to write into directly; buf_grew says how many (1..n) were written, and
 * nothing else may be asked of the buf in between. NULL: over the limit, larger than CHUNK_BODY, or out of memory. */
char  *buf_room(struct buf *, size_t n) __attribute__((warn_unused_result));
void   buf_grew(struct buf *, size_t n);
/* Drops n bytes (n <= len) from the front. */
void   buf_drop(struct buf *, size_t n);
/* Moves everything to the end of `to` (same pool). false: over its limit, nothing was moved. */
bool   buf_move(struct buf *to, struct buf *from) __attribute__((warn_unused_result));
static inline bool buf_empty(const struct buf *b) { return b->len == 0; }
/* Walking without taking: first piece, then piece->next. */
static inline const struct buf_piece *buf_first(const struct buf *b) { return b->first; }

#endif
