/* test_base64.c - base64url: RFC 4648's own examples, and everything that is only nearly right. */
#include "base/base64.h"
#include "unit.h"

static bool decode(const char *text, char *out, size_t *len) { return base64url_decode(span_of(text), out, len); }

static void decodes(const char *text, const char *bytes)
{
	char out[64];
	size_t len = 99;
	assert_true(decode(text, out, &len));
	assert_span(((struct span){ out, len }), bytes);
}

static void test_the_rfcs_examples(void **state)
{
	(void)state;
	decodes("", "");
	decodes("Zg", "f");
	decodes("Zm8", "fo");
	decodes("Zm9v", "foo");
	decodes("Zm9vYg", "foob");
	decodes("Zm9vYmE", "fooba");
	decodes("Zm9vYmFy", "foobar");
	decodes("-_-_", "\xfb\xff\xbf");
}

static void test_what_is_nearly_right(void **state)
{
	static const char *const bad[] = { "Z", "Zm9vY", "Zg==", "Zm8=", "Zm9v\n", " Zm9v", "Zm 9", "+/+/", "Zm9.", "Zh", "Zm9", "Zm9vYh", "\xc3\xa4zz", "Z=g=" };
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char out[64];
		size_t len = 99;
		if (decode(bad[i], out, &len) || len != 99)
			fail_msg("'%s' was taken", bad[i]);
	}
	char out[8];
	size_t len;
	assert_false(base64url_decode((struct span){ "Zg\0v", 4 }, out, &len));
}

static void test_every_length_and_back(void **state)
{
	char bytes[200], text[300], out[BASE64URL_BYTES(300)];
	struct text t;
	struct rand r;
	(void)state;
	rand_seed(&r, 7);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t len;
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)rand_below(&r, 256);
		text_over(&t, text, sizeof(text));
		pretend_base64url(&t, (struct span){ bytes, n });
		assert_true(base64url_decode(text_span(&t), out, &len));
		assert_true(len == n && len <= BASE64URL_BYTES(t.len) && memcmp(out, bytes, n) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_rfcs_examples), cmocka_unit_test(test_what_is_nearly_right), cmocka_unit_test(test_every_length_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
