/* test_date.c - dates in fields. */
#include "unit.h"

#include "http/date.h"

static void known_dates(void **state)
{
	static const struct { const char *text; uint64_t seconds; } table[] = {
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 }, { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 }, { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
		{ "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 }, { "Sat, 21 Nov 2026 07:50:00 GMT", 1795247400 }, { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		uint64_t got = 1;
		assert_true(http_date_read(span_of(table[i].text), &got));
		assert_int_equal(got, table[i].seconds);
	}
}

static void no_dates(void **state)
{
	static const char *const table[] = { "", "0", "-1", "Sun, 06 Nov 1994 08:49:37", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Nix 1994 08:49:37 GMT", "Sun, 06 Nov 1969 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08-49-37 GMT",
		"Sun, 06 Nov 1994 08:49:37 UTC" };
	uint64_t got;
	(void)state;
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
		assert_false(http_date_read(span_of(table[i]), &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_dates), cmocka_unit_test(no_dates) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
