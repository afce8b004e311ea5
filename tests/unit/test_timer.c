/* test_timer.c - the heap against an array of due times; timers that arm, move, disarm and free each other while firing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/rand.h"
#include "base/timer.h"

/* ── the model: what is armed, for when; every firing is checked against it ── */

enum { N = 300 };
struct world {
	struct timers timers;
	struct rand   r;
	uint64_t      now_us, last_us;        /* last_us: due time of the last that fired in this run */
	unsigned      fired;
	bool          meddle;                 /* firing timers re-arm, move and disarm others */
};
static struct world world;
static struct entry { struct timer timer; uint64_t due_us; bool armed, fired; } entry[N];

static void fire(struct timer *);

static void model_arm(struct entry *e, uint64_t due_us)
{
	timer_arm(&world.timers, &e->timer, due_us, fire);
	e->armed = true;
	e->due_us = due_us;
}

static void meddle(void)
{
	struct entry *e = &entry[rand_below(&world.r, N)];
	uint64_t now_us = world.now_us;

	switch (rand_below(&world.r, 4)) {
	case 0:
		timer_disarm(&world.timers, &e->timer);
		e->armed = false;
		break;
	case 1:
		model_arm(e, now_us - rand_below(&world.r, now_us < 50 ? now_us + 1 : 50));       /* at once */
		break;
	default:
		model_arm(e, now_us + rand_below(&world.r, 200));
	}
}

static void fire(struct timer *t)
{
	struct entry *e = container_of(t, struct entry, timer);

	assert_true(e->armed && e->due_us <= world.now_us);
	assert_false(e->fired);                                           /* at most once per run */
	assert_false(timer_armed(t));
	if (!world.meddle)
		assert_true(e->due_us >= world.last_us);                      /* earliest first */
	world.last_us = e->due_us;
	e->armed = false;
	e->fired = true;
	world.fired++;
	if (world.meddle) {
		meddle();
		meddle();
		if (rand_below(&world.r, 2))
			model_arm(e, world.now_us);
	}
}

static void check_after_run(unsigned fired)
{
	uint64_t armed = 0, earliest_us = TIMER_NEVER;

	assert_int_equal(fired, world.fired);
	for (int i = 0; i < N; i++) {
		assert_int_equal(timer_armed(&entry[i].timer), entry[i].armed);
		if (!entry[i].armed)
			continue;
		armed++;
		earliest_us = entry[i].due_us < earliest_us ? entry[i].due_us : earliest_us;
		assert_true(entry[i].due_us > world.now_us || entry[i].fired);    /* nobody due was forgotten */
	}
	assert_int_equal(world.timers.armed, armed);
	assert_true(timers_next(&world.timers) <= earliest_us);           /* never late */
	assert_true(armed || timers_next(&world.timers) == TIMER_NEVER);
}

static void run_world(bool meddling, uint64_t seed)
{
	world = (struct world){ .meddle = meddling };
	timers_init(&world.timers);
	rand_seed(&world.r, seed);
	for (int i = 0; i < N; i++)
		entry[i] = (struct entry){ .armed = false };
	for (int turn = 0; turn < 4000; turn++) {
		for (uint64_t n = rand_below(&world.r, 12); n; n--)
			meddle();
		world.now_us += rand_below(&world.r, 20);
		world.fired = 0;
		world.last_us = 0;
		for (int i = 0; i < N; i++)
			entry[i].fired = false;
		check_after_run(timers_run(&world.timers, world.now_us));
	}
}

static void agrees_with_an_array(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		run_world(false, seed);
}

static void agrees_with_an_array_while_firing_timers_meddle(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		run_world(true, seed);
}

/* ── single facts ── */

static unsigned count;
static struct timers heap;
static void counts(struct timer *t) { (void)t; count++; }
static void again_now(struct timer *t) { count++; timer_arm(&heap, t, 0, again_now); }
static void frees_itself(struct timer *t) { count++; free(t); }
static struct timer *victim;
static void disarms_the_other(struct timer *t) { (void)t; count++; timer_disarm(&heap, victim); }
static void arms_the_other_now(struct timer *t) { (void)t; count++; timer_arm(&heap, victim, 0, counts); }

static int begin(void **state)
{
	(void)state;
	count = 0;
	timers_init(&heap);
	return 0;
}

