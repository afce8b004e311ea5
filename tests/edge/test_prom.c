/* test_prom.c - the text format: heads, labels that need escaping, numbers, and histograms whose buckets add up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../src/app/prom.h"

static char memory[65536];

static struct text page;

static struct prom fresh(bool openmetrics)
{
	struct prom p;
	text_over(&page, memory, sizeof(memory) - 1);
	prom_begin(&p, &page, openmetrics, NULL, 0);
	return p;
}

static void close_page(void)
{
	assert_false(page.cut);
	page.at[page.len] = '\0';
}

static void expect(const char *want)
{
	close_page();
	assert_string_equal(page.at, want);
}

static void test_lines(void **state)
{
	struct prom t = fresh(false);
	(void)state;
	prom_family(&t, "x_total", "counter", "How many x.");
	prom_u64(&t, "x_total", NULL, 0, 7);
	const struct label labels[] = { { "a", SPAN("say \"hi\"\\\n") }, { "b", SPAN("é") } };
	prom_u64(&t, "x_total", labels, 2, UINT64_MAX);
	prom_seconds(&t, "x_seconds", labels + 1, 1, 1050);
	prom_seconds(&t, "x_seconds", NULL, 0, 61000001);
	expect("# HELP x_total How many x.\n# TYPE x_total counter\nx_total 7\n"
		"x_total{a=\"say \\\"hi\\\"\\\\\\n\",b=\"é\"} 18446744073709551615\nx_seconds{b=\"é\"} 0.001050\nx_seconds 61.000001\n");
}

static void test_reals(void **state)
{
	struct prom t = fresh(false);
	(void)state;
	prom_real(&t, "x", NULL, 0, 0);
	prom_real(&t, "x", NULL, 0, 1e9);
	prom_real(&t, "x", NULL, 0, 0.2);
	prom_real(&t, "x", NULL, 0, 0.0000004);
	prom_real(&t, "x", NULL, 0, 12.9999999);
	prom_real(&t, "x", NULL, 0, -0.5);
	prom_real(&t, "x", NULL, 0, 1e15);
	expect("x 0\nx 1000000000\nx 0.200000\nx 0.000000\nx 13.000000\nx -0.500000\nx 1000000000000000.000000\n");
}

/* A line is there as a whole, or the page is cut; nothing comes behind the cut. */
static void test_too_much(void **state)
{
	static char name[5000];
	const struct label longest = { "a", { name, 1000 } }, too_long = { "a", { name, sizeof(name) } };
	struct hist h = { 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = '"';
	struct prom p = fresh(false);
	prom_u64(&p, "x", &longest, 1, 7);
	assert_false(page.cut);
	assert_int_equal(page.len, strlen("x{a=\"\"} 7\n") + 2000);
	prom_u64(&p, "x", &too_long, 1, 7);
	prom_u64(&p, "x", &longest, 1, 7);
	assert_true(page.cut);
	assert_int_equal(page.len, strlen("x{a=\"\"} 7\n") + 2000);
	p = fresh(false);
	prom_hist(&p, "x", &too_long, 1, &h, NULL);
	assert_true(page.cut && page.len == 0);
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
	struct prom t = fresh(false);
	const struct label route = { "route", SPAN("r") };
	(void)state;
	for (uint64_t us = 100; us <= 100000000; us *= 10)        /* 0.1 ms, 1 ms, ... 100 s: one each */
		hist_add(&h, us);
	prom_hist(&t, "d_seconds", &route, 1, &h, NULL);
	close_page();
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
	struct prom t = fresh(false);
	(void)state;
	for (uint64_t i = 0, x = 1; i < 10000; i++, x = x * 6364136223846793005u + 1442695040888963407u)
		hist_add(&h, x >> (20 + x % 40));
	prom_hist(&t, "d", NULL, 0, &h, NULL);
	close_page();
	uint64_t last = 0;
	for (const char *at = memory; (at = strstr(at, "\"} ")); at += 3) {
		uint64_t n = strtoull(at + 3, NULL, 10);
		assert_true(n >= last);
		last = n;
	}
	assert_int_equal(last, 10000);
	assert_true(value_after("d_bucket{le=\"1\"} ") == hist_count_below(&h, 1000000));
}

/* ── OpenMetrics ── */

static void test_openmetrics(void **state)
{
	struct prom p = fresh(true);
	(void)state;
	prom_family(&p, "x_total", "counter", "How many x.");
	prom_u64(&p, "x_total", NULL, 0, 7);
	prom_family(&p, "y_ratio", "gauge", "Share of y.");
	prom_real(&p, "y_ratio", NULL, 0, 0.25);
	prom_real(&p, "y_ratio", NULL, 0, 3);
	prom_end(&p);
	expect("# HELP x How many x.\n# TYPE x counter\nx_total 7\n# HELP y_ratio Share of y.\n# TYPE y_ratio gauge\ny_ratio 0.250000\ny_ratio 3\n"
		"# EOF\n");
}

static void test_own_buckets(void **state)
{
	const uint64_t bounds[] = { 250, 1000000, 2500000 };
	struct hist h = { 0 };
	(void)state;
	for (int om = 0; om < 2; om++) {
		struct prom p = fresh(om);
		hist_add(&h, 100);
		hist_add(&h, 500000);
		prom_begin(&p, &page, om, bounds, 3);
		prom_hist(&p, "d", NULL, 0, &h, NULL);
		expect(om ? "d_bucket{le=\"0.00025\"} 2\nd_bucket{le=\"1.0\"} 4\nd_bucket{le=\"2.5\"} 4\nd_bucket{le=\"+Inf\"} 4\nd_sum 1.000200\nd_count 4\n"
			: "d_bucket{le=\"0.00025\"} 1\nd_bucket{le=\"1\"} 2\nd_bucket{le=\"2.5\"} 2\nd_bucket{le=\"+Inf\"} 2\nd_sum 0.500100\nd_count 2\n");
	}
}

#define ID_A "4bf92f3577b34da6a3ce929d0e0e4736"
#define ID_B "0af7651916cd43dd8448eb211c80319c"

static void test_examples(void **state)
{
	struct hist h = { 0 };
	struct exemplars e = { 0 };
	struct prom p = fresh(true);
	const struct label route = { "route", SPAN("r") };
	(void)state;
	hist_add(&h, 3000);
	hist_add(&h, 200000000);
	exemplars_note(&e, 3000, 1795216324123, ID_A, false);
	exemplars_note(&e, 200000000, 1795216324200, ID_B, true);
	prom_hist(&p, "d_seconds", &route, 1, &h, &e);
	close_page();
	assert_non_null(strstr(memory, "d_seconds_bucket{route=\"r\",le=\"0.0025\"} 0\n"));
	assert_non_null(strstr(memory, "le=\"0.005\"} 1 # {trace_id=\"" ID_A "\"} 0.003000 1795216324.123\n"));
	assert_non_null(strstr(memory, "le=\"0.01\"} 1\n"));
	assert_non_null(strstr(memory, "le=\"+Inf\"} 2 # {trace_id=\"" ID_B "\"} 200.000000 1795216324.200\n"));
	p = fresh(false);
	prom_hist(&p, "d_seconds", &route, 1, &h, &e);
	close_page();
	assert_null(strstr(memory, "trace_id"));
}

/* The fresh one wins after a second; a sampled one stays for a minute, unless another sampled one comes. */
static void test_which_example_stays(void **state)
{
	struct exemplars e = { 0 }, seen = { 0 };
	const uint64_t t0 = 1795216324000;
	(void)state;
	exemplars_note(&e, 3000, t0, ID_A, false);
	exemplars_note(&e, 3001, t0 + 999, ID_B, false);
	exemplars_merge(&seen, &e);
	unsigned slot = 0;
	while (slot < EXEMPLAR_SLOTS && !seen.at[slot].wall_ms)
		slot++;
	assert_int_equal(seen.at[slot].us, 3000);
	assert_memory_equal(seen.at[slot].trace_id, ID_A, TRACE_ID);
	exemplars_note(&e, 3001, t0 + 1000, ID_B, false);
	assert_int_equal(e.at[slot].us, 3001);
	exemplars_note(&e, 3002, t0 + 1001, ID_A, true);
	assert_int_equal(e.at[slot].us, 3002);
	exemplars_note(&e, 3003, t0 + 50000, ID_B, false);
	assert_int_equal(e.at[slot].us, 3002);
	exemplars_note(&e, 3004, t0 + 61002, ID_B, false);
	assert_int_equal(e.at[slot].us, 3004);
	exemplars_merge(&seen, &e);
	assert_int_equal(seen.at[slot].us, 3004);
	for (uint64_t us = 1; us < UINT64_MAX / 2; us *= 3)       /* whatever comes has a place */
		exemplars_note(&e, us, t0, ID_A, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_reals), cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_histogram), cmocka_unit_test(test_buckets_add_up),
		cmocka_unit_test(test_openmetrics), cmocka_unit_test(test_own_buckets), cmocka_unit_test(test_examples),
		cmocka_unit_test(test_which_example_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
