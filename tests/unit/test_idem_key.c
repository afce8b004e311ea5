/* test_idem_key.c - what an Idempotency-Key is, and what makes two requests the same. */
#include "unit.h"

#include "core/claims.h"

#include "../../src/policy/idem_key.h"

static struct arena arena;
static struct fields fields;

static int begin(void **state)
{
	(void)state;
	arena_init(&arena, NULL, 1 << 20);
	assert_true(fields_init(&fields, &arena, 8));
	return 0;
}

static int finish(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void reads_both_shapes(void **state)
{
	static const struct { const char *value, *key; } good[] = {
		{ "abc", "abc" }, { "\"abc\"", "abc" }, { "\"a b\"", "a b" }, { "\"a\\\"b\\\\c\"", "a\"b\\c" }, { "\"abc\";q=1", "abc" }, { "  abc ", "abc" },
		{ "8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324" }, { "YWJj+/==", "YWJj+/==" }, { "\",;\"", ",;" },
	};
	static const char *const bad[] = {
		"", "\"\"", "\"abc", "\"abc\"x", "\"a\\b\"", "\"abc\\", "a b", "a,b", "a;b", "a\"b", "\"", "a\\b", "\x7f", "\"\xc3\xa4\"", "\xc3\xa4", "\"a\tb\"",
	};
	struct idem_key key;
	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_true(fields_init(&fields, &arena, 8) && fields_add(&fields, SPAN("Idempotency-Key"), span_of(good[i].value)));
		assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_FOUND);
		assert_true(span_eq((struct span){ key.text, key.len }, span_of(good[i].key)));
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_true(fields_init(&fields, &arena, 8) && fields_add(&fields, SPAN("idempotency-key"), span_of(bad[i])));
		assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_BAD);
	}
}

static void bounded_and_single(void **state)
{
	char text[IDEM_KEY_MAX + 3];
	struct idem_key key;
	(void)state;
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_NONE);
	memset(text, 'k', sizeof(text));
	assert_true(fields_add(&fields, SPAN("idempotency-key"), (struct span){ text, IDEM_KEY_MAX }));
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_FOUND);
	assert_int_equal(key.len, IDEM_KEY_MAX);
	fields.at[0].value.len++;
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_BAD);
	text[0] = text[IDEM_KEY_MAX + 1] = '"';
	fields.at[0].value.len = IDEM_KEY_MAX + 2;
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_FOUND);
	fields.at[0].value.len = 4;
	text[0] = 'k';
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_FOUND);
	assert_true(fields_add(&fields, SPAN("idempotency-key"), SPAN("kkkk")));
	assert_int_equal(idem_key_read(&fields, &key), IDEM_KEY_BAD);         /* which one? */
}

/* ── scope ── */

static void scope_of(const char *key, struct exchange *ex, unsigned char out[IDEM_DIGEST])
{
	struct idem_key k = { .len = (unsigned)strlen(key) };
	memcpy(k.text, key, k.len);
	assert_true(idem_key_scope(&k, ex, out));
}

static void keys_belong_to_a_credential(void **state)
{
	static struct claim ann[] = { { SPAN("iss"), SPAN("a") }, { SPAN("sub"), SPAN("ann") } }, bob[] = { { SPAN("iss"), SPAN("a") }, { SPAN("sub"), SPAN("bob") } };
	static const struct claims anns = { ann, 2 }, bobs = { bob, 2 };
	static struct exchange ex;
	unsigned char d[6][IDEM_DIGEST], again[IDEM_DIGEST];
	(void)state;
	scope_of("k", &ex, d[0]);
	scope_of("l", &ex, d[1]);
	ex.request.fields = fields;
	assert_true(fields_add(&ex.request.fields, SPAN("authorization"), SPAN("Bearer 1")));
	scope_of("k", &ex, d[2]);
	ex.claims = &anns;
	scope_of("k", &ex, d[3]);
	ex.request.fields.at[0].value = SPAN("Bearer 2");
	scope_of("k", &ex, again);
	assert_memory_equal(again, d[3], IDEM_DIGEST);                        /* a new token of the same subject */
	ex.claims = &bobs;
	scope_of("k", &ex, d[4]);
	ex.claims = NULL;
	scope_of("k", &ex, d[5]);
	for (unsigned i = 0; i < 6; i++)
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(d[i], d[j], IDEM_DIGEST);
}

/* ── fingerprint ── */

static void print_of(const char *const *pieces, uint64_t length, size_t most, unsigned char out[IDEM_DIGEST])
{
	struct exchange ex = { .request = { .method_text = SPAN("POST"), .authority = SPAN("a"), .target = SPAN("/"), .framing = BODY_STREAM } };
	struct chunk_pool pool;
	chunk_pool_init(&pool);
	buf_init(&ex.request_body.held, &pool, 1 << 20);
	if (length) {
		ex.request.framing = BODY_LENGTH;
		ex.request.content_length = length;
	}
	for (; *pieces; pieces++)
		assert_true(buf_keep(&ex.request_body.held, slice_of(span_of(*pieces))));
	assert_true(idem_key_fingerprint(&ex, most, out));
	buf_fini(&ex.request_body.held);
	chunk_pool_fini(&pool);
}

static void fingerprint_knows_no_pieces(void **state)
{
	static const char *const whole[] = { "hello world", NULL }, *const pieces[] = { "hel", "lo wo", "rld", NULL }, *const longer[] = { "hello world!", NULL };
	unsigned char a[IDEM_DIGEST], b[IDEM_DIGEST];
	(void)state;
	print_of(whole, 0, 100, a);
	print_of(pieces, 0, 100, b);
	assert_memory_equal(a, b, IDEM_DIGEST);
	print_of(longer, 0, 100, b);
	assert_memory_not_equal(a, b, IDEM_DIGEST);
	print_of(longer, 0, 11, b);                                           /* only so much is compared ... */
	assert_memory_equal(a, b, IDEM_DIGEST);
	print_of(whole, 11, 11, a);                                           /* ... and the length, where it was told */
	print_of(longer, 12, 11, b);
	assert_memory_not_equal(a, b, IDEM_DIGEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_both_shapes, begin, finish), cmocka_unit_test_setup_teardown(bounded_and_single, begin, finish),
		cmocka_unit_test_setup_teardown(keys_belong_to_a_credential, begin, finish), cmocka_unit_test(fingerprint_knows_no_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
