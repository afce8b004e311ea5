/* test_text.c - appending within a limit: what fits is there, what does not sets `cut` and nothing is half. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"

static void assert_text(const struct text *t, const char *want)
{
	assert_int_equal(t->len, strlen(want));
	assert_memory_equal(t->at, want, t->len);
}

static void fixed_memory_is_used_to_the_last_byte(void **state)
{
	(void)state;
	char memory[11];
	struct text t;

	memory[10] = '#';
	text_over(&t, memory, 10);
	text_add(&t, SPAN("abc"));
	text_char(&t, ':');
	text_u64(&t, 120);
	text_f(&t, "%d", -42);
	assert_text(&t, "abc:120-42");
	assert_false(t.cut);
	text_add(&t, SPAN_NONE);
	assert_false(t.cut);
	text_char(&t, 'x');
	assert_true(t.cut);
	assert_text(&t, "abc:120-42");
	assert_int_equal(memory[10], '#');
}

static void numbers_are_whole_or_absent(void **state)
{
	(void)state;
	char memory[8];
	struct text t;

	text_over(&t, memory, sizeof(memory));
	text_add(&t, SPAN("12345"));
	text_u64(&t, 6789);
	assert_true(t.cut);
	assert_text(&t, "12345");
	text_u64(&t, 1);                                                  /* would fit, but comes after a cut */
	text_char(&t, '1');
	text_add(&t, SPAN("1"));
	text_f(&t, "1");
	assert_text(&t, "12345");
}

static void room_is_whole_or_absent(void **state)
{
	(void)state;
	char memory[8];
	struct text t;

	text_over(&t, memory, sizeof(memory));
	memcpy(text_room(&t, 6), "abc", 3);
	text_grew(&t, 3);
	assert_text(&t, "abc");
	assert_ptr_equal(text_room(&t, 5), memory + 3);
	assert_false(t.cut);
	assert_null(text_room(&t, 6));
	assert_true(t.cut);
	assert_null(text_room(&t, 1));                                    /* would fit, but comes after a cut */
	text_init(&t, 1000);
	assert_non_null(text_room(&t, 1000));
	assert_null(text_room(&t, 1001));
	text_fini(&t);
}

static void cuts_between_characters(void **state)
{
	(void)state;
	static const struct { const char *add; size_t size; const char *want; } cases[] = {
		{ "abcdef", 4, "abcd" },
		{ "ab\xc3\xa4", 3, "ab" },
		{ "ab\xe2\x82\xac", 4, "ab" },
		{ "ab\xe2\x82\xac", 3, "ab" },
		{ "a\xf0\x9f\x98\x80", 4, "a" },
		{ "\xe2\x82\xac\xe2\x82\xac", 3, "\xe2\x82\xac" },
		{ "\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80" },    /* no UTF-8 to spare */
		{ "x", 0, "" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char memory[8];
		struct text t;
		text_over(&t, memory, cases[i].size);
		text_add(&t, span_of(cases[i].add));
		assert_true(t.cut);
		assert_text(&t, cases[i].want);
		text_over(&t, memory, cases[i].size);
		text_f(&t, "%s", cases[i].add);
		assert_true(t.cut);
		assert_text(&t, cases[i].want);
	}
}

static void grows_to_its_limit_and_no_further(void **state)
{
	(void)state;
	struct text t;

	for (size_t max = 0; max < 2000; max += 111) {
		text_init(&t, max);
		for (int i = 0; i < 2000 && !t.cut; i++)
			text_char(&t, (char)('a' + i % 26));
		assert_true(t.cut);
		assert_int_equal(t.len, max);
		assert_true(t.size <= max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(t.at[i], 'a' + i % 26);
		text_fini(&t);
		assert_null(t.at);
	}
	text_init(&t, 100000);
	text_f(&t, "%05000d", 7);
	assert_int_equal(t.len, 5000);
	text_f(&t, "%s", "end");
	assert_memory_equal(t.at + 4999, "7end", 4);
	assert_false(t.cut);
	text_fini(&t);
	text_init(&t, 10);
	text_f(&t, "%s", "0123456789");                                   /* exactly */
	assert_text(&t, "0123456789");
	assert_false(t.cut);
	text_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_memory_is_used_to_the_last_byte), cmocka_unit_test(numbers_are_whole_or_absent),
		cmocka_unit_test(room_is_whole_or_absent),
		cmocka_unit_test(cuts_between_characters), cmocka_unit_test(grows_to_its_limit_and_no_further),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
