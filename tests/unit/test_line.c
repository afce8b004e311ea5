/* test_line.c - who is next, who is shed; and the limit that finds itself. All with made-up times. */
#include "unit.h"

#include "../../src/policy/adaptive.h"
#include "../../src/policy/line.h"

enum { MS = 1000 };
static struct line line;
static struct waiter w[64];

static void join(unsigned i, unsigned class, uint64_t at)
{
	w[i].class = (unsigned char)class;
	link_init(&w[i].link);
	line_join(&line, &w[i], at);
}
static unsigned next(uint64_t now)
{
	struct waiter *n = line_next(&line, now);
	return n ? (unsigned)(n - w) : 99;
}

static void test_fifo_and_lifo(void **state)
{
	(void)state;
	for (int lifo = 0; lifo < 2; lifo++) {
		line_init(&line, lifo ? LINE_LIFO : LINE_FIFO);
		for (unsigned i = 0; i < 4; i++)
			join(i, 1, i * MS);
		line_leave(&line, &w[1]);
		assert_int_equal(next(9 * MS), lifo ? 3 : 0);
		assert_int_equal(next(9 * MS), 2);
		assert_int_equal(next(9 * MS), lifo ? 0 : 3);
		assert_int_equal(next(9 * MS), 99);
		assert_int_equal(line.count, 0);
	}
}

static void test_adaptive_turns_round_when_it_stands(void **state)
{
	(void)state;
	line_init(&line, LINE_ADAPTIVE_LIFO);
	for (unsigned i = 0; i < 4; i++)
		join(i, 1, i * MS);
	assert_int_equal(next(50 * MS), 0);
	assert_int_equal(next(99 * MS), 1);
	assert_int_equal(next(100 * MS), 3);              /* not empty for 100 ms */
	assert_int_equal(next(100 * MS), 2);
	join(4, 1, 200 * MS);                             /* it was: all is forgotten */
	join(5, 1, 201 * MS);
	assert_int_equal(next(202 * MS), 4);
}

static void test_classes_and_the_starvation_guard(void **state)
{
	unsigned served = 0;
	(void)state;
	line_init(&line, LINE_FIFO);
	join(0, 2, 0);                                    /* sheddable, and first to come */
	for (unsigned i = 1; i < 40; i++)
		join(i, 0, i);
	while (next(MS) != 0)
		served++;
	assert_int_equal(served, LINE_FAIR_EVERY - 1);    /* the 16th grant is its own */
}

static void test_codel(void **state)
{
	struct codel c = { 0 };
	unsigned drops = 0;
	(void)state;
	for (uint64_t t = 0; t < 100 * MS; t += MS)       /* an interval's patience */
		assert_false(codel_drops(&c, t + 1, 6 * MS));
	for (uint64_t t = 101 * MS; t < 600 * MS; t += MS)
		drops += codel_drops(&c, t, 6 * MS);
	assert_in_range(drops, 8, 14);                    /* the sum of interval / sqrt(n) */
	assert_false(codel_drops(&c, 601 * MS, 4 * MS));  /* it moves again */
	assert_false(codel_drops(&c, 602 * MS, 6 * MS));
}

static void test_what_is_shed_is_the_least_important(void **state)
{
	struct waiter *shed = NULL;
	(void)state;
	line_init(&line, LINE_ADAPTIVE_LIFO);
	join(0, 0, 0);
	join(1, 2, 10 * MS);
	join(2, 1, 20 * MS);
	for (uint64_t t = 20 * MS; !shed; t += 10 * MS)
		shed = line_shed(&line, t);
	assert_ptr_equal(shed, &w[1]);
	line_init(&line, LINE_FIFO);
	join(0, 0, 0);
	assert_null(line_shed(&line, 1000 * MS));
}

/* ── adaptive ── */

/* An upstream that serves `capacity` at a time in 10 ms each; more wait inside it. Runs with as many in flight as the limit lets. */
static uint64_t run(struct adaptive *a, unsigned capacity, unsigned seconds, uint64_t demand)
{
	static uint64_t now = 1000000;
	for (unsigned s = 0; s < seconds * 100; s++) {
		uint64_t in_flight = adaptive_limit(a) < demand ? adaptive_limit(a) : demand;
		uint64_t took = in_flight <= capacity ? 10 * MS : 10 * MS * in_flight / capacity;
		uint64_t done = in_flight < capacity ? in_flight : capacity;
		now += 10 * MS;
		for (unsigned i = 0; i < done; i++)
			adaptive_sample(a, now, took, in_flight);
	}
	return adaptive_limit(a);
}

static void test_it_finds_the_capacity(void **state)
{
	(void)state;
	struct adaptive a;
	adaptive_init(&a, &(struct adaptive_conf){ ADAPT_VEGAS, 20, 2, 1000 }, 1000000);
	assert_in_range(run(&a, 50, 600, 10000), 35, 110);
	assert_in_range(run(&a, 10, 120, 10000), 5, 60);  /* the upstream has lost most of it */
	assert_in_range(run(&a, 50, 300, 10000), 35, 110);
	adaptive_init(&a, &(struct adaptive_conf){ ADAPT_GRADIENT2, 20, 2, 1000 }, 1000000);
	assert_in_range(run(&a, 50, 60, 10000), 40, 400); /* it tolerates half as much latency again, and so goes further */
}

static void test_it_does_not_grow_for_nothing(void **state)
{
	struct adaptive a;
	(void)state;
	adaptive_init(&a, &(struct adaptive_conf){ ADAPT_AIMD, 20, 2, 1000 }, 1000000);
	assert_int_equal(run(&a, 1000, 60, 5), 20);
	assert_true(run(&a, 1000, 60, 1000) > 60);
}

static void test_drops(void **state)
{
	struct adaptive a;
	(void)state;
	adaptive_init(&a, &(struct adaptive_conf){ ADAPT_VEGAS, 100, 2, 1000 }, 1000000);
	for (unsigned i = 0; i < 50; i++)
		adaptive_drop(&a, 2000000 + i);
	assert_int_equal(adaptive_limit(&a), 90);         /* one burst is one drop */
	for (unsigned i = 0; i < 100; i++)
		adaptive_drop(&a, 3000000 + i * 100000);
	assert_int_equal(adaptive_limit(&a), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fifo_and_lifo), cmocka_unit_test(test_adaptive_turns_round_when_it_stands),
		cmocka_unit_test(test_classes_and_the_starvation_guard), cmocka_unit_test(test_codel),
		cmocka_unit_test(test_what_is_shed_is_the_least_important), cmocka_unit_test(test_it_finds_the_capacity),
		cmocka_unit_test(test_it_does_not_grow_for_nothing), cmocka_unit_test(test_drops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
