/* arena.h - memory of one exchange, or of one configuration: taken bit by bit, given back all at once.
 *
 * An arena takes blocks of ARENA_BLOCK bytes from a pool (a worker's free list: no malloc in steady state), and
 * bigger ones from malloc. Request and reply heads, policy slots and computed header values live here; bodies never do.
 * In sanitizer builds every piece is a malloc of its own, so that an overrun of one byte is seen.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/span.h"

enum { ARENA_BLOCK = 4096 };

struct arena_block;
struct arena_pool {                       /* free blocks of one thread; at most `keep` of them are kept */
	struct arena_block *free;
	unsigned kept, keep;
};
struct arena {
	struct arena_pool  *pool;             /* NULL: malloc and free */
	struct arena_block *blocks;           /* newest first */
	char               *next, *end;       /* what is left of the newest */
	size_t              used, max;        /* bytes handed out; max is the named limit, beyond it takes fail */
};

void arena_pool_init(struct arena_pool *, unsigned keep);
void arena_pool_fini(struct arena_pool *);

void arena_init(struct arena *, struct arena_pool *, size_t max);
void arena_fini(struct arena *);                                  /* all pieces are dust afterwards */

/* Aligned for any object; not zeroed / zeroed. NULL: out of memory, or over the arena's limit. */
void *arena_take(struct arena *, size_t size) __attribute__((warn_unused_result));
void *arena_take_zeroed(struct arena *, size_t size) __attribute__((warn_unused_result));
/* Unaligned, for text. */
char *arena_text(struct arena *, size_t size) __attribute__((warn_unused_result));
/* A copy (NUL-terminated behind its end for the convenience of C functions). .at == NULL: out of memory. */
struct span arena_copy(struct arena *, struct span) __attribute__((warn_unused_result));

#endif
