/* test_prom.c - the text format: heads, labels that need escaping, numbers, and histograms whose buckets add up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../src/app/prom.h"

static char memory[65536];

static struct text fresh(void)
{
	struct text t;
	text_over(&t, memory, sizeof(memory) - 1);
	return t;
}

static void expect(struct text *t, const char *want)
{
	t->at[t->len] = '\0';
	assert_string_equal(t->at, want);
}

static void test_lines(void **state)
{
	struct text t = fresh();
	(void)state;
	prom_family(&t, "x_total", "counter", "How many x.");
	prom_u64(&t, "x_total", NULL, 0, 7);
	const struct label labels[] = { { "a", SPAN("say \"hi\"\\\n") }, { "b", SPAN("é") } };
	prom_u64(&t, "x_total", labels, 2, UINT64_MAX);
	prom_seconds(&t, "x_seconds", labels + 1, 1, 1050);
	prom_seconds(&t, "x_seconds", NULL, 0, 61000001);
	expect(&t, "# HELP x_total How many x.\n# TYPE x_total counter\nx_total 7\n"
		"x_total{a=\"say \\\"hi\\\"\\\\\\n\",b=\"é\"} 18446744073709551615\nx_seconds{b=\"é\"} 0.001050\nx_seconds 61.000001\n");
}

static uint64_t value_after(const char *line)
{
	const char *at = strstr(memory, line);
	assert_non_null(at);
	return strtoull(at + strlen(line), NULL, 10);
}

static void test_histogram(void **state)
{
	struct hist h = { 0 };
	struct text t = fresh();
	const struct label route = { "route", SPAN("r") };
	(void)state;
	for (uint64_t us = 100; us <= 100000000; us *= 10)        /* 0.1 ms, 1 ms, ... 100 s: one each */
		hist_add(&h, us);
	prom_hist(&t, "d_seconds", &route, 1, &h);
	t.at[t.len] = '\0';
	assert_int_equal(value_after("d_seconds_bucket{route=\"r\",le=\"0.0025\"} "), 2);
	assert_int_equal(value_after("d_seconds_bucket{route=\"r\",le=\"0.25\"} "), 4);
	assert_int_equal(value_after("d_seconds_bucket{route=\"r\",le=\"60\"} "), 6);
	assert_int_equal(value_after("d_seconds_bucket{route=\"r\",le=\"+Inf\"} "), 7);
	assert_int_equal(value_after("d_seconds_count{route=\"r\"} "), 7);
	assert_int_equal(value_after("d_seconds_sum{route=\"r\"} "), 111);
}

/* Whatever falls in: never decreasing, never a value in a bucket below it, and the last one holds all. */
static void test_buckets_add_up(void **state)
{
	struct hist h = { 0 };
	struct text t = fresh();
	(void)state;
	for (uint64_t i = 0, x = 1; i < 10000; i++, x = x * 6364136223846793005u + 1442695040888963407u)
		hist_add(&h, x >> (20 + x % 40));
	prom_hist(&t, "d", NULL, 0, &h);
	t.at[t.len] = '\0';
	uint64_t last = 0;
	for (const char *at = memory; (at = strstr(at, "\"} ")); at += 3) {
		uint64_t n = strtoull(at + 3, NULL, 10);
		assert_true(n >= last);
		last = n;
	}
	assert_int_equal(last, 10000);
	assert_true(value_after("d_bucket{le=\"1\"} ") == hist_count_below(&h, 1000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_histogram), cmocka_unit_test(test_buckets_add_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
