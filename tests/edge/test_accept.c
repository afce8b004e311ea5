/* test_accept.c - weights in Accept and Accept-Encoding; and that what is packed can be unpacked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <zlib.h>
#include <cmocka.h>

#include "../../src/app/accept.h"
#include "../../src/app/gzip.h"

static void test_weights(void **state)
{
	static const struct { const char *list, *word; unsigned weight; } table[] = {
		{ "", "gzip", 0 }, { "gzip", "gzip", 1000 }, { "GZIP", "gzip", 1000 }, { "gzip2", "gzip", 0 }, { "br, gzip ,x", "gzip", 1000 },
		{ "gzip;q=0", "gzip", 0 }, { "gzip; q=0.0", "gzip", 0 }, { "gzip;q=0.5", "gzip", 500 }, { "gzip;Q=0.125", "gzip", 125 },
		{ "gzip;q=0.1259", "gzip", 125 }, { "gzip;q=1.0", "gzip", 1000 }, { "gzip;q=nonsense", "gzip", 1000 }, { "gzip;q=", "gzip", 1000 },
		{ "a/b;version=1;q=0.2,a/b;q=0.4", "a/b", 400 }, { "*", "gzip", 0 }, { ";q=1", "gzip", 0 }, { ",,gzip", "gzip", 1000 },
		{ "gzip;q=0.", "gzip", 0 }, { "gzip;q=0x5", "gzip", 500 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (accept_weight(span_of(table[i].list), span_of(table[i].word)) != table[i].weight)
			fail_msg("'%s' in '%s': %u", table[i].word, table[i].list, accept_weight(span_of(table[i].list), span_of(table[i].word)));
}

static void assert_unpacks(const struct text *packed, struct span want)
{
	char *back = malloc(want.len + 1);
	z_stream z = { .next_in = (Bytef *)packed->at, .avail_in = (uInt)packed->len, .next_out = (Bytef *)back, .avail_out = (uInt)want.len + 1 };
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);          /* one member, and nothing behind it */
	assert_int_equal(z.total_out, want.len);
	assert_memory_equal(back, want.at, want.len);
	inflateEnd(&z);
	free(back);
}

static void test_packed(void **state)
{
	struct text t, copy;
	(void)state;
	text_init(&t, 1 << 20);
	text_init(&copy, 1 << 20);
	for (unsigned i = 0; i < 5000; i++)
		text_f(&t, "outrigger_line{number=\"%u\"} %u\n", i, i * i);
	text_add(&copy, text_span(&t));
	assert_true(gzip_text(&t));
	assert_in_range(t.len, 100, copy.len / 3);
	assert_unpacks(&t, text_span(&copy));
	text_char(&t, 'x');                       /* still a text like any other */
	assert_false(t.cut);
	text_fini(&t);
	text_fini(&copy);
	char foreign[10];
	text_over(&t, foreign, sizeof(foreign));  /* of foreign memory it keeps its hands */
	assert_false(gzip_text(&t));
}

static uint64_t dice(uint64_t *x, uint64_t sides)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (*x >> 33) % sides;
}

/* What cannot be made shorter; and whatever repeats itself, for however long, from however far: one more than the window goes back, too. */
static void test_packed_at_random(void **state)
{
	enum { MOST = 200000, WINDOW = 32768 };
	static const size_t far[] = { 1, 2, 3, 4, 5, 8, 9, 257, WINDOW - 1, WINDOW, WINDOW + 1 }, far_count = sizeof(far) / sizeof(*far);
	char *bytes = malloc(MOST);
	uint64_t x = 1;
	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		struct text t;
		size_t len = 0, want = round < 30 ? round + 1 : 1 + dice(&x, MOST);
		unsigned letters = round % 3 ? 256 : 2 + (unsigned)dice(&x, 30);
		while (len < want) {
			size_t from = round % 2 ? 1 + dice(&x, WINDOW + 9) : far[dice(&x, far_count)], n = round % 5 ? 1 + dice(&x, 600) : 0;
			for (; n && from <= len && len < want; n--, len++)
				bytes[len] = bytes[len - from];
			for (n = dice(&x, 40); n && len < want; n--)
				bytes[len++] = (char)dice(&x, letters);
		}
		text_init(&t, MOST);
		text_add(&t, (struct span){ bytes, len });
		assert_true(gzip_text(&t));
		assert_in_range(t.len, 20, len + len / 8 + 20);
		assert_unpacks(&t, (struct span){ bytes, len });
		text_fini(&t);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_weights), cmocka_unit_test(test_packed), cmocka_unit_test(test_packed_at_random) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
