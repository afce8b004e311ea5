/* test_known.c - what is known of keys: for how long, and what is lost. */
#include "unit.h"

#include "../../src/policy/known.h"

static struct known_keys keys;

static int begin(void **state)
{
	(void)state;
	memset(&keys, 0, sizeof(keys));
	return 0;
}

static int finish(void **state)
{
	(void)state;
	known_fini(&keys);
	return 0;
}

static void is_forgotten(void **state)
{
	(void)state;
	assert_null(known_find(&keys, 0, 0));
	known_note(&keys, 5, 100);
	assert_non_null(known_find(&keys, 5, 100));
	assert_non_null(known_find(&keys, 5, 100 + KNOWN_US - 1));
	assert_null(known_find(&keys, 5, 100 + KNOWN_US));
	assert_null(known_find(&keys, 6, 100));
	known_note(&keys, 5, 200);
	assert_non_null(known_find(&keys, 5, 100 + KNOWN_US));
}

static void a_later_key_takes_the_slot(void **state)
{
	(void)state;
	known_note_names(&keys, 7, SPAN("x-a,"), 100);
	known_note_names(&keys, 7 + KNOWN_KEYS, SPAN("x-b,"), 100);
	assert_null(known_find(&keys, 7, 100));
	assert_string_equal(known_find(&keys, 7 + KNOWN_KEYS, 100)->names, "x-b,");
}

static void names_are_kept_and_replaced(void **state)
{
	(void)state;
	known_note_names(&keys, 7, SPAN("x-a,"), 100);
	const char *before = known_find(&keys, 7, 100)->names;
	known_note_names(&keys, 7, SPAN("x-a,"), 200);
	assert_ptr_equal(known_find(&keys, 7, 100 + KNOWN_US)->names, before);        /* the same: nothing is allocated */
	known_note_names(&keys, 7, SPAN("x-a,x-b,"), 300);
	assert_string_equal(known_find(&keys, 7, 300)->names, "x-a,x-b,");
	known_note_names(&keys, 7 + KNOWN_KEYS, SPAN("x-a,x-b,"), 400);               /* of another key: never the old one's time */
	assert_null(known_find(&keys, 7, 400));
	known_note(&keys, 7 + KNOWN_KEYS, 500);
	assert_null(known_find(&keys, 7 + KNOWN_KEYS, 500)->names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_forgotten, begin, finish),
		cmocka_unit_test_setup_teardown(a_later_key_takes_the_slot, begin, finish),
		cmocka_unit_test_setup_teardown(names_are_kept_and_replaced, begin, finish),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
