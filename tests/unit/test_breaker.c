/* test_breaker.c - the state machine by itself, with made-up times and chances. */
#include "unit.h"

#include "../../src/policy/breaker.h"

enum { S = 1000000 };
static const struct breaker_conf plain = {
	.window_us = 10 * S, .min_requests = 4, .consecutive_failures = 3, .failure_rate = .5, .slow_rate = .8, .open_for_us = 5 * S,
	.max_open_for_us = 15 * S, .half_open_requests = 2, .probe_timeout_us = 5 * S,
};
static const double middle = .5;          /* no jitter */
static struct breaker b;

static bool ask(uint64_t now, struct breaker_permit *p)
{
	uint64_t wait;
	return breaker_admit(&b, now, middle, p, &wait);
}
static void result(uint64_t now, bool failed)
{
	struct breaker_permit p;
	assert_true(ask(now, &p));
	breaker_record(&b, now, middle, &p, &(struct breaker_outcome){ .failed = failed });
}
static int begin(void **state)
{
	(void)state;
	breaker_init(&b, &plain);
	return 0;
}
static void break_it(uint64_t now)
{
	for (unsigned i = 0; i < 3; i++)
		result(now, true);
	assert_int_equal(b.state, BREAKER_open);
}

static void test_jitter_of_the_opening(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		static const double chances[] = { 0, .5, .999999 };
		static const uint64_t expected[] = { 3750000, 5000000, 6249997 };
		begin(NULL);
		for (unsigned k = 0; k < 3; k++) {
			struct breaker_permit p = { .generation = b.generation };
			breaker_record(&b, S, chances[i], &p, &(struct breaker_outcome){ .failed = true });
		}
		assert_int_equal(b.open_until_us - S, expected[i]);
	}
}

static void test_the_pause_doubles_up_to_its_limit(void **state)
{
	static const uint64_t pauses[] = { 5, 10, 15, 15 };
	uint64_t now = S;
	(void)state;
	break_it(now);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(b.open_until_us, now + pauses[i] * S);
		now = b.open_until_us;
		result(now, true);                /* the probe fails */
		assert_int_equal(b.state, BREAKER_open);
	}
	now = b.open_until_us;
	result(now, false);
	result(now, false);
	assert_int_equal(b.state, BREAKER_closed);
	break_it(now);                            /* and begins afresh */
	assert_int_equal(b.open_until_us, now + 5 * S);
}

static void test_half_open_never_hangs(void **state)
{
	struct breaker_permit p, q, r;
	(void)state;
	break_it(0);
	assert_true(ask(5 * S, &p) && ask(5 * S, &q) && !ask(5 * S, &r));
	breaker_tick(&b, 20 * S - 1, middle);
	assert_int_equal(b.state, BREAKER_half_open);
	breaker_tick(&b, 20 * S, middle);         /* probe_timeout and ten seconds: whatever became of them */
	assert_int_equal(b.state, BREAKER_open);
	breaker_record(&b, 20 * S, middle, &p, &(struct breaker_outcome){ .failed = false });
	breaker_give_back(&b, &q);
	assert_int_equal(b.probes, 0);
	assert_int_equal(b.results[RESULT_ignored], 2);
	breaker_tick(&b, 1000 * S, middle);
	assert_int_equal(b.state, BREAKER_half_open);
	breaker_tick(&b, 9000ull * S, middle);       /* without probes it just waits for one */
	assert_int_equal(b.state, BREAKER_half_open);
}

static void test_slots_come_back(void **state)
{
	struct breaker_permit p, q, r;
	(void)state;
	break_it(0);
	assert_true(ask(5 * S, &p) && ask(5 * S, &q) && !ask(5 * S, &r));
	breaker_give_back(&b, &p);
	assert_true(ask(6 * S, &r) && !ask(6 * S, &p));
}

