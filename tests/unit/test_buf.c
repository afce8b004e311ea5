/* test_buf.c - what goes into a buf comes out in order; copies and references; the limit; the pool's books. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "../../src/base/sanitize.h"
#include "base/buf.h"
#include "base/rand.h"

static struct slice fill(struct chunk *c, size_t len, char byte)      /* as a socket read would */
{
	char *at = c->data + c->used;

	memset(at, byte, len);
	c->used += (unsigned)len;
	return slice_in(c, (struct span){ at, len });
}

static unsigned count_pieces(const struct buf *b)
{
	unsigned n = 0;

	for (const struct buf_piece *p = buf_first(b); p; p = p->next)
		n++;
	return n;
}

static void chunks_come_back(void **state)
{
	(void)state;
	struct chunk_pool pool;

	chunk_pool_init(&pool);
	pool.small.keep = 1;                                              /* also where a sanitizer build would keep none */
	struct chunk *a = chunk_new(&pool, CHUNK_SMALL), *b = chunk_new(&pool, CHUNK_SMALL), *big = chunk_new(&pool, CHUNK_BODY);
	assert_true(a && b && big);
	assert_int_equal(a->size, CHUNK_SMALL);
	assert_int_equal(pool.bytes_out, 2 * CHUNK_SMALL + CHUNK_BODY);
	a->used = 9;
	chunk_unref(chunk_ref(a));
	assert_int_equal(a->refs, 1);
	chunk_unref(a);
	assert_int_equal(pool.small.kept, 1);
	assert_int_equal(pool.bytes_out, CHUNK_SMALL + CHUNK_BODY);
	chunk_unref(b);                                                   /* one too many to keep */
	assert_int_equal(pool.small.kept, 1);
	assert_ptr_equal(chunk_new(&pool, CHUNK_SMALL), a);
	assert_int_equal(a->refs, 1);
	assert_int_equal(a->used, 0);
	assert_int_equal(pool.small.kept, 0);
	chunk_unref(a);
	chunk_unref(big);
	chunk_unref(NULL);
	assert_int_equal(pool.bytes_out, 0);
	chunk_pool_fini(&pool);
	assert_null(pool.small.free);
}

static void large_slices_are_kept_by_reference(void **state)
{
	(void)state;
	struct chunk_pool pool;
	struct buf b;

	chunk_pool_init(&pool);
	buf_init(&b, &pool, 1 << 20);
	struct chunk *c = chunk_new(&pool, CHUNK_HEAD);
	assert_non_null(c);
	struct slice one = fill(c, BUF_COPY_BELOW, 'a');
	assert_true(buf_keep(&b, one));
	assert_ptr_equal(buf_first(&b)->slice.at, one.at);
	assert_int_equal(c->refs, 2);
	assert_true(buf_keep(&b, fill(c, BUF_COPY_BELOW, 'b')));          /* its neighbour joins it */
	assert_int_equal(count_pieces(&b), 1);
	assert_int_equal(c->refs, 2);
	fill(c, 100, '-');
	assert_true(buf_keep(&b, fill(c, BUF_COPY_BELOW, 'c')));          /* not a neighbour */
	assert_int_equal(count_pieces(&b), 2);
	assert_int_equal(c->refs, 3);
	chunk_unref(c);
	buf_drop(&b, 2 * BUF_COPY_BELOW + 1);
	assert_int_equal(c->refs, 1);
	assert_int_equal(b.len, BUF_COPY_BELOW - 1);
	buf_fini(&b);
	assert_int_equal(pool.bytes_out, 0);
	chunk_pool_fini(&pool);
}

static void few_bytes_are_copied_together(void **state)
{
	(void)state;
	struct chunk_pool pool;
	struct buf b;

	chunk_pool_init(&pool);
	buf_init(&b, &pool, 1 << 20);
	struct chunk *c = chunk_new(&pool, CHUNK_BODY);
	assert_non_null(c);
	for (int i = 0; i < 100; i++)
		assert_true(buf_keep(&b, fill(c, 10, (char)i)));
	assert_int_equal(c->refs, 1);                                     /* the 256 KiB are not pinned */
	assert_int_equal(count_pieces(&b), 1);
	assert_int_equal(pool.bytes_out, CHUNK_BODY + CHUNK_SMALL);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_first(&b)->slice.at[i], i / 10);
	chunk_unref(c);
	buf_clear(&b);
	assert_true(buf_keep(&b, slice_of(SPAN("again"))));
	buf_fini(&b);
	chunk_pool_fini(&pool);
}

