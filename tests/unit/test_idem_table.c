/* test_idem_table.c - which keys are known, for how long, and who goes when there is no room. */
#include "unit.h"

#include <stdlib.h>

#include "../../src/policy/idem_table.h"

static struct idem_table table;
static struct idem_limits limits;
static const unsigned char print[IDEM_DIGEST] = "the same", other[IDEM_DIGEST] = "another";

static int begin(void **state)
{
	(void)state;
	idem_table_init(&table, 1);
	limits = (struct idem_limits){ .max_keys = 3, .max_bytes = 100000, .ttl_us = 1000 };
	return 0;
}

static int finish(void **state)
{
	(void)state;
	idem_table_fini(&table);
	return 0;
}

static enum idem_claim claim(char key, const unsigned char *fingerprint, uint64_t now, struct idem_entry **e)
{
	unsigned char digest[IDEM_DIGEST] = { (unsigned char)key };
	return idem_table_claim(&table, &limits, digest, fingerprint, now, e);
}

static struct idem_answer *answer_of(size_t body)
{
	struct reply reply = { .status = 200, .framing = BODY_LENGTH, .content_length = body, .has_length = true };
	char *bytes = calloc(1, body + 1);
	struct capture *c = capture_new(&reply);
	assert_non_null(c);
	assert_true(capture_add(c, (struct span){ bytes, body }));
	c->ended = true;
	struct idem_answer *a = idem_answer_new(c);
	assert_non_null(a);
	capture_unref(c);
	free(bytes);
	return a;
}

static void run(char key, uint64_t now, size_t body)
{
	struct idem_entry *e;
	assert_int_equal(claim(key, print, now, &e), IDEM_FIRST);
	idem_table_finish(&table, &limits, e, body ? answer_of(body) : NULL, now);
}

static void one_life(void **state)
{
	struct idem_entry *e, *again;
	(void)state;
	assert_int_equal(claim('a', print, 0, &e), IDEM_FIRST);
	assert_int_equal(e->state, IDEM_RUNNING);
	assert_int_equal(claim('a', print, 1, &again), IDEM_FOUND);
	assert_ptr_equal(e, again);
	assert_int_equal(claim('a', other, 1, &again), IDEM_OTHER);
	idem_table_finish(&table, &limits, e, answer_of(10), 100);
	assert_int_equal(claim('a', print, 1099, &again), IDEM_FOUND);
	assert_int_equal(again->state, IDEM_DONE);
	assert_int_equal(claim('a', other, 1099, &again), IDEM_OTHER);
	assert_int_equal(claim('a', other, 1100, &again), IDEM_FIRST);        /* its time is over: it may be used for anything */
	idem_table_release(&table, again);
	assert_int_equal(table.map.count, 0);
	assert_int_equal(table.bytes, 0);
	run('b', 0, 0);
	assert_int_equal(claim('b', print, 1, &e), IDEM_FOUND);
	assert_int_equal(e->state, IDEM_LOST);
}

static void running_ones_stay(void **state)
{
	struct idem_entry *a, *b, *e;
	(void)state;
	assert_int_equal(claim('a', print, 0, &a), IDEM_FIRST);
	run('1', 0, 10);
	assert_int_equal(claim('b', print, 0, &b), IDEM_FIRST);
	assert_int_equal(claim('c', print, 0, &e), IDEM_FIRST);               /* '1' goes */
	assert_int_equal(table.forgotten, 1);
	assert_int_equal(claim('d', print, 5000, &a), IDEM_FULL);
	idem_table_release(&table, e);
	assert_int_equal(claim('a', print, 5000, &a), IDEM_FOUND);
	assert_int_equal(claim('1', print, 0, &e), IDEM_FIRST);
	idem_table_release(&table, e);
	idem_table_release(&table, a);
	idem_table_release(&table, b);
}

static void longest_unused_goes_first(void **state)
{
	struct idem_entry *e;
	(void)state;
	run('1', 0, 10);
	run('2', 0, 10);
	run('3', 0, 10);
	assert_int_equal(claim('1', print, 1, &e), IDEM_FOUND);
	run('4', 2, 10);
	assert_int_equal(claim('2', print, 3, &e), IDEM_FIRST);               /* it was '2'; now '3' went for this one */
	idem_table_release(&table, e);
	assert_int_equal(claim('1', print, 3, &e), IDEM_FOUND);
	assert_int_equal(claim('4', print, 3, &e), IDEM_FOUND);
	assert_int_equal(table.map.count, 2);
	assert_int_equal(table.forgotten, 2);
}

static void bytes_are_bounded(void **state)
{
	struct idem_entry *e;
	(void)state;
	limits.max_keys = 100;
	for (char k = '0'; k <= '9'; k++) {
		run(k, 0, 30000);
		assert_true(table.bytes <= limits.max_bytes && table.bytes >= 30000);
	}
	assert_int_equal(table.map.count, 3);
	assert_int_equal(table.forgotten, 7);
	assert_int_equal(claim('9', print, 1, &e), IDEM_FOUND);
	run('a', 1, 200000);                                                  /* larger than all: it stays until the next one */
	assert_int_equal(table.map.count, 1);
	run('b', 1, 10);
	assert_int_equal(table.map.count, 1);
	assert_true(table.bytes < 1000);
}

/* Nobody asks for them again, and they go all the same. */
static void expired_ones_are_swept(void **state)
{
	struct idem_entry *e;
	(void)state;
	limits.max_keys = 1000;
	for (unsigned i = 0; i < 100; i++)
		run((char)(i + 1), 0, 100);
	assert_int_equal(table.map.count, 100);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(claim((char)(i + 101), print, 2000, &e), IDEM_FIRST);
		idem_table_release(&table, e);
	}
	assert_int_equal(table.map.count, 0);
	assert_int_equal(table.forgotten, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_life, begin, finish), cmocka_unit_test_setup_teardown(running_ones_stay, begin, finish),
		cmocka_unit_test_setup_teardown(longest_unused_goes_first, begin, finish), cmocka_unit_test_setup_teardown(bytes_are_bounded, begin, finish),
		cmocka_unit_test_setup_teardown(expired_ones_are_swept, begin, finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
