/* test_nomem.c - when memory runs out: the answer says so, nothing is half done, nothing leaks, and it works again later.
 *
 * The files under test are compiled in here a second time with an allocator that fails on demand (the linker then leaves
 * the library's copies out).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

static unsigned good_for = UINT32_MAX;                                /* so many allocations succeed */
static long living;

static void *count_new(void *at) { living += at != NULL; return at; }
static void *scarce_malloc(size_t n) { return good_for ? good_for--, count_new(malloc(n)) : NULL; }
static void *scarce_calloc(size_t n, size_t size) { return good_for ? good_for--, count_new(calloc(n, size)) : NULL; }
static void *scarce_realloc(void *at, size_t n)
{
	if (!good_for)
		return NULL;
	good_for--;
	living += at == NULL;
	return realloc(at, n);
}
static void scarce_free(void *at) { living -= at != NULL; free(at); }

#define malloc scarce_malloc
#define calloc scarce_calloc
#define realloc scarce_realloc
#define free scarce_free
#include "../../src/base/arena.c"
#include "../../src/base/buf.c"
#include "../../src/base/map.c"
#include "../../src/base/text.c"
#undef malloc
#undef calloc
#undef realloc
#undef free

static int begin(void **state)
{
	(void)state;
	good_for = UINT32_MAX;
	living = 0;
	return 0;
}

static void arena_without_memory(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a, NULL, 1 << 20);
	good_for = 0;
	assert_null(arena_take(&a, 10));
	assert_null(arena_take_zeroed(&a, 10));
	assert_null(arena_text(&a, 2 * ARENA_BLOCK));
	assert_null(arena_copy(&a, SPAN("x")).at);
	assert_int_equal(a.used, 0);
	good_for = UINT32_MAX;
	assert_non_null(arena_take(&a, 10));
	arena_fini(&a);
	assert_int_equal(living, 0);
}

static void buf_without_memory(void **state)
{
	(void)state;
	static const char memory[3 * CHUNK_HEAD];
	struct chunk_pool pool;
	struct buf b;
	unsigned failed = 0;

	for (unsigned n = 0; n < 8; n++) {
		chunk_pool_init(&pool);
		buf_init(&b, &pool, SIZE_MAX);
		assert_true(buf_keep(&b, slice_of(SPAN("before"))));
		good_for = n;                                                     /* three chunks and three pieces are wanted */
		bool kept = buf_keep(&b, slice_of((struct span){ memory, sizeof(memory) }));
		good_for = 0;
		struct chunk *none = chunk_new(&pool, CHUNK_BODY);
		good_for = UINT32_MAX;
		assert_null(none);
		assert_int_equal(kept, n >= 6);
		failed += !kept;
		assert_int_equal(b.len, kept ? 6 + sizeof(memory) : 6);
		assert_int_equal(pool.bytes_out, CHUNK_SMALL + (kept ? 3 * CHUNK_HEAD : 0));
		assert_true(buf_keep(&b, slice_of(SPAN("after"))));
		buf_fini(&b);
		chunk_pool_fini(&pool);
		assert_int_equal(living, 0);
	}
	assert_int_equal(failed, 6);
}

static void buf_reference_without_memory(void **state)
{
	(void)state;
	struct chunk_pool pool;
	struct buf b;

	chunk_pool_init(&pool);
	buf_init(&b, &pool, SIZE_MAX);
	struct chunk *c = chunk_new(&pool, CHUNK_HEAD);
	assert_non_null(c);
	c->used = 5000;
	good_for = 0;
	assert_false(buf_keep(&b, slice_in(c, (struct span){ c->data, 5000 })));
	assert_int_equal(c->refs, 1);
	assert_true(buf_empty(&b) && !buf_first(&b));
	good_for = UINT32_MAX;
	chunk_unref(c);
	chunk_pool_fini(&pool);
	assert_int_equal(living, 0);
}

static void map_without_memory(void **state)
{
	(void)state;
	enum { N = 100 };
	static struct map_entry entry[N];
	static char key[N][16];
	struct map m;

	map_init(&m, N, 1);
	good_for = 0;
	assert_false(map_add(&m, &entry[0], SPAN("0")));
	assert_null(map_find(&m, SPAN("0")));
	good_for = 1;                                                         /* the first table, and never a larger one */
	for (int i = 0; i < N; i++) {
		snprintf(key[i], sizeof(key[i]), "%d", i);
		assert_true(map_add(&m, &entry[i], span_of(key[i])));
	}
	assert_int_equal(m.size, FIRST_BUCKETS);
	for (int i = 0; i < N; i++)
		assert_ptr_equal(map_find(&m, span_of(key[i])), &entry[i]);
	map_fini(&m);
	assert_int_equal(living, 0);
}

static void text_without_memory(void **state)
{
	(void)state;
	struct text t;

	text_init(&t, 10000);
	good_for = 1;
	text_f(&t, "%0300d", 1);                                              /* grown once, and full for now */
	assert_int_equal(t.len, 300);
	text_f(&t, "%0600d", 1);                                              /* neither more room nor a copy */
	assert_true(t.cut);
	assert_int_equal(t.len, 300);
	text_fini(&t);
	text_init(&t, 10);
	good_for = 0;
	text_char(&t, 'x');
	assert_true(t.cut);
	assert_int_equal(t.len, 0);
	text_fini(&t);
	text_init(&t, 10);
	text_add(&t, SPAN("x"));
	assert_true(t.cut && t.len == 0);
	text_fini(&t);
	good_for = UINT32_MAX;
	assert_int_equal(living, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(arena_without_memory, begin), cmocka_unit_test_setup(buf_without_memory, begin),
		cmocka_unit_test_setup(buf_reference_without_memory, begin), cmocka_unit_test_setup(map_without_memory, begin),
		cmocka_unit_test_setup(text_without_memory, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
