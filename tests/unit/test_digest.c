/* test_digest.c - against the examples of FIPS 180. */
#include "unit.h"

#include "base/digest.h"

static void known(void **state)
{
	unsigned char out[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1] = { 0 };
	(void)state;
	assert_true(digest_sha1(SPAN("abc"), out));
	digest_hex(out, SHA1_BYTES, hex);
	assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
	assert_true(digest_sha256(SPAN("abc"), out));
	digest_hex(out, SHA256_BYTES, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_true(digest_sha256(SPAN_NONE, out));
	digest_hex(out, SHA256_BYTES, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void in_pieces(void **state)
{
	unsigned char whole[SHA256_BYTES], pieces[SHA256_BYTES];
	struct digest_sum sum;
	(void)state;
	assert_true(digest_sha256(SPAN("abc"), whole));
	digest_sum_begin(&sum);
	digest_sum_add(&sum, SPAN("a"));
	digest_sum_add(&sum, SPAN_NONE);
	digest_sum_add(&sum, SPAN("bc"));
	assert_true(digest_sum_end(&sum, pieces));
	assert_memory_equal(whole, pieces, SHA256_BYTES);
	assert_false(digest_sum_end(&sum, pieces));                           /* it is over */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known), cmocka_unit_test(in_pieces) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
