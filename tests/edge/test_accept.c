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

static void test_packed(void **state)
{
	static char back[300000];
	struct text t, copy;
	z_stream z = { 0 };
	(void)state;
	text_init(&t, 1 << 20);
	text_init(&copy, 1 << 20);
	for (unsigned i = 0; i < 5000; i++)
		text_f(&t, "outrigger_line{number=\"%u\"} %u\n", i, i * i);
	text_add(&copy, text_span(&t));
	assert_true(gzip_text(&t));
	assert_in_range(t.len, 100, copy.len / 3);
	z.next_in = (Bytef *)t.at;
	z.avail_in = (uInt)t.len;
	z.next_out = (Bytef *)back;
	z.avail_out = sizeof(back);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, copy.len);
	assert_memory_equal(back, copy.at, copy.len);
	inflateEnd(&z);
	text_char(&t, 'x');                       /* still a text like any other */
	assert_false(t.cut);
	text_fini(&t);
	text_fini(&copy);
	text_over(&t, back, 10);                  /* of foreign memory it keeps its hands */
	assert_false(gzip_text(&t));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_weights), cmocka_unit_test(test_packed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