static void zeroed_is_not_armed(void **state)
{
	(void)state;
	struct timer t = { 0 };

	assert_false(timer_armed(&t));
	timer_disarm(&heap, &t);
	assert_true(timers_next(&heap) == TIMER_NEVER);
	assert_int_equal(timers_run(&heap, UINT64_MAX - 1), 0);
}

static void fires_at_its_time_not_before(void **state)
{
	(void)state;
	struct timer t = { 0 };

	timer_arm(&heap, &t, 100, counts);
	assert_true(timers_next(&heap) == 100);
	assert_int_equal(timers_run(&heap, 99), 0);
	assert_int_equal(timers_run(&heap, 100), 1);
	assert_int_equal(timers_run(&heap, 1000), 0);
	assert_int_equal(count, 1);
}

static void moving_later_is_lazy_and_moving_earlier_is_not(void **state)
{
	(void)state;
	struct timer t = { 0 };

	timer_arm(&heap, &t, 100, counts);
	timer_arm(&heap, &t, 500, counts);
	assert_true(timers_next(&heap) == 100);                           /* early, not late */
	assert_int_equal(timers_run(&heap, 100), 0);
	assert_true(timers_next(&heap) == 500);                           /* put right by the look */
	timer_arm(&heap, &t, 300, counts);
	assert_true(timers_next(&heap) == 300);
	timer_arm(&heap, &t, 900, counts);
	timer_arm(&heap, &t, 700, counts);                                /* earlier than due, later than its place */
	assert_int_equal(timers_run(&heap, 699), 0);
	assert_int_equal(timers_run(&heap, 700), 1);
	assert_int_equal(heap.armed, 0);
}

static void no_livelock(void **state)
{
	(void)state;
	struct timer t = { 0 }, u = { 0 };

	timer_arm(&heap, &t, 1, again_now);
	timer_arm(&heap, &u, 2, again_now);
	assert_int_equal(timers_run(&heap, 10), 2);
	assert_int_equal(heap.armed, 2);
	assert_true(timers_next(&heap) == 0);
	assert_int_equal(timers_run(&heap, 10), 2);
	timer_disarm(&heap, &t);
	assert_int_equal(timers_run(&heap, 10), 1);
	timer_disarm(&heap, &u);
	assert_int_equal(heap.armed, 0);
	assert_true(timers_next(&heap) == TIMER_NEVER);
}

static void armed_while_firing_fires_too(void **state)
{
	(void)state;
	struct timer t = { 0 }, u = { 0 };

	victim = &u;
	timer_arm(&heap, &t, 5, arms_the_other_now);
	assert_int_equal(timers_run(&heap, 5), 2);
	assert_int_equal(count, 2);
	assert_false(timer_armed(&u));
}

static void disarmed_while_firing_does_not_fire(void **state)
{
	(void)state;
	struct timer t = { 0 }, u = { 0 };

	victim = &u;
	timer_arm(&heap, &t, 5, disarms_the_other);
	timer_arm(&heap, &u, 5, disarms_the_other);
	timer_arm(&heap, &u, 6, disarms_the_other);
	assert_int_equal(timers_run(&heap, 10), 1);
	assert_int_equal(count, 1);
	assert_int_equal(heap.armed, 0);
}

static void may_be_freed_by_its_own_firing(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		struct timer *t = calloc(1, sizeof(*t));
		assert_non_null(t);
		timer_arm(&heap, t, 100 - i, frees_itself);
	}
	assert_int_equal(timers_run(&heap, 50), 50);
	assert_int_equal(timers_run(&heap, 100), 50);
	assert_int_equal(count, 100);
}

/* A timer that fired in one heap may be armed in another, whatever run that one is in. */
static void may_change_heaps_between_armings(void **state)
{
	(void)state;
	struct timers other;
	struct timer t = { 0 }, early = { 0 };

	timers_init(&other);
	for (int i = 0; i < 5; i++) {
		timer_arm(&heap, &t, 1, counts);
		assert_int_equal(timers_run(&heap, 1), 1);
		timer_arm(&other, &early, 5, counts);
		timer_arm(&other, &t, 10, counts);
		assert_true(timers_next(&other) == 5);
		timer_arm(&other, &t, 3, counts);
		assert_true(timers_next(&other) == 3);
		timer_disarm(&other, &early);
		assert_int_equal(timers_run(&other, 10), 1);
		assert_int_equal(other.armed, 0);
	}
}

