/* test_pressure.c - how far beyond a limit, who is turned away, how it rises and ends. Pure arithmetic. */
#include "unit.h"

#include "core/pressure.h"

enum { MS = 1000, DEFAULT = 1, SHEDDABLE = 2 };
enum { MOST = 1 + PRESSURE_CLASSES * PRESSURE_CLASS };

static struct pressure p;

static enum pressure_news feed_delay(double ms)
{
	struct pressure_part part = pressure_of_delay(PRESSURE_loop_lag, ms * MS, 20 * MS);
	return pressure_feed(&p, &part, 1);
}
static enum pressure_news feed_share(double used)
{
	struct pressure_part part = pressure_of_share(PRESSURE_memory, used, .9);
	return pressure_feed(&p, &part, 1);
}
static bool is_near(double a, double b) { return a > b - .002 && a < b + .002; }

static void test_depth_of_delays(void **state)
{
	static const struct { double ms, depth; } cases[] = { { 4, -1 }, { 20, 0 }, { 100, 1 }, { 500, 2 }, { 2500, 3 } };
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_true(is_near(pressure_of_delay(PRESSURE_loop_lag, cases[i].ms * MS, 20 * MS).depth, cases[i].depth));
	assert_true(pressure_of_delay(PRESSURE_loop_lag, 15.9 * MS, 20 * MS).calm);
	assert_false(pressure_of_delay(PRESSURE_loop_lag, 16.1 * MS, 20 * MS).calm);
}

static void test_a_wait_is_no_reason_to_turn_away_who_is_served_first(void **state)
{
	(void)state;
	assert_true(is_near(pressure_of_wait(2, 60e6, 20 * MS).depth, 1));       /* sheddable ones that starve: no more of them */
	assert_true(is_near(pressure_of_wait(1, 60e6, 20 * MS).depth, 2));
	assert_true(is_near(pressure_of_wait(0, 60e6, 20 * MS).depth, 3));
	assert_true(is_near(pressure_of_wait(2, 20 * MS, 20 * MS).depth, 0));
	assert_true(pressure_of_wait(2, 60e6, 20 * MS).ratio > 100);
}

static void test_depth_of_shares(void **state)
{
	static const struct { double used, depth; } cases[] = { { .9, 0 }, { .9333333, 1 }, { .9666667, 2 }, { 1, 3 }, { .45, -.5 } };
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_true(is_near(pressure_of_share(PRESSURE_memory, cases[i].used, .9).depth, cases[i].depth));
	assert_true(pressure_of_share(PRESSURE_memory, 1, 1).depth >= PRESSURE_CLASSES);       /* a limit of 100%: all at once */
	assert_true(pressure_of_share(PRESSURE_memory, .99, 1).depth < 0);
}

static void test_a_limit_of_zero_does_not_count(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	const struct pressure_part parts[] = { pressure_of_delay(PRESSURE_loop_lag, 1e9, 0), pressure_of_share(PRESSURE_memory, 1, 0) };
	assert_int_equal(pressure_feed(&p, parts, 2), PRESSURE_SAME);
	assert_int_equal(p.level, 0);
	assert_true(parts[0].calm && parts[1].calm);
}

static void test_who_is_turned_away(void **state)
{
	static const struct { unsigned level, critical, normal, sheddable, classes; } cases[] = {
		{ 0, 0, 0, 0, 0 }, { 1, 0, 0, 0, 0 }, { 2, 0, 0, 1, 1 }, { 501, 0, 0, 500, 1 }, { 1001, 0, 0, 1000, 1 }, { 1002, 0, 1, 1000, 2 },
		{ 1501, 0, 500, 1000, 2 }, { 2001, 0, 1000, 1000, 2 }, { 2251, 250, 1000, 1000, 3 }, { MOST, 1000, 1000, 1000, 3 },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(pressure_share(cases[i].level, 0), cases[i].critical);
		assert_int_equal(pressure_share(cases[i].level, DEFAULT), cases[i].normal);
		assert_int_equal(pressure_share(cases[i].level, SHEDDABLE), cases[i].sheddable);
		assert_int_equal(pressure_classes(cases[i].level), cases[i].classes);
	}
}

static void test_it_rises_at_once_and_falls_slowly(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	assert_int_equal(feed_delay(19.9), PRESSURE_SAME);
	assert_int_equal(p.level, 0);
	assert_int_equal(feed_delay(100), PRESSURE_ROSE);
	assert_true(p.level >= 1000 && p.level <= 1002);
	unsigned before = p.level;
	for (unsigned i = 1; i < 10; i++) {
		assert_int_equal(feed_delay(0), PRESSURE_SAME);
		assert_int_equal(p.level, before - i * PRESSURE_FALL);
	}
	while (feed_delay(0) != PRESSURE_OVER)
		assert_true(p.level > 0);
	assert_int_equal(p.level, 0);
}

