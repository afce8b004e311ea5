/* test_json.c - commas, escapes, numbers; whatever bytes go in, UTF-8 without control characters comes out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "base/json.h"
#include "base/rand.h"

static void writes_a_document(void **state)
{
	(void)state;
	char memory[1024];
	struct text t;
	struct json j;

	text_over(&t, memory, sizeof(memory));
	json_init(&j, &t);
	json_open(&j, NULL, '{');
	json_text(&j, "name", "orders");
	json_text(&j, "none", NULL);
	json_open(&j, "empty", '[');
	json_close(&j, ']');
	json_open(&j, "list", '[');
	json_u64(&j, NULL, UINT64_MAX);
	json_i64(&j, NULL, INT64_MIN);
	json_i64(&j, NULL, 5);
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_bool(&j, NULL, true);
	json_close(&j, ']');
	json_fixed(&j, "ratio", 0.12345, 3);
	json_fixed(&j, "nan", NAN, 3);
	json_fixed(&j, "inf", -INFINITY, 3);
	json_bool(&j, "a\"b", false);
	json_span(&j, "span", SPAN("x\0y"));
	json_close(&j, '}');
	static const char want[] = "{\"name\":\"orders\",\"none\":null,\"empty\":[],\"list\":["
	                           "18446744073709551615,-9223372036854775808,5,{},true],"
	                           "\"ratio\":0.123,\"nan\":null,\"inf\":null,\"a\\\"b\":false,\"span\":\"x\\u0000y\"}";
	assert_int_equal(t.len, strlen(want));
	assert_memory_equal(t.at, want, t.len);
	assert_int_equal(j.depth, 0);
}

static void escapes(void **state)
{
	(void)state;
	static const struct { struct span in; const char *want; } cases[] = {
		{ SPAN("plain ~"), "plain ~" },
		{ SPAN("\"\\/"), "\\\"\\\\/" },
		{ SPAN("\b\f\n\r\t"), "\\b\\f\\n\\r\\t" },
		{ SPAN("\0\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\\u007f" },
		{ SPAN("\xc2\x9b" "31m"), "\\u009b31m" },                     /* C1: a terminal may take it for ESC [ */
		{ SPAN("\xc2\xa0\xc3\xa4"), "\xc2\xa0\xc3\xa4" },
		{ SPAN("\xe2\x82\xac\xf0\x9f\x98\x80"), "\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ SPAN("\xff" "a"), "\xef\xbf\xbd" "a" },
		{ SPAN("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd" },             /* overlong / */
		{ SPAN("\xe0\x80\xaf"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ SPAN("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },     /* a surrogate */
		{ SPAN("\xf4\x90\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },     /* above U+10FFFF */
		{ SPAN("a\xe2\x82"), "a\xef\xbf\xbd\xef\xbf\xbd" },           /* ends too early */
		{ SPAN("\xe2\""), "\xef\xbf\xbd\\\"" },
		{ SPAN_NONE, "" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char memory[64];
		struct text t;
		text_over(&t, memory, sizeof(memory));
		json_escape(&t, cases[i].in);
		assert_int_equal(t.len, strlen(cases[i].want));
		assert_memory_equal(t.at, cases[i].want, t.len);
	}
}

/* A second decoder, written by the definition: the value first, then is it the shortest form and allowed? */
static size_t decode(const unsigned char *c, size_t left, uint32_t *value)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = c[0] >> 7 == 0 ? 1 : c[0] >> 5 == 6 ? 2 : c[0] >> 4 == 14 ? 3 : c[0] >> 3 == 30 ? 4 : 0;

	if (!n || n > left)
		return 0;
	*value = n == 1 ? c[0] : c[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (c[i] >> 6 != 2)
			return 0;
		*value = *value << 6 | (c[i] & 0x3f);
	}
	return *value < least[n] || *value > 0x10ffff || (*value >= 0xd800 && *value <= 0xdfff) ? 0 : n;
}

/* The inside of a JSON string: no bare quote, no control character, only known escapes, all of it UTF-8. */
static void assert_string_inside(struct span s)
{
	for (size_t i = 0; i < s.len;) {
		uint32_t value = 0;
		size_t n = decode((const unsigned char *)s.at + i, s.len - i, &value);
		assert_true(n > 0);
		assert_true(value >= 0x20 && value != '"' && value != 0x7f);
		if (value == '\\') {
			assert_true(i + 1 < s.len);
			n = s.at[i + 1] == 'u' ? 6 : 2;
			assert_true(i + n <= s.len);
			assert_true(span_has(SPAN("\"\\bfnrtu"), s.at[i + 1]));
		}
		i += n;
	}
}

static void any_bytes_any_room(void **state)
{
	(void)state;
	static const unsigned char likely[] = { '"', '\\', 'a', 0x1b, 0x80, 0xbf, 0xc2, 0xc3,
	                                        0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f };
	struct rand r;

	rand_seed(&r, 21);
	for (int i = 0; i < 100000; i++) {
		char in[24], memory[160];
		struct text t;
		size_t len = rand_below(&r, sizeof(in) + 1);
		for (size_t k = 0; k < len; k++)
			in[k] = (char)(i % 2 ? likely[rand_below(&r, sizeof(likely))] : (unsigned char)rand_next(&r));
		text_over(&t, memory, i % 3 ? sizeof(memory) : rand_below(&r, 40));      /* some with too little room */
		json_escape(&t, (struct span){ in, len });
		assert_true(!t.cut || i % 3 == 0);
		assert_string_inside(text_span(&t));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_document), cmocka_unit_test(escapes), cmocka_unit_test(any_bytes_any_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
