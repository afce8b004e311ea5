/* test_hist.c - the mapping has no gaps, the error is bounded, quantiles and counts say what was added. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/hist.h"
#include "base/rand.h"

static void buckets_follow_one_another(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t top_us = hist_bucket_top_us(i);
		assert_int_equal(hist_bucket(top_us), i);
		if (i + 1 < HIST_BUCKETS) {
			assert_true(hist_bucket_top_us(i + 1) > top_us);
			assert_int_equal(hist_bucket(top_us + 1), i + 1);             /* no gap, no overlap */
		}
	}
	for (unsigned us = 0; us < 16; us++)
		assert_true(hist_bucket_top_us(hist_bucket(us)) == us);           /* exact up to 15 us */
	assert_int_equal(hist_bucket(16), 16);
	assert_int_equal(hist_bucket(17), 16);
	assert_int_equal(hist_bucket(32), 24);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
	assert_true(hist_bucket((1ull << 42) - 1) == HIST_BUCKETS - 1);
	assert_true(hist_bucket_top_us(HIST_BUCKETS - 2) > 1000000ull * 3600 * 24 * 40);     /* 40 days are told apart */
}

/* A histogram of one value answers with the middle of its bucket: at most 6.25 % off. */
static void the_error_is_bounded(void **state)
{
	(void)state;
	struct rand r;

	rand_seed(&r, 8);
	for (int i = 0; i < 3000; i++) {
		struct hist h = { 0 };
		uint64_t us = rand_next(&r) >> (23 + rand_below(&r, 41));
		hist_add(&h, us);
		uint64_t got_us = hist_quantile_us(&h, 0.5), off_us = got_us > us ? got_us - us : us - got_us;
		assert_true((double)off_us <= 0.0625 * (double)us);
		assert_int_equal(h.count, 1);
		assert_true(h.sum_us == us);
	}
}

static void quantiles_and_counts(void **state)
{
	(void)state;
	static struct hist h, sum;

	assert_int_equal(hist_quantile_us(&h, 0.5), 0);
	for (uint64_t ms = 1; ms <= 1000; ms++)
		hist_add(&h, ms * 1000);
	for (int percent = 1; percent < 100; percent++) {
		double got_us = (double)hist_quantile_us(&h, percent / 100.0), want_us = percent * 10000.0;
		assert_true(got_us > want_us * 0.93 && got_us < want_us * 1.07);
	}
	assert_int_equal(hist_count_below(&h, 0), 0);
	assert_int_equal(hist_count_below(&h, UINT64_MAX), 1000);
	for (uint64_t us = 0; us < 1100000; us += 777) {
		uint64_t n = hist_count_below(&h, us), exact = us / 1000 < 1000 ? us / 1000 : 1000;
		assert_true(n <= exact);                                          /* never one that is above */
		assert_true((double)n >= (double)exact * 0.875 - 1);
	}
	uint64_t top_us = hist_bucket_top_us(hist_bucket(500000));
	assert_int_equal(hist_count_below(&h, top_us), top_us / 1000);        /* exact at a bucket's top */
	hist_merge(&sum, &h);
	hist_merge(&sum, &h);
	assert_int_equal(sum.count, 2000);
	assert_true(sum.sum_us == 2 * h.sum_us);
	assert_int_equal(hist_count_below(&sum, UINT64_MAX), 2000);
	assert_true(hist_quantile_us(&sum, 0.9) == hist_quantile_us(&h, 0.9));
}

static void extremes_do_not_break_it(void **state)
{
	(void)state;
	struct hist h = { 0 };

	hist_add(&h, 0);
	assert_int_equal(hist_quantile_us(&h, 0.999), 0);
	assert_int_equal(hist_count_below(&h, 0), 1);
	hist_add(&h, UINT64_MAX);
	assert_int_equal(hist_quantile_us(&h, 0.5), 0);
	assert_true(hist_quantile_us(&h, 0.999) >= 1ull << 41);
	assert_int_equal(hist_count_below(&h, UINT64_MAX - 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_one_another), cmocka_unit_test(the_error_is_bounded),
		cmocka_unit_test(quantiles_and_counts), cmocka_unit_test(extremes_do_not_break_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
