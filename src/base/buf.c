/* buf.c - chunks, their pool, and queues of slices.
 *
 * Always true of a buf: len is the sum of its pieces' lengths and <= max; no piece is empty; every piece holds one
 * reference to its chunk, and its bytes lie below chunk->used. Only the tail may grow, in one of two ways: a slice that
 * follows it in the same chunk joins it, or few bytes are copied behind it when nobody else holds the chunk.
 * With AddressSanitizer nothing is kept in the free lists, so that it sees every use after the last unref.
 */
#include "base/buf.h"

#include <stdlib.h>

#include "base/must.h"
#include "sanitize.h"

enum { KEEP_SMALL = 1024, KEEP_HEAD = 256, KEEP_BODY = 16, KEEP_PIECES = 4096 };

static struct chunk_class class_of(unsigned size, unsigned keep)
{
	return (struct chunk_class){ .size = size, .keep = SANITIZE_ADDRESS ? 0 : keep };
}

void chunk_pool_init(struct chunk_pool *pool)
{
	*pool = (struct chunk_pool){
		.small = class_of(CHUNK_SMALL, KEEP_SMALL),
		.head  = class_of(CHUNK_HEAD, KEEP_HEAD),
		.body  = class_of(CHUNK_BODY, KEEP_BODY),
	};
}

static void class_fini(struct chunk_class *class)
{
	while (class->free) {
		struct chunk *c = class->free;
		class->free = c->next_free;
		free(c);
	}
	class->kept = 0;
}

void chunk_pool_fini(struct chunk_pool *pool)
{
	must(pool->bytes_out == 0);               /* a chunk points at its pool, so it may not outlive it */
	class_fini(&pool->small);
	class_fini(&pool->head);
	class_fini(&pool->body);
	while (pool->pieces) {
		struct buf_piece *piece = pool->pieces;
		pool->pieces = piece->next;
		free(piece);
	}
	pool->pieces_kept = 0;
}

static struct chunk_class *class_find(struct chunk_pool *pool, unsigned size)
{
	if (size == CHUNK_HEAD)
		return &pool->head;
	if (size == CHUNK_SMALL)
		return &pool->small;
	must(size == CHUNK_BODY);
	return &pool->body;
}

/* The pool's one writer is its thread; the scrape reads from another, hence the relaxed store. */
static void bytes_out_set(struct chunk_pool *pool, size_t bytes) { __atomic_store_n(&pool->bytes_out, bytes, __ATOMIC_RELAXED); }

struct chunk *chunk_new(struct chunk_pool *pool, unsigned size)
{
	struct chunk_class *class = class_find(pool, size);
	struct chunk *c = class->free;

	if (c) {
		class->free = c->next_free;
		class->kept--;
	} else {
		c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		c->pool = pool;
		c->size = size;
		c->release = NULL;
	}
	c->next_free = NULL;
	c->refs = 1;
	c->used = 0;
	bytes_out_set(pool, pool->bytes_out + size);
	return c;
}

void chunk_unref(struct chunk *c)
{
	if (!c)
		return;
	must(c->refs > 0);
	if (--c->refs)
		return;
	if (c->release) {
		c->release(c);
		return;
	}
	struct chunk_class *class = class_find(c->pool, c->size);
	bytes_out_set(c->pool, c->pool->bytes_out - c->size);
	if (class->kept >= class->keep) {
		free(c);
		return;
	}
	c->next_free = class->free;
	class->free = c;
	class->kept++;
}

static struct buf_piece *piece_new(struct chunk_pool *pool, struct slice s)
{
	struct buf_piece *piece = pool->pieces;

	if (piece) {
		pool->pieces = piece->next;
		pool->pieces_kept--;
	} else {
		piece = malloc(sizeof(*piece));
		if (!piece)
			return NULL;
	}
	piece->next = NULL;
	piece->slice = s;
	return piece;
}

static void piece_free(struct chunk_pool *pool, struct buf_piece *piece)
{
	chunk_unref(piece->slice.chunk);
	if (SANITIZE_ADDRESS || pool->pieces_kept >= KEEP_PIECES) {
		free(piece);
		return;
	}
	piece->next = pool->pieces;
	pool->pieces = piece;
	pool->pieces_kept++;
}

void buf_init(struct buf *b, struct chunk_pool *pool, size_t max)
{
	*b = (struct buf){ .pool = pool, .max = max };
}

void buf_clear(struct buf *b)
{
	while (b->first) {
		struct buf_piece *piece = b->first;
		b->first = piece->next;
		piece_free(b->pool, piece);
	}
	b->last = NULL;
	b->len = 0;
}

void buf_fini(struct buf *b)
{
	buf_clear(b);
}