/* The run a timer fired in is a number of the heap it fired in: another heap may reach the same number while the timer is
 * armed there, and it must not be looked for among those that fired in that run. */
static struct timers other_heap;
static void moves_the_victim(struct timer *t)
{
	count++;
	timer_arm(&other_heap, victim, victim->due_us - 1, counts);
	assert_true(timers_next(&other_heap) == victim->due_us);
	timer_arm(&other_heap, t, 1, moves_the_victim);
}

static void the_number_of_a_foreign_run_means_nothing(void **state)
{
	(void)state;
	struct timer t = { 0 }, ticker = { 0 };

	timers_init(&other_heap);
	for (int i = 0; i < 20; i++) {
		timer_arm(&heap, &t, 1, counts);
		timers_run(&heap, 1);
	}
	victim = &t;
	timer_arm(&other_heap, &t, 1000, counts);
	timer_arm(&other_heap, &ticker, 1, moves_the_victim);
	for (int i = 0; i < 50; i++)
		assert_int_equal(timers_run(&other_heap, 1), 1);
	timer_disarm(&other_heap, &t);
	timer_disarm(&other_heap, &ticker);
	assert_true(timers_next(&other_heap) == TIMER_NEVER);
}

static void looks_ahead(struct timer *t)
{
	count++;
	timer_arm(&heap, t, 3, looks_ahead);
	assert_true(timers_next(&heap) == 3);
	timer_arm(&heap, t, 2, looks_ahead);
	assert_true(timers_next(&heap) == 2);
}

static void next_is_right_while_firing(void **state)
{
	(void)state;
	struct timer t = { 0 };

	timer_arm(&heap, &t, 5, looks_ahead);
	assert_int_equal(timers_run(&heap, 5), 1);
	assert_true(timers_next(&heap) == 2);
	timer_disarm(&heap, &t);
}

/* 100,000 in one row below the root, then pairs of pairs, in a stack that recursion over them would overrun. */
static void *run_many(void *unused)
{
	enum { MANY = 100000 };
	struct timer *t = calloc(MANY, sizeof(*t));

	(void)unused;
	if (!t)
		return NULL;
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < MANY; i++)
			timer_arm(&heap, &t[i], round ? MANY - i : i + 1, counts);
		for (uint64_t i = 0; i < MANY; i += 3)
			timer_arm(&heap, &t[i], MANY + i, counts);                    /* all later */
		for (uint64_t i = 0; i < MANY; i += 7)
			timer_disarm(&heap, &t[i]);
		timers_run(&heap, MANY / 2);
		timers_run(&heap, 3 * MANY);
	}
	free(t);
	return &heap;
}

static void many_timers_in_a_small_stack(void **state)
{
	(void)state;
	pthread_attr_t attr;
	pthread_t thread;
	void *done = NULL;

	pthread_attr_init(&attr);
	assert_int_equal(pthread_attr_setstacksize(&attr, 64 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &attr, run_many, NULL), 0);
	pthread_join(thread, &done);
	pthread_attr_destroy(&attr);
	assert_non_null(done);
	assert_int_equal(heap.armed, 0);
	assert_int_equal(count, 2 * (100000 - 14286));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(agrees_with_an_array_while_firing_timers_meddle),
		cmocka_unit_test_setup(zeroed_is_not_armed, begin),
		cmocka_unit_test_setup(fires_at_its_time_not_before, begin),
		cmocka_unit_test_setup(moving_later_is_lazy_and_moving_earlier_is_not, begin),
		cmocka_unit_test_setup(no_livelock, begin),
		cmocka_unit_test_setup(armed_while_firing_fires_too, begin),
		cmocka_unit_test_setup(disarmed_while_firing_does_not_fire, begin),
		cmocka_unit_test_setup(may_be_freed_by_its_own_firing, begin),
		cmocka_unit_test_setup(may_change_heaps_between_armings, begin),
		cmocka_unit_test_setup(the_number_of_a_foreign_run_means_nothing, begin),
		cmocka_unit_test_setup(next_is_right_while_firing, begin),
		cmocka_unit_test_setup(many_timers_in_a_small_stack, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