static void test_the_window_forgets(void **state)
{
	(void)state;
	b.conf.consecutive_failures = 0;
	result(S, true);
	result(S, true);
	result(S, true);
	result(20 * S, true);                     /* the first three are gone */
	assert_int_equal(b.state, BREAKER_closed);
	result(21 * S, false);
	result(22 * S, false);
	result(23 * S, true);
	assert_int_equal(b.state, BREAKER_open);
	assert_int_equal(b.change[0].cause, CAUSE_failure_rate);
	assert_int_equal(b.change[0].sum.calls, 4);
	assert_int_equal(b.change[0].sum.failures, 2);
}

static void test_an_operators_word(void **state)
{
	struct breaker_permit p, q;
	(void)state;
	assert_true(ask(0, &p));
	breaker_force(&b, 0, BREAKER_forced_open);
	assert_false(ask(3600ull * S, &q));
	breaker_record(&b, S, middle, &p, &(struct breaker_outcome){ .failed = true });
	breaker_force(&b, 3600ull * S, BREAKER_disabled);
	for (unsigned i = 0; i < 100; i++)
		result(3601ull * S, true);
	assert_int_equal(b.state, BREAKER_disabled);
	breaker_force(&b, 3602ull * S, BREAKER_closed);
	assert_int_equal(b.consecutive, 0);
	break_it(3603ull * S);
}

static void test_other_parameters_keep_the_state(void **state)
{
	struct breaker_conf other = plain;
	(void)state;
	break_it(0);
	breaker_adapt(&b, &plain);
	assert_int_equal(b.consecutive, 3);
	other.open_for_us = S;
	breaker_adapt(&b, &other);
	assert_int_equal(b.state, BREAKER_open);
	assert_int_equal(b.consecutive, 0);
}

static void test_the_ramp(void **state)
{
	uint64_t wait;
	struct breaker_permit p;
	(void)state;
	b.conf.ramp_us = 10 * S;
	break_it(0);
	result(5 * S, false);
	result(5 * S, false);
	assert_int_equal(b.state, BREAKER_closed);
	assert_false(breaker_admit(&b, 10 * S, .51, &p, &wait));
	assert_true(breaker_admit(&b, 10 * S, .49, &p, &wait));
	assert_true(breaker_admit(&b, 5 * S, .04, &p, &wait));
	assert_true(breaker_admit(&b, 15 * S, .999, &p, &wait));
}

/* The window and the permits of before the crash are gone, the state is not; nor how long the next opening is. */
static void test_a_successor(void **state)
{
	struct breaker_saved saved;
	struct breaker_permit old, p;
	(void)state;
	assert_true(ask(0, &old));
	break_it(S);
	result(6 * S, true);                      /* the probe fails: 10 s now */
	breaker_save(&b, &saved);
	uint64_t until = b.open_until_us;
	begin(NULL);
	assert_true(breaker_restore(&b, &saved));
	assert_true(b.state == BREAKER_open && b.open_until_us == until && b.transitions[BREAKER_open][CAUSE_consecutive] == 1);
	assert_false(ask(until - 1, &p));
	assert_true(ask(until, &p));
	assert_int_equal(b.state, BREAKER_half_open);
	breaker_save(&b, &saved);                 /* with a probe under way, which dies with us */
	begin(NULL);
	assert_true(breaker_restore(&b, &saved));
	result(until + 1, false);
	result(until + 1, true);
	assert_int_equal(b.open_until_us, until + 1 + 15 * S);

	breaker_force(&b, until + 2, BREAKER_forced_open);
	breaker_save(&b, &saved);
	begin(NULL);
	assert_true(breaker_restore(&b, &saved) && b.state == BREAKER_forced_open);
	saved.state = BREAKER_STATE_COUNT;
	assert_false(breaker_restore(&b, &saved));
	saved.state = BREAKER_open;
	saved.open_for_us = plain.max_open_for_us + 1;
	assert_false(breaker_restore(&b, &saved));
	assert_int_equal(b.state, BREAKER_forced_open);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter_of_the_opening), TEST(test_the_pause_doubles_up_to_its_limit), TEST(test_half_open_never_hangs),
		TEST(test_slots_come_back), TEST(test_the_window_forgets), TEST(test_an_operators_word),
		TEST(test_other_parameters_keep_the_state), TEST(test_the_ramp), TEST(test_a_successor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
