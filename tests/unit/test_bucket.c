/* test_bucket.c - one key's allowance, and the table of many, with made-up times. */
#include "unit.h"

#include <stdlib.h>

#include "../../src/policy/bucket_table.h"

enum { S = 1000000, MS = 1000 };

static bool take(struct bucket *b, const struct bucket_conf *c, uint64_t now)
{
	struct bucket_answer a = bucket_look(b, c, now);
	if (a.allowed)
		bucket_charge(b, c, now);
	return a.allowed;
}

static void test_gcra_burst_then_evenly(void **state)
{
	struct bucket_conf c = { BUCKET_GCRA, 10, S, 5 };         /* one each 100 ms, 5 at once */
	struct bucket b = { 0, 0 };
	struct bucket_answer a;
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		a = bucket_look(&b, &c, 7 * S);
		assert_true(a.allowed);
		assert_int_equal(a.remaining, 4 - i);
		bucket_charge(&b, &c, 7 * S);
	}
	a = bucket_look(&b, &c, 7 * S);
	assert_false(a.allowed);
	assert_int_equal(a.wait_us, 100 * MS);
	assert_int_equal(a.reset_us, 500 * MS);
	assert_false(take(&b, &c, 7 * S + 99 * MS));
	assert_true(take(&b, &c, 7 * S + 100 * MS));
	assert_false(take(&b, &c, 7 * S + 150 * MS));
	assert_false(bucket_is_idle(&b, &c, 7 * S + 599 * MS));
	assert_true(bucket_is_idle(&b, &c, 7 * S + 600 * MS));
}

static void test_gcra_rate_over_time(void **state)
{
	static const struct { uint64_t count, per_us; } rates[] = { { 1, S }, { 7, S }, { 100, S }, { 1000000, S }, { 3, 60ull * S }, { 1, 3600ull * S } };
	(void)state;
	for (unsigned r = 0; r < sizeof(rates) / sizeof(*rates); r++) {
		struct bucket_conf c = { BUCKET_GCRA, rates[r].count, rates[r].per_us, 1 };
		struct bucket b = { 0, 0 };
		uint64_t passed = 0, step = c.per_us / c.count / 3 + 1, now = 5 * S, tries = 3000;
		for (uint64_t i = 0; i < tries; i++, now += step)
			passed += take(&b, &c, now);
		uint64_t due = tries * step * c.count / c.per_us;
		assert_in_range(passed, due * 95 / 100 - 1, due + 1);
	}
}

static void test_a_wait_that_is_told_is_true(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 2; kind++) {
		struct bucket_conf c = { (enum algorithm_of_bucket)kind, 7, S, 3 };
		struct bucket b = { 0, 0 };
		uint64_t now = 12345678;
		for (unsigned i = 0; i < 500; i++) {
			struct bucket_answer a = bucket_look(&b, &c, now);
			if (!a.allowed) {
				assert_true(a.wait_us > 0 && a.wait_us <= 2 * S);
				now += a.wait_us;
				a = bucket_look(&b, &c, now);
				assert_true(a.allowed);
			}
			bucket_charge(&b, &c, now);
			now += i * 37 % 50000;
		}
	}
}

static void test_sliding_window(void **state)
{
	struct bucket_conf c = { BUCKET_SLIDING_WINDOW, 10, S, 0 };
	struct bucket b = { 0, 0 };
	unsigned passed = 0;
	(void)state;
	for (unsigned i = 0; i < 20; i++)
		passed += take(&b, &c, 5 * S + 900 * MS);
	assert_int_equal(passed, 10);
	assert_false(take(&b, &c, 6 * S));                        /* all ten still count */
	for (passed = 0; take(&b, &c, 6 * S + 500 * MS); )
		passed++;
	assert_int_equal(passed, 5);                              /* half of them slid out */
	assert_true(bucket_is_idle(&b, &c, 8 * S));
}

static void test_the_clock_of_a_table(void **state)
{
	struct bucket_conf c = { BUCKET_GCRA, 1, S, 1 };
	struct bucket_table t;
	(void)state;
	bucket_table_init(&t, calloc(1, bucket_table_bytes(100)), 100);
	/* an attacker with ten thousand keys: those who were charged keep their charge, the flood shares one allowance */
	for (uint64_t k = 1; k <= 50; k++)
		assert_true(take(bucket_table_find(&t, (struct bucket_key){ k, k * 0x9e3779b97f4a7c15u }, &c, S), &c, S));
	unsigned passed = 0;
	for (uint64_t k = 1000; k < 11000; k++)
		passed += take(bucket_table_find(&t, (struct bucket_key){ k, k * 0x9e3779b97f4a7c15u }, &c, S), &c, S);
	assert_in_range(passed, 20, 51);
	assert_true(t.rows->used <= 100 && t.overflowed > 9000);
	for (uint64_t k = 1; k <= 50; k++)
		assert_false(take(bucket_table_find(&t, (struct bucket_key){ k, k * 0x9e3779b97f4a7c15u }, &c, S), &c, S));
	/* later they are idle, and make room */
	passed = 0;
	for (uint64_t k = 20000; k < 20050; k++)
		passed += take(bucket_table_find(&t, (struct bucket_key){ k, k * 0x9e3779b97f4a7c15u }, &c, 10 * S), &c, 10 * S);
	assert_in_range(passed, 40, 50);
	free(t.rows);
}

static void test_a_table_goes_on(void **state)
{
	struct bucket_conf c = { BUCKET_GCRA, 1, S, 1 };
	const struct bucket_key key = { 1, 2 }, other = { 3, 4 };
	struct bucket_table t, successor;
	void *memory = calloc(1, bucket_table_bytes(100));
	(void)state;
	bucket_table_init(&t, memory, 100);
	assert_true(take(bucket_table_find(&t, key, &c, S), &c, S));
	bucket_table_init(&successor, memory, 100);
	assert_false(take(bucket_table_find(&successor, key, &c, S), &c, S));
	assert_true(take(bucket_table_find(&successor, other, &c, S), &c, S));
	assert_int_equal(successor.rows->used, 2);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gcra_burst_then_evenly), cmocka_unit_test(test_gcra_rate_over_time), cmocka_unit_test(test_a_wait_that_is_told_is_true),
		cmocka_unit_test(test_sliding_window), cmocka_unit_test(test_the_clock_of_a_table), cmocka_unit_test(test_a_table_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
