/* test_arena.c - pieces are aligned, do not overlap, stay until the end; blocks come back; the limit holds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/base/sanitize.h"
#include "base/arena.h"
#include "base/rand.h"

static void pieces_keep_what_was_written(void **state)
{
	(void)state;
	enum { N = 3000 };
	static struct { unsigned char *at; size_t len; } piece[N];
	struct arena_pool pool;
	struct arena a;
	struct rand r;
	size_t used = 0;

	rand_seed(&r, 3);
	arena_pool_init(&pool, 8);
	for (int round = 0; round < 3; round++) {
		arena_init(&a, &pool, SIZE_MAX);
		used = 0;
		for (int i = 0; i < N; i++) {
			size_t len = 1 + rand_below(&r, i % 50 ? 200 : 3 * ARENA_BLOCK);
			bool text = i % 3 == 0;
			piece[i].at = text ? (unsigned char *)arena_text(&a, len) : arena_take(&a, len);
			assert_non_null(piece[i].at);
			assert_true(text || (uintptr_t)piece[i].at % 16 == 0);
			piece[i].len = len;
			memset(piece[i].at, i & 0xff, len);
			used += len;
		}
		assert_int_equal(a.used, used);
		for (int i = 0; i < N; i++)
			for (size_t k = 0; k < piece[i].len; k++)
				assert_int_equal(piece[i].at[k], i & 0xff);
		arena_fini(&a);
		assert_true(pool.kept <= 8);
		assert_int_equal(pool.kept, SANITIZE_ADDRESS ? 0 : 8);
	}
	arena_pool_fini(&pool);
	assert_null(pool.free);
}

static void block_edges(void **state)
{
	(void)state;
	struct arena a;

	for (size_t size = ARENA_BLOCK - 64; size <= ARENA_BLOCK + 64; size++) {
		arena_init(&a, NULL, SIZE_MAX);
		char *first = arena_text(&a, size), *second = arena_text(&a, size);
		assert_non_null(first);
		assert_non_null(second);
		memset(first, 1, size);
		memset(second, 2, size);
		assert_int_equal(first[size - 1], 1);
		arena_fini(&a);
	}
}

static void a_big_piece_does_not_waste_the_block(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a, NULL, SIZE_MAX);
	char *before = arena_take(&a, 16);
	char *big = arena_take(&a, 10 * ARENA_BLOCK);
	char *after = arena_take(&a, 16);
	assert_non_null(before);
	assert_non_null(big);
	memset(big, 1, 10 * ARENA_BLOCK);
	if (!SANITIZE_ADDRESS)
		assert_ptr_equal(after, before + 16);
	assert_non_null(after);
	arena_fini(&a);
}

static void small_pieces_are_neighbours(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a, NULL, SIZE_MAX);
	char *one = arena_text(&a, 3), *two = arena_text(&a, 3);
	char *aligned = arena_take(&a, 1);
	assert_true(one && two && aligned);
	if (!SANITIZE_ADDRESS) {
		assert_ptr_equal(two, one + 3);
		assert_ptr_equal(aligned, one + 16);
	}
	arena_fini(&a);
}

static void the_limit_holds(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a, NULL, 100);
	assert_null(arena_take(&a, 101));
	assert_non_null(arena_take(&a, 60));
	assert_null(arena_take(&a, 41));
	assert_null(arena_take(&a, SIZE_MAX));
	assert_null(arena_copy(&a, (struct span){ "x", SIZE_MAX }).at);
	assert_non_null(arena_text(&a, 40));
	assert_null(arena_text(&a, 1));
	arena_fini(&a);
	assert_non_null(arena_text(&a, 100));                             /* usable again */
	arena_fini(&a);
	arena_init(&a, NULL, SIZE_MAX);
	assert_null(arena_take(&a, SIZE_MAX - 8));
	arena_fini(&a);
}

static void zeroed_and_empty(void **state)
{
	(void)state;
	struct arena_pool pool;
	struct arena a;

	arena_pool_init(&pool, 4);
	for (int round = 0; round < 2; round++) {                         /* the second time out of a used block */
		arena_init(&a, &pool, SIZE_MAX);
		char *zeroed = arena_take_zeroed(&a, 1000);
		assert_non_null(zeroed);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(zeroed[i], 0);
		memset(zeroed, 0xee, 1000);
		char *none = arena_take(&a, 0), *other = arena_take(&a, 0);
		assert_non_null(none);
		assert_ptr_not_equal(none, other);
		arena_fini(&a);
	}
	arena_pool_fini(&pool);
}

static void copies_end_with_nul(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a, NULL, SIZE_MAX);
	struct span copy = arena_copy(&a, (struct span){ "orders!", 6 });
	assert_int_equal(copy.len, 6);
	assert_string_equal(copy.at, "orders");
	copy = arena_copy(&a, SPAN_NONE);
	assert_int_equal(copy.len, 0);
	assert_string_equal(copy.at, "");
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_keep_what_was_written), cmocka_unit_test(block_edges),
		cmocka_unit_test(a_big_piece_does_not_waste_the_block), cmocka_unit_test(small_pieces_are_neighbours),
		cmocka_unit_test(the_limit_holds), cmocka_unit_test(zeroed_and_empty), cmocka_unit_test(copies_end_with_nul),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