/* Whoever else holds the chunk may be about to write behind its used part. */
static void shared_chunks_are_not_appended_to(void **state)
{
	(void)state;
	struct chunk_pool pool;
	struct buf b;

	chunk_pool_init(&pool);
	buf_init(&b, &pool, 1 << 20);
	struct chunk *c = chunk_new(&pool, CHUNK_HEAD);
	assert_non_null(c);
	assert_true(buf_keep(&b, fill(c, 3000, 'a')));
	assert_true(buf_keep(&b, slice_of(SPAN("tail"))));
	assert_int_equal(count_pieces(&b), 2);
	assert_int_equal(c->used, 3000);
	struct chunk *copy = b.last->slice.chunk;
	assert_true(buf_keep(&b, slice_of(SPAN("more"))));                /* its own copy: appended */
	assert_int_equal(copy->used, 8);
	chunk_ref(copy);
	assert_true(buf_keep(&b, slice_of(SPAN("third"))));               /* held by somebody (a write): not touched */
	assert_int_equal(copy->used, 8);
	assert_int_equal(count_pieces(&b), 3);
	chunk_unref(copy);
	copy = b.last->slice.chunk;
	copy->used++;                                                     /* the tail does not end where it is free */
	assert_true(buf_keep(&b, slice_of(SPAN("fourth"))));
	assert_ptr_not_equal(b.last->slice.chunk, copy);
	chunk_unref(c);
	buf_fini(&b);
	assert_int_equal(pool.bytes_out, 0);
	chunk_pool_fini(&pool);
}

static void foreign_memory_is_copied(void **state)
{
	(void)state;
	enum { LEN = 3 * CHUNK_HEAD + 5 };
	struct chunk_pool pool;
	struct buf b;
	char *memory = malloc(LEN);
	size_t at = 0;

	assert_non_null(memory);
	for (int i = 0; i < LEN; i++)
		memory[i] = (char)(i * 7 / 3);
	chunk_pool_init(&pool);
	buf_init(&b, &pool, LEN);
	assert_true(buf_keep(&b, slice_of((struct span){ memory, LEN })));
	assert_int_equal(b.len, LEN);
	assert_int_equal(count_pieces(&b), 4);
	for (const struct buf_piece *p = buf_first(&b); p; at += p->slice.len, p = p->next)
		assert_memory_equal(p->slice.at, memory + at, p->slice.len);
	assert_int_equal(at, LEN);
	free(memory);
	buf_fini(&b);
	chunk_pool_fini(&pool);
}

static void the_limit_refuses_all_or_nothing(void **state)
{
	(void)state;
	struct chunk_pool pool;
	struct buf b, other;

	chunk_pool_init(&pool);
	buf_init(&b, &pool, 10);
	buf_init(&other, &pool, 8);
	assert_true(buf_keep(&b, slice_of(SPAN("12345678"))));
	assert_false(buf_keep(&b, slice_of(SPAN("abc"))));
	assert_int_equal(b.len, 8);
	assert_int_equal(buf_first(&b)->slice.len, 8);
	assert_true(buf_keep(&b, slice_of(SPAN("ab"))));
	assert_true(buf_keep(&b, slice_of(SPAN_NONE)));                   /* nothing always fits */
	assert_false(buf_move(&other, &b));
	assert_int_equal(b.len, 10);
	assert_true(buf_empty(&other));
	buf_drop(&b, 5);
	assert_true(buf_keep(&other, slice_of(SPAN("xyz"))));
	assert_true(buf_move(&other, &b));
	assert_true(buf_empty(&b));
	assert_null(buf_first(&b));
	assert_int_equal(other.len, 8);
	assert_memory_equal(buf_first(&other)->slice.at, "xyz", 3);
	assert_memory_equal(buf_first(&other)->next->slice.at, "678ab", 5);
	assert_true(buf_move(&other, &b));                                /* nothing to move */
	assert_true(buf_keep(&b, slice_of(SPAN("usable"))));
	buf_fini(&b);
	buf_fini(&other);
	assert_int_equal(pool.bytes_out, 0);
	chunk_pool_fini(&pool);
}

