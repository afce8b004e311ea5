/* test_budget.c - extra tries are a share of the requests of ten seconds, plus a floor; what was paid for nothing comes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../src/policy/budget.h"

enum { S = 1000000 };

static unsigned take_all(struct budget *b, const struct budget_conf *c, uint64_t now_us)
{
	unsigned n = 0;
	while (n < 10000 && budget_take(b, c, now_us))
		n++;
	return n;
}

static void a_share_and_a_floor(void **state)
{
	(void)state;
	static const struct { double share; uint64_t floor; unsigned requests, tries; } cases[] = {
		{ 0, 0, 1000, 0 }, { .2, 0, 1000, 200 }, { .2, 0, 4, 0 }, { .2, 0, 5, 1 }, { 0, 3, 0, 30 }, { .2, 3, 100, 50 }, { 1, 0, 7, 7 },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct budget b = { .bucket = { { 0, 0, 0 } } };
		struct budget_conf c = { cases[i].share, cases[i].floor };
		for (unsigned n = 0; n < cases[i].requests; n++)
			budget_request(&b, 50 * S);
		assert_int_equal(take_all(&b, &c, 50 * S), cases[i].tries);
	}
}

static void ten_seconds(void **state)
{
	(void)state;
	struct budget b = { .bucket = { { 0, 0, 0 } } };
	struct budget_conf c = { .5, 0 };
	for (unsigned n = 0; n < 10; n++)
		budget_request(&b, 50 * S);
	assert_true(budget_take(&b, &c, 59 * S));
	assert_false(budget_take(&b, &c, 60 * S));        /* the requests are forgotten, the try is not */
	for (unsigned n = 0; n < 4; n++)
		budget_request(&b, 61 * S);
	assert_int_equal(take_all(&b, &c, 61 * S), 1);
	assert_true(budget_available(&b, &c, 61 * S) == 0);
	assert_int_equal(take_all(&b, &c, 69 * S), 1);    /* now it is */
}

static void what_was_paid_for_nothing_comes_back(void **state)
{
	(void)state;
	struct budget b = { .bucket = { { 0, 0, 0 } } };
	struct budget_conf c = { 1, 0 };
	budget_request(&b, 50 * S);
	assert_true(budget_take(&b, &c, 50 * S));
	assert_false(budget_take(&b, &c, 50 * S));
	budget_refund(&b, 50 * S);
	assert_true(budget_take(&b, &c, 50 * S));
	budget_refund(&b, 51 * S);                        /* it is another second by then */
	assert_true(budget_take(&b, &c, 51 * S));
	budget_refund(&b, 57 * S);                        /* too late: it is as it is */
	assert_false(budget_take(&b, &c, 57 * S));
	struct budget empty = { .bucket = { { 0, 0, 0 } } };
	budget_refund(&empty, 50 * S);
	assert_false(budget_take(&empty, &c, 50 * S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_and_a_floor), cmocka_unit_test(ten_seconds), cmocka_unit_test(what_was_paid_for_nothing_comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
