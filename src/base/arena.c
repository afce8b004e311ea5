/* arena.c - bump allocation out of blocks; blocks come from the pool's free list.
 *
 * Always true: next <= end, both inside the newest ordinary block (or both NULL); end is aligned; used <= max.
 * A piece too big for an ordinary block gets one of its own, put behind the newest, so that what is left of the
 * newest is not lost. With AddressSanitizer every piece is big: one malloc each, and the pool stays empty.
 */
#include "base/arena.h"

#include <stdlib.h>

#include "sanitize.h"

enum { ARENA_ALIGN = 16 };

struct arena_block {
	struct arena_block *next;
	size_t              pooled;           /* an ordinary block: goes back to the pool */
	_Alignas(ARENA_ALIGN) char bytes[];
};

enum { BLOCK_ROOM = SANITIZE_ADDRESS ? 0 : ARENA_BLOCK - sizeof(struct arena_block) };

void arena_pool_init(struct arena_pool *pool, unsigned keep)
{
	*pool = (struct arena_pool){ .keep = keep };
}

void arena_pool_fini(struct arena_pool *pool)
{
	while (pool->free) {
		struct arena_block *block = pool->free;
		pool->free = block->next;
		free(block);
	}
	pool->kept = 0;
}

static struct arena_block *block_take(struct arena_pool *pool)
{
	struct arena_block *block;

	if (pool && pool->free) {
		block = pool->free;
		pool->free = block->next;
		pool->kept--;
		return block;
	}
	block = malloc(ARENA_BLOCK);
	if (block)
		block->pooled = 1;
	return block;
}

static void block_give(struct arena_pool *pool, struct arena_block *block)
{
	if (!pool || !block->pooled || pool->kept >= pool->keep) {
		free(block);
		return;
	}
	block->next = pool->free;
	pool->free = block;
	pool->kept++;
}

void arena_init(struct arena *a, struct arena_pool *pool, size_t max)
{
	*a = (struct arena){ .pool = pool, .max = max < PTRDIFF_MAX / 2 ? max : PTRDIFF_MAX / 2 };
}

void arena_fini(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *block = a->blocks;
		a->blocks = block->next;
		block_give(a->pool, block);
	}
	a->next = a->end = NULL;
	a->used = 0;
}

static char *take_own_block(struct arena *a, size_t size)
{
	struct arena_block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	block->pooled = 0;
	struct arena_block **place = a->blocks ? &a->blocks->next : &a->blocks;
	block->next = *place;
	*place = block;
	return block->bytes;
}

static __attribute__((noinline)) char *take_slow(struct arena *a, size_t size)
{
	if (size > BLOCK_ROOM)
		return take_own_block(a, size);
	struct arena_block *block = block_take(a->pool);
	if (!block)
		return NULL;
	block->next = a->blocks;
	a->blocks = block;
	a->next = block->bytes + size;
	a->end = (char *)block + ARENA_BLOCK;
	return block->bytes;
}

static inline char *take(struct arena *a, size_t size, uintptr_t align)
{
	if (!size)
		size = 1;
	if (size > a->max - a->used)
		return NULL;
	uintptr_t from = ((uintptr_t)a->next + (align - 1)) & ~(align - 1);
	char *piece;
	if (size <= (uintptr_t)a->end - from) {
		piece = (char *)from;
		a->next = piece + size;
	} else {
		piece = take_slow(a, size);
		if (!piece)
			return NULL;
	}
	a->used += size;
	return piece;
}

void *arena_take(struct arena *a, size_t size)
{
	return take(a, size, ARENA_ALIGN);
}

void *arena_take_zeroed(struct arena *a, size_t size)
{
	void *piece = arena_take(a, size);

	if (piece)
		memset(piece, 0, size);
	return piece;
}

char *arena_text(struct arena *a, size_t size)
{
	return take(a, size, 1);
}

struct span arena_copy(struct arena *a, struct span s)
{
	char *copy = s.len < SIZE_MAX ? arena_text(a, s.len + 1) : NULL;

	if (!copy)
		return SPAN_NONE;
	if (s.len)
		memcpy(copy, s.at, s.len);
	copy[s.len] = '\0';
	return (struct span){ copy, s.len };
}