/* Against a plain array: keep, drop and move at random, from chunks that are filled, shared and let go. */
enum { MODEL = 200000 };
struct world {
	struct chunk_pool pool;
	struct buf b, side;
	struct chunk *chunk;
	struct rand r;
	char model[MODEL];
	size_t from, to;                                                  /* model[from, to) is in b, then side */
};

static void keep_something(struct world *w, struct buf *b)
{
	static char memory[CHUNK_HEAD * 2];
	size_t len = rand_below(&w->r, rand_below(&w->r, 8) ? 600 : 20000);
	struct slice s;

	if (len > MODEL - w->to)
		return;
	if (rand_below(&w->r, 4) && len <= CHUNK_HEAD) {
		if (!w->chunk || w->chunk->size - w->chunk->used < len) {
			chunk_unref(w->chunk);
			w->chunk = chunk_new(&w->pool, CHUNK_HEAD);
			assert_non_null(w->chunk);
		}
		s = fill(w->chunk, len, (char)rand_next(&w->r));
	} else {
		memset(memory, (int)rand_below(&w->r, 256), len);
		s = slice_of((struct span){ memory, len });
	}
	bool fits = len <= b->max - b->len;
	assert_int_equal(buf_keep(b, s), fits);
	if (fits && len) {
		memcpy(w->model + w->to, s.at, len);
		w->to += len;
	}
	memset(memory, 0xdd, len < sizeof(memory) ? len : sizeof(memory));
}

static void check_world(const struct world *w)
{
	size_t at = w->from;

	for (int i = 0; i < 2; i++) {
		const struct buf *b = i ? &w->side : &w->b;
		size_t len = 0;
		for (const struct buf_piece *p = buf_first(b); p; p = p->next) {
			assert_true(p->slice.len > 0);
			assert_memory_equal(p->slice.at, w->model + at, p->slice.len);
			at += p->slice.len;
			len += p->slice.len;
		}
		assert_int_equal(len, b->len);
		assert_true(b->len <= b->max);
	}
	assert_int_equal(at, w->to);
}

static void random_world(void **state)
{
	(void)state;
	static struct world w;

	rand_seed(&w.r, 11);
	chunk_pool_init(&w.pool);
	buf_init(&w.b, &w.pool, 100000);
	buf_init(&w.side, &w.pool, 50000);
	for (int i = 0; i < 20000; i++) {
		switch (rand_below(&w.r, 6)) {
		case 0:
			chunk_unref(w.chunk);
			w.chunk = NULL;
			break;
		case 1: {
			size_t n = rand_below(&w.r, w.b.len + 1);
			buf_drop(&w.b, n);
			w.from += n;
			break;
		}
		case 2: {
			bool fits = w.side.len <= w.b.max - w.b.len;
			assert_int_equal(buf_move(&w.b, &w.side), fits);
			break;
		}
		case 3:
			keep_something(&w, &w.side);
			break;
		default:
			if (buf_empty(&w.side))
				keep_something(&w, &w.b);
		}
		if (w.to > MODEL / 2) {
			memmove(w.model, w.model + w.from, w.to - w.from);
			w.to -= w.from;
			w.from = 0;
		}
		check_world(&w);
	}
	chunk_unref(w.chunk);
	buf_fini(&w.b);
	buf_fini(&w.side);
	assert_int_equal(w.pool.bytes_out, 0);
	if (!SANITIZE_ADDRESS)
		assert_true(w.pool.pieces_kept > 0 && w.pool.small.kept > 0);
	chunk_pool_fini(&w.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_come_back),
		cmocka_unit_test(large_slices_are_kept_by_reference),
		cmocka_unit_test(few_bytes_are_copied_together),
		cmocka_unit_test(shared_chunks_are_not_appended_to),
		cmocka_unit_test(foreign_memory_is_copied),
		cmocka_unit_test(the_limit_refuses_all_or_nothing),
		cmocka_unit_test(random_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
