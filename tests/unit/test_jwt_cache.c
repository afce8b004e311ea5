/* test_jwt_cache.c - known tokens: found by all of their bytes, never more than there is room for, and none left behind. */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/policy/jwt_cache.h"
#include "unit.h"

static struct jwt *jwt_like(const char *token, uint64_t until_ms)
{
	struct jwt *jwt = calloc(1, sizeof(*jwt) + strlen(token));
	assert_non_null(jwt);
	memcpy(jwt->memory, token, strlen(token));
	jwt->token = (struct span){ jwt->memory, strlen(token) };
	jwt->refs = 1;
	jwt->until_ms = until_ms;
	return jwt;
}

static void put(struct jwt_cache *c, const char *token, uint64_t until_ms)
{
	struct jwt *jwt = jwt_like(token, until_ms);
	jwt_cache_put(c, jwt);
	jwt_unref(jwt);
}

static void test_found_by_all_of_it(void **state)
{
	struct jwt_cache c;
	(void)state;
	jwt_cache_init(&c, 100, 7);
	assert_null(jwt_cache_find(&c, SPAN("a.b.c")));
	put(&c, "a.b.c", 10);
	struct jwt *found = jwt_cache_find(&c, SPAN("a.b.c"));
	assert_non_null(found);
	assert_int_equal(found->refs, 1);
	assert_null(jwt_cache_find(&c, SPAN("a.b.d")));
	assert_null(jwt_cache_find(&c, SPAN("a.b.cc")));
	assert_null(jwt_cache_find(&c, SPAN("a.b.")));
	put(&c, "a.b.c", 20);                     /* again, with other keys, say */
	assert_int_equal(jwt_cache_find(&c, SPAN("a.b.c"))->until_ms, 20);
	jwt_cache_fini(&c);
}

/* One set of four: the one that ends first goes. */
static void test_who_makes_room(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct jwt_cache c;
	(void)state;
	jwt_cache_init(&c, 4, 7);
	for (unsigned i = 0; i < 4; i++)
		put(&c, names[i], 100 - 10 * i);
	struct jwt *held = jwt_cache_find(&c, SPAN("d"));
	held->refs++;                             /* a request is still using it */
	put(&c, "e", 50);
	assert_null(jwt_cache_find(&c, SPAN("d")));
	assert_non_null(jwt_cache_find(&c, SPAN("a")));
	assert_non_null(jwt_cache_find(&c, SPAN("e")));
	put(&c, "f", 1);
	assert_null(jwt_cache_find(&c, SPAN("e")));
	put(&c, "g", 60);
	assert_null(jwt_cache_find(&c, SPAN("f")));
	assert_span(held->token, "d");
	jwt_unref(held);
	jwt_cache_fini(&c);
}

static void test_never_more_than_there_is_room_for(void **state)
{
	struct jwt_cache c;
	unsigned known = 0;
	char name[32];
	(void)state;
	jwt_cache_init(&c, 64, 7);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "token %u", i);
		put(&c, name, 1000 + i);
		assert_non_null(jwt_cache_find(&c, span_of(name)));
	}
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "token %u", i);
		known += jwt_cache_find(&c, span_of(name)) != NULL;
	}
	assert_in_range(known, 60, 64);
	jwt_cache_fini(&c);
	jwt_cache_init(&c, 0, 7);
	put(&c, "a", 1);
	assert_null(jwt_cache_find(&c, SPAN("a")));
	jwt_cache_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found_by_all_of_it), cmocka_unit_test(test_who_makes_room), cmocka_unit_test(test_never_more_than_there_is_room_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
