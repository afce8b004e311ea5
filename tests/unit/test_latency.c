/* test_latency.c - what a percentile of recent latency rests on: enough samples, young ones, and what it costs to ask. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/policy/latency.h"

enum { S = 1000000, MS = 1000 };

static struct latency l;
static int begin(void **state)
{
	(void)state;
	l = (struct latency){ .since_us = 0 };
	return 0;
}

static void add(uint64_t now_us, unsigned times, uint64_t us)
{
	while (times--)
		latency_add(&l, now_us, us);
}

/* A histogram's answer is at most 6.25 % off. */
static void assert_about(uint64_t got_us, uint64_t us)
{
	assert_in_range(got_us, us - us / 15, us + us / 15);
}

static void nothing_is_known_below_a_hundred(void **state)
{
	(void)state;
	assert_int_equal(latency_quantile_us(&l, S, .95), 0);
	add(S, 99, 10 * MS);
	assert_int_equal(latency_quantile_us(&l, S, .95), 0);
	add(S, 1, 10 * MS);
	assert_about(latency_quantile_us(&l, S, .95), 10 * MS);
}

static void the_percentile_is_that_of_all_of_them(void **state)
{
	(void)state;
	add(S, 94, 10 * MS);
	add(S, 6, 500 * MS);
	assert_about(latency_quantile_us(&l, S, .5), 10 * MS);
	assert_about(latency_quantile_us(&l, S, .95), 500 * MS);
}

static void an_answer_is_kept_for_a_tenth_of_a_second(void **state)
{
	(void)state;
	add(S, 100, 10 * MS);
	assert_about(latency_quantile_us(&l, S, .5), 10 * MS);
	add(S, 1000, 20 * MS);
	assert_about(latency_quantile_us(&l, S + 99 * MS, .5), 10 * MS);
	assert_about(latency_quantile_us(&l, S + 99 * MS, .6), 20 * MS);    /* another question */
	assert_about(latency_quantile_us(&l, S + 200 * MS, .5), 20 * MS);
}

static void old_samples_are_forgotten(void **state)
{
	(void)state;
	add(1 * S, 200, 10 * MS);
	add(12 * S, 200, 50 * MS);                /* the first ones are the half before now */
	assert_int_equal(latency_samples(&l), 400);
	add(23 * S, 200, 50 * MS);
	assert_int_equal(latency_samples(&l), 400);
	assert_about(latency_quantile_us(&l, 23 * S, .1), 50 * MS);
}

static void a_trickle_is_kept_until_it_is_enough(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		add((1 + 2 * (uint64_t)i) * S, 1, 10 * MS);
	assert_about(latency_quantile_us(&l, 200 * S, .5), 10 * MS);
}

static void but_not_for_ever(void **state)
{
	(void)state;
	add(1 * S, 150, 10 * MS);
	assert_about(latency_quantile_us(&l, 302 * S, .5), 10 * MS);
	assert_int_equal(latency_quantile_us(&l, 603 * S, .5), 0);
	add(700 * S, 150, 10 * MS);
	assert_int_equal(latency_quantile_us(&l, 1400 * S, .5), 0);         /* nobody came meanwhile */
}

static void clocks_may_differ_a_little(void **state)
{
	(void)state;
	add(5 * S, 150, 10 * MS);
	add(5 * S - 300, 1, 10 * MS);
	assert_int_equal(latency_samples(&l), 151);
	assert_about(latency_quantile_us(&l, 5 * S - 500, .5), 10 * MS);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_known_below_a_hundred),
		TEST(the_percentile_is_that_of_all_of_them),
		TEST(an_answer_is_kept_for_a_tenth_of_a_second),
		TEST(old_samples_are_forgotten),
		TEST(a_trickle_is_kept_until_it_is_enough),
		TEST(but_not_for_ever),
		TEST(clocks_may_differ_a_little),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