static void test_it_ends_below_the_limit_not_at_it(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	assert_int_equal(feed_delay(20), PRESSURE_ROSE);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(feed_delay(17), PRESSURE_SAME);
	assert_int_equal(p.level, 1);                     /* nobody is turned away, but nothing is retried either */
	assert_int_equal(feed_delay(15), PRESSURE_OVER);
	assert_int_equal(feed_delay(17), PRESSURE_SAME);  /* between the two it does not begin again */
	assert_int_equal(p.level, 0);
	assert_int_equal(feed_share(.9), PRESSURE_ROSE);
	assert_int_equal(feed_share(.86), PRESSURE_SAME); /* what is finite comes back slowly: it ends at 95 % of the limit */
	assert_int_equal(feed_share(.85), PRESSURE_OVER);
}

static void test_news_are_told_once(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	assert_int_equal(feed_delay(21), PRESSURE_ROSE);
	assert_int_equal(p.most, 1);
	assert_int_equal(feed_delay(30), PRESSURE_SAME);
	assert_int_equal(feed_delay(120), PRESSURE_ROSE);         /* default ones */
	for (unsigned i = 0; i < 30; i++)                         /* to and fro about the line between two classes: no news */
		assert_int_equal(feed_delay(i % 2 ? 90 : 110), PRESSURE_SAME);
	assert_int_equal(feed_delay(600), PRESSURE_ROSE);
	assert_int_equal(feed_delay(1e9), PRESSURE_SAME);
	assert_int_equal(p.level, MOST);
	assert_int_equal(p.most, 3);
}

static void test_the_worst_counts(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	struct pressure_part parts[] = { pressure_of_delay(PRESSURE_loop_lag, 40 * MS, 20 * MS), pressure_of_share(PRESSURE_memory, .95, .9) };
	assert_int_equal(pressure_feed(&p, parts, 2), PRESSURE_ROSE);
	assert_int_equal(p.cause, PRESSURE_memory);       /* half of what was left is gone, though 40 ms is twice the limit */
	assert_true(is_near(p.ratio, .95 / .9));
	parts[0] = pressure_of_delay(PRESSURE_loop_lag, 400 * MS, 20 * MS);
	pressure_feed(&p, parts, 2);
	assert_int_equal(p.cause, PRESSURE_loop_lag);
	parts[0] = pressure_of_delay(PRESSURE_loop_lag, 0, 20 * MS);
	for (unsigned i = 0; i < 100; i++)
		assert_int_not_equal(pressure_feed(&p, parts, 2), PRESSURE_OVER);      /* one that is calm does not end it */
	pressure_relieve(&p);
	assert_int_equal(p.level, 0);
}

static void test_smoothing(void **state)
{
	(void)state;
	p = (struct pressure){ 0 };
	assert_true(is_near(pressure_smooth(p.delay_us, 100, 0), 25));
	for (unsigned i = 0; i < 40; i++)
		pressure_smooth(p.delay_us, 100, 0);
	assert_true(is_near(p.delay_us[0], 100));
}

static void test_one_measurement_is_not_believed_whole(void **state)
{
	unsigned samples = 0;
	(void)state;
	p = (struct pressure){ 0 };
	assert_true(is_near(pressure_smooth(p.delay_us, 60e6, 20 * MS), 25 * MS));        /* a machine that has slept for a minute */
	assert_true(pressure_smooth(p.delay_us, 0, 20 * MS) < 20 * MS);
	p = (struct pressure){ 0 };
	while (pressure_smooth(p.delay_us, 2e6, 20 * MS) < 5e5)           /* but two seconds again and again are believed soon */
		samples++;
	assert_true(samples < 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depth_of_delays), cmocka_unit_test(test_a_wait_is_no_reason_to_turn_away_who_is_served_first),
		cmocka_unit_test(test_depth_of_shares), cmocka_unit_test(test_a_limit_of_zero_does_not_count),
		cmocka_unit_test(test_who_is_turned_away), cmocka_unit_test(test_it_rises_at_once_and_falls_slowly),
		cmocka_unit_test(test_it_ends_below_the_limit_not_at_it), cmocka_unit_test(test_news_are_told_once),
		cmocka_unit_test(test_the_worst_counts), cmocka_unit_test(test_smoothing),
		cmocka_unit_test(test_one_measurement_is_not_believed_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