static void link_pieces(struct buf *b, struct buf_piece *first, struct buf_piece *last, size_t len)
{
	if (b->last)
		b->last->next = first;
	else
		b->first = first;
	b->last = last;
	b->len += len;
}

static bool keep_by_reference(struct buf *b, struct slice s)
{
	struct slice *tail = b->last ? &b->last->slice : NULL;

	if (tail && tail->chunk == s.chunk && (slice_is_elsewhere(s) || tail->at + tail->len == s.at)) {
		tail->len += s.len;
		b->len += s.len;
		return true;
	}
	struct buf_piece *piece = piece_new(b->pool, s);
	if (!piece)
		return false;
	chunk_ref(s.chunk);
	link_pieces(b, piece, piece, s.len);
	return true;
}

/* May `len` bytes be written behind the tail? Yes when the tail ends where its chunk's unwritten part begins, and this
 * piece holds the only reference: then nobody else can be about to write there. */
static bool tail_takes(const struct buf *b, size_t len)
{
	if (!b->last)
		return false;
	const struct slice *tail = &b->last->slice;
	const struct chunk *c = tail->chunk;
	return c->refs == 1 && !c->release && tail->at + tail->len == c->data + c->used && len <= c->size - c->used;
}

static void chunk_fill(struct chunk *c, const char *at, size_t len)
{
	memcpy(c->data + c->used, at, len);
	c->used += (unsigned)len;
}

/* Copies into chunks of their own: one small one, or as many of the middle size as it takes. All or nothing. */
static bool keep_in_new_chunks(struct buf *b, struct slice s)
{
	struct buf_piece *first = NULL, *last = NULL;
	unsigned size = s.len <= CHUNK_SMALL ? CHUNK_SMALL : CHUNK_HEAD;

	for (size_t done = 0; done < s.len;) {
		size_t len = s.len - done < size ? s.len - done : size;
		struct chunk *c = chunk_new(b->pool, size);
		struct buf_piece *piece = c ? piece_new(b->pool, (struct slice){ c, c->data, len }) : NULL;
		if (!piece) {
			chunk_unref(c);
			goto undo;
		}
		chunk_fill(c, s.at + done, len);
		if (last)
			last->next = piece;
		else
			first = piece;
		last = piece;
		done += len;
	}
	link_pieces(b, first, last, s.len);
	return true;
undo:
	while (first) {
		struct buf_piece *next = first->next;
		piece_free(b->pool, first);
		first = next;
	}
	return false;
}

bool buf_keep(struct buf *b, struct slice s)
{
	if (!s.len)
		return true;
	if (s.len > b->max - b->len)
		return false;
	if (s.chunk && (s.len >= BUF_COPY_BELOW || slice_is_elsewhere(s)))
		return keep_by_reference(b, s);
	if (!tail_takes(b, s.len))
		return keep_in_new_chunks(b, s);
	chunk_fill(b->last->slice.chunk, s.at, s.len);
	b->last->slice.len += s.len;
	b->len += s.len;
	return true;
}

char *buf_room(struct buf *b, size_t n)
{
	if (n > b->max - b->len || n > CHUNK_BODY)
		return NULL;
	if (!tail_takes(b, n)) {
		struct chunk *c = chunk_new(b->pool, n <= CHUNK_SMALL ? CHUNK_SMALL : n <= CHUNK_HEAD ? CHUNK_HEAD : CHUNK_BODY);
		struct buf_piece *piece = c ? piece_new(b->pool, (struct slice){ c, c->data, 0 }) : NULL;
		if (!piece) {
			chunk_unref(c);
			return NULL;
		}
		link_pieces(b, piece, piece, 0);
	}
	return b->last->slice.chunk->data + b->last->slice.chunk->used;
}

void buf_grew(struct buf *b, size_t n)
{
	must(n > 0);
	b->last->slice.chunk->used += (unsigned)n;
	b->last->slice.len += n;
	b->len += n;
}

void buf_drop(struct buf *b, size_t n)
{
	must(n <= b->len);
	b->len -= n;
	while (n) {
		struct buf_piece *piece = b->first;
		if (n < piece->slice.len) {
			if (piece->slice.at)
				piece->slice.at += n;
			piece->slice.len -= n;
			return;
		}
		n -= piece->slice.len;
		b->first = piece->next;
		if (!b->first)
			b->last = NULL;
		piece_free(b->pool, piece);
	}
}

bool buf_move(struct buf *to, struct buf *from)
{
	must(to != from && to->pool == from->pool);
	if (from->len > to->max - to->len)
		return false;
	if (!from->first)
		return true;
	link_pieces(to, from->first, from->last, from->len);
	from->first = from->last = NULL;
	from->len = 0;
	return true;
}
