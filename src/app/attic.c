/* attic.c - see attic.h. A directory of blocks in front, each whole pages; the first gap that is large enough is taken. */
#include "app/attic.h"

#include <string.h>
#include <sys/mman.h>

enum { BLOCKS = 256, NAME = 200, PAGE = 4096 };
enum block_state { BLOCK_FREE, BLOCK_HELD, BLOCK_LEFT };

struct block {
	enum block_state state;               /* set last, so that a block is either whole or not there */
	unsigned name_len;
	char     name[NAME];
	size_t   from, size;
};
struct attic {
	size_t       whole, size;             /* of the mapping, and of what is for blocks */
	struct block block[BLOCKS];
	_Alignas(PAGE) char memory[];
};

struct attic *attic_new(size_t size)
{
	size_t whole = sizeof(struct attic) + size;
	void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	struct attic *a = memory;
	a->whole = whole;
	a->size = size;
	return a;
}

void attic_free(struct attic *a)
{
	if (a)
		munmap(a, a->whole);
}

/* The pages go back; whoever takes them next finds zeroes. */
static void let_go(struct attic *a, struct block *b)
{
	madvise(a->memory + b->from, b->size, MADV_REMOVE);
	b->state = BLOCK_FREE;
}

void attic_next(struct attic *a)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (a->block[i].state == BLOCK_HELD)
			a->block[i].state = BLOCK_LEFT;
}

void attic_sweep(struct attic *a)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (a->block[i].state == BLOCK_LEFT)
			let_go(a, &a->block[i]);
}

/* Where a gap of this size begins; beyond the end: nowhere. */
static size_t gap(const struct attic *a, size_t size)
{
	size_t from = 0;
	for (unsigned i = 0; i < BLOCKS; i++) {
		const struct block *b = &a->block[i];
		if (b->state == BLOCK_FREE || b->from >= from + size || from >= b->from + b->size)
			continue;
		from = b->from + b->size;
		i = (unsigned)-1;                 /* and again from the first: they are in no order */
	}
	return from;
}

static void *take(void *self, struct span name, size_t size, bool *found)
{
	struct attic *a = self;
	struct block *empty = NULL;
	*found = false;
	size = (size + PAGE - 1) / PAGE * PAGE;
	if (name.len > NAME || size > a->size)
		return NULL;
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct block *b = &a->block[i];
		if (b->state == BLOCK_FREE)
			empty = empty ? empty : b;
		else if (span_eq((struct span){ b->name, b->name_len }, name)) {
			if (b->state == BLOCK_HELD || b->size != size)
				return NULL;      /* two of one name: the second is ordinary memory */
			b->state = BLOCK_HELD;
			*found = true;
			return a->memory + b->from;
		}
	}
	size_t from = empty ? gap(a, size) : a->size;
	if (from + size > a->size)
		return NULL;
	*empty = (struct block){ .name_len = (unsigned)name.len, .from = from, .size = size };
	memcpy(empty->name, name.at, name.len);
	__atomic_store_n(&empty->state, BLOCK_HELD, __ATOMIC_RELEASE);
	return a->memory + from;
}

static bool give(void *self, void *memory)
{
	struct attic *a = self;
	if ((char *)memory < a->memory || (char *)memory >= a->memory + a->size)
		return false;
	for (unsigned i = 0; i < BLOCKS; i++)
		if (a->block[i].state == BLOCK_HELD && a->memory + a->block[i].from == memory)
			let_go(a, &a->block[i]);
	return true;
}

const struct lasting_ops attic_ops = { take, give };
