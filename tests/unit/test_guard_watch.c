/* test_guard_watch.c - the guard's arithmetic by itself: what leaves the window, and when a version is worse. */
#include "unit.h"

#include "../../src/policy/guard_watch.h"

enum { S = 1000000, W = 60 * S };
static const struct guard_limits limits = { W, 100, .02, 1.5 };

static void test_the_rule(void **state)
{
	(void)state;
	static const struct { struct watch_sum canary, compare; enum guard_cause says; } cases[] = {
		{ { 100, 0, 1000 },   { 1000, 0, 1000 },   GUARD_FINE },
		{ { 99, 99, 1000 },   { 1000, 0, 1000 },   GUARD_FINE },           /* too few of the one */
		{ { 1000, 999, 1000 }, { 99, 0, 1000 },    GUARD_FINE },           /* ... and of the other */
		{ { 100, 2, 1000 },   { 1000, 0, 1000 },   GUARD_FINE },           /* exactly the delta is none too many */
		{ { 100, 3, 1000 },   { 1000, 0, 1000 },   GUARD_errors },
		{ { 100, 53, 1000 },  { 1000, 500, 1000 }, GUARD_errors },
		{ { 100, 51, 1000 },  { 1000, 500, 1000 }, GUARD_FINE },
		{ { 100, 0, 1000 },   { 1000, 500, 1000 }, GUARD_FINE },           /* better is not worse */
		{ { 100, 0, 1500 },   { 1000, 0, 1000 },   GUARD_FINE },
		{ { 100, 0, 1501 },   { 1000, 0, 1000 },   GUARD_latency },
		{ { 100, 0, 1501 },   { 1000, 0, 0 },      GUARD_FINE },           /* nothing to compare with */
		{ { 100, 3, 1501 },   { 1000, 0, 1000 },   GUARD_errors },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(guard_judge(&limits, &cases[i].canary, &cases[i].compare), cases[i].says);
	struct guard_limits errors_only = limits;
	errors_only.max_p95_ratio = 0;
	assert_int_equal(guard_judge(&errors_only, &cases[9].canary, &cases[9].compare), GUARD_FINE);
}

static void test_the_window(void **state)
{
	(void)state;
	static struct watch w;
	for (unsigned i = 0; i < 100; i++)
		watch_add(&w, W, 1 * S, i < 10, i < 94 ? 1000 : 50000);
	watch_add(&w, W, 2 * S, true, UINT64_MAX);               /* without a latency */
	struct watch_sum s = watch_sum(&w, W, 3 * S);
	assert_int_equal(s.calls, 101);
	assert_int_equal(s.failures, 11);
	assert_in_range(s.p95_us, 46000, 54000);
	for (unsigned i = 0; i < 100; i++)
		watch_add(&w, W, 40 * S, false, 2000);
	s = watch_sum(&w, W, 50 * S);
	assert_int_equal(s.calls, 201);
	assert_in_range(s.p95_us, 1900, 2100);
	s = watch_sum(&w, W, 70 * S);                            /* the first ones are over */
	assert_int_equal(s.calls, 100);
	assert_int_equal(s.failures, 0);
	s = watch_sum(&w, W, 500 * S);
	assert_int_equal(s.calls, 0);
	assert_int_equal(s.p95_us, 0);
	watch_add(&w, W, 500 * S, false, 7);                     /* into a tenth that was used before */
	s = watch_sum(&w, W, 500 * S);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.p95_us, 7);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(guard_cause_name(GUARD_FINE), "");
	assert_string_equal(guard_cause_name(GUARD_errors), "errors");
	assert_string_equal(guard_cause_name(GUARD_latency), "latency");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_rule), cmocka_unit_test(test_the_window), cmocka_unit_test(test_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
