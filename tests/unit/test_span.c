/* test_span.c - cutting, comparing, reading numbers, hashing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/span.h"

static void assert_span(struct span got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.at, want, got.len);
}

static void folds_case_in_ascii_only(void **state)
{
	(void)state;
	assert_true(span_eq_nocase(SPAN("Content-Length"), SPAN("content-LENGTH")));
	assert_false(span_eq_nocase(SPAN("content-length"), SPAN("content-lengt")));
	assert_false(span_eq_nocase(SPAN("a\xc4"), SPAN("a\xe4")));
	assert_false(span_eq_nocase(SPAN("@["), SPAN("`{")));             /* 0x20 apart, but no letters */
	assert_true(span_eq_nocase(SPAN_NONE, SPAN("")));
	assert_true(span_starts_nocase(SPAN("Bearer abc"), SPAN("bearer ")));
	assert_false(span_starts_nocase(SPAN("Bear"), SPAN("bearer")));
}

static void trims_blanks_only(void **state)
{
	(void)state;
	assert_span(span_trim(SPAN(" \t a b\t ")), "a b");
	assert_span(span_trim(SPAN(" \t ")), "");
	assert_span(span_trim(SPAN("\ra\n")), "\ra\n");
	assert_int_equal(span_trim(SPAN_NONE).len, 0);
}

static void check_list(const char *list, const char *const *want)
{
	struct span rest = span_of(list), element;
	size_t n = 0;

	for (; span_next(&rest, ',', &element); n++) {
		assert_non_null(want[n]);
		assert_span(element, want[n]);
	}
	assert_null(want[n]);
	assert_false(span_next(&rest, ',', &element));
}

static void cuts_lists(void **state)
{
	(void)state;
	check_list("a, b,c", (const char *const[]){ "a", "b", "c", NULL });
	check_list(",,", (const char *const[]){ "", "", "", NULL });
	check_list("a,", (const char *const[]){ "a", "", NULL });
	check_list(" one ", (const char *const[]){ "one", NULL });
	check_list(NULL, (const char *const[]){ NULL });
}

static void finds_tokens_in_lists(void **state)
{
	(void)state;
	assert_true(span_lists(SPAN("keep-alive, Upgrade"), SPAN("upgrade")));
	assert_true(span_lists(SPAN("close"), SPAN("close")));
	assert_false(span_lists(SPAN("keep-alive"), SPAN("keep")));
	assert_false(span_lists(SPAN("closed,unclose"), SPAN("close")));
	assert_false(span_lists(SPAN_NONE, SPAN("close")));
}

static void reads_decimals(void **state)
{
	(void)state;
	static const char *const refused[] = { "", "+1", "-1", " 1", "1 ", "0x1", "1a", "1.0", "18446744073709551616",
	                                       "18446744073709551617", "99999999999999999999",
	                                       "184467440737095516150", "\xd9\xa1" };
	uint64_t v = 77;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_false(span_to_u64(span_of(refused[i]), UINT64_MAX, &v));
	assert_false(span_to_u64((struct span){ "1\0", 2 }, UINT64_MAX, &v));
	assert_false(span_to_u64(SPAN("101"), 100, &v));
	assert_false(span_to_u64(SPAN("1"), 0, &v));
	assert_int_equal(v, 77);                                          /* untouched */
	assert_true(span_to_u64(SPAN("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(span_to_u64(SPAN("100"), 100, &v));
	assert_int_equal(v, 100);
	assert_true(span_to_u64(SPAN("000000000000000000000000000007"), 7, &v));
	assert_int_equal(v, 7);
}

static void reads_hex(void **state)
{
	(void)state;
	static const char *const refused[] = { "", "0x1", "g", " a", "10000000000000000", "ffffffffffffffff0", "-1" };
	uint64_t v = 77;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_false(span_hex_to_u64(span_of(refused[i]), UINT64_MAX, &v));
	assert_false(span_hex_to_u64(SPAN("100"), 0xff, &v));
	assert_int_equal(v, 77);
	assert_true(span_hex_to_u64(SPAN("fFfFfFfFfFfFfFfF"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(span_hex_to_u64(SPAN("0000000000000000000aB"), 0xab, &v));
	assert_int_equal(v, 0xab);
}

static void numbers_survive_the_round_trip(void **state)
{
	(void)state;
	struct rand r;
	char digits[20];

	rand_seed(&r, 1);
	for (int i = 0; i < 20000; i++) {
		uint64_t v = rand_next(&r) >> rand_below(&r, 64), back;
		size_t n = u64_to_text(v, digits);
		assert_true(span_to_u64((struct span){ digits, n }, UINT64_MAX, &back));
		assert_true(back == v);
		assert_false(v && span_to_u64((struct span){ digits, n }, v - 1, &back));
	}
	assert_int_equal(u64_to_text(0, digits), 1);
	assert_int_equal(digits[0], '0');
	assert_int_equal(u64_to_text(UINT64_MAX, digits), 20);
}

/* Equal bytes hash equally wherever they lie; other bytes, lengths and seeds do not (64 bits: no collision among so few). */
static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void hash_tells_spans_apart(void **state)
{
	(void)state;
	enum { N = 70 };
	static uint64_t seen[N * N + N];
	char bytes[N + 1] = { 0 }, moved[N + 8];
	size_t n = 0;

	for (size_t len = 0; len < N; len++) {
		seen[n++] = span_hash((struct span){ bytes, len }, 42);       /* zeros of every length */
		for (size_t i = 0; i < len; i++) {
			bytes[i] = 1;
			seen[n] = span_hash((struct span){ bytes, len }, 42);     /* one bit anywhere */
			memcpy(moved + 3, bytes, len);
			assert_true(span_hash((struct span){ moved + 3, len }, 42) == seen[n++]);
			bytes[i] = 0;
		}
	}
	qsort(seen, n, sizeof(seen[0]), by_value);
	for (size_t i = 1; i < n; i++)
		assert_true(seen[i] != seen[i - 1]);
	assert_true(span_hash(SPAN("orders"), 1) != span_hash(SPAN("orders"), 2));
}

static void hash_fills_low_bits_evenly(void **state)
{
	(void)state;
	enum { BUCKETS = 256, KEYS = BUCKETS * 64 };
	unsigned count[BUCKETS] = { 0 };
	char key[32];

	for (int i = 0; i < KEYS; i++) {
		int len = snprintf(key, sizeof(key), "/api/v1/orders/%d", i);
		count[span_hash((struct span){ key, (size_t)len }, 7) % BUCKETS]++;
	}
	for (int i = 0; i < BUCKETS; i++)                                 /* 64 expected, standard deviation 8 */
		assert_in_range(count[i], 64 - 40, 64 + 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folds_case_in_ascii_only), cmocka_unit_test(trims_blanks_only), cmocka_unit_test(cuts_lists),
		cmocka_unit_test(finds_tokens_in_lists), cmocka_unit_test(reads_decimals), cmocka_unit_test(reads_hex),
		cmocka_unit_test(numbers_survive_the_round_trip), cmocka_unit_test(hash_tells_spans_apart),
		cmocka_unit_test(hash_fills_low_bits_evenly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
