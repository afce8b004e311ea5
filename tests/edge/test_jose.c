/* test_jose.c - key sets and signatures: every algorithm with a key made here, and every way of using a key for what it is not. */
#include <cjose/cjose.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "edge/jose.h"
#include "stage.h"

enum { KEYS = 6 };
enum { R, S, P256, P384, P521, SECRET };      /* keys[...]; R and S are RSA */
static cjose_jwk_t *keys[KEYS];
static const char *const kids[KEYS] = { "r", "s", "p256", "p384", "p521", "secret" };

static int make_keys(void **state)
{
	(void)state;
	keys[R] = cjose_jwk_create_RSA_random(2048, NULL, 0, NULL);
	keys[S] = cjose_jwk_create_RSA_random(2048, NULL, 0, NULL);
	keys[P256] = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, NULL);
	keys[P384] = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_384, NULL);
	keys[P521] = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_521, NULL);
	keys[SECRET] = cjose_jwk_create_oct_random(512, NULL);
	for (unsigned i = 0; i < KEYS; i++)
		if (!keys[i] || !cjose_jwk_set_kid(keys[i], kids[i], strlen(kids[i]), NULL))
			return -1;
	return 0;
}

static int drop_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		cjose_jwk_release(keys[i]);
	return 0;
}

/* The public half (of a secret: all of it), with `more` members ("\"use\":\"enc\""). */
static void put_key(struct text *out, unsigned i, const char *more)
{
	char *json = cjose_jwk_to_json(keys[i], i == SECRET, NULL);
	assert_non_null(json);
	text_add(out, (struct span){ json, strlen(json) - 1 });
	text_f(out, "%s%s}", more[0] ? "," : "", more);
	free(json);
}

static struct key_set *set_of(unsigned bits, const char *more)
{
	static char memory[16384];
	char words[200];
	struct text out, why;
	text_over(&out, memory, sizeof(memory));
	text_over(&why, words, sizeof(words));
	text_add(&out, SPAN("{\"keys\":["));
	for (unsigned i = 0, n = 0; i < KEYS; i++)
		if (bits >> i & 1) {
			text_add(&out, n++ ? SPAN(",") : SPAN(""));
			put_key(&out, i, more);
		}
	text_add(&out, SPAN("]}"));
	struct key_set *set = jose_read(text_span(&out), &why);
	assert_true((set == NULL) == (why.len > 0));
	return set;
}

/* What cjose makes of this header; NULL: nothing. */
static const char *sign(unsigned key, const char *alg, cjose_jws_t **jws)
{
	const char *out = NULL;
	json_t *header = json_pack("{s:s}", "alg", alg);
	assert_non_null(header);
	*jws = cjose_jws_sign(keys[key], (cjose_header_t *)header, (const unsigned char *)"{\"sub\":\"ann\"}", 13, NULL);
	json_decref(header);
	return *jws && cjose_jws_export(*jws, &out, NULL) ? out : NULL;
}

static enum key_verdict verify(const struct key_set *set, enum jws_alg alg, const char *kid, const char *token)
{
	return set->ops->verify(set, alg, span_of(kid), span_of(token));
}

static bool makes(unsigned key, enum jws_alg alg)
{
	switch (key) {
	case R: case S: return alg <= JWS_PS512;
	case P256: return alg == JWS_ES256;
	case P384: return alg == JWS_ES384;
	case P521: return alg == JWS_ES512;
	default:   return alg >= JWS_HS256;
	}
}

/* Each key, each algorithm: what it has signed is good under it, and under nothing else. */
static void test_every_algorithm(void **state)
{
	(void)state;
	struct key_set *all = set_of(0x1f, ""), *secret = set_of(1 << SECRET, "");
	assert_true(all && all->count == 5 && secret && secret->count == 1);
	for (unsigned key = 0; key < KEYS; key++)
		for (unsigned a = 0; a < JWS_ALG_COUNT; a++) {
			enum jws_alg alg = (enum jws_alg)a;
			const struct key_set *set = key == SECRET ? secret : all;
			cjose_jws_t *jws;
			if (!makes(key, alg))
				continue;
			const char *token = sign(key, jws_alg_name(alg), &jws);
			assert_non_null(token);
			assert_int_equal(verify(set, alg, kids[key], token), KEY_FITS);
			assert_int_equal(verify(set, alg, "", token), KEY_FITS);
			assert_int_equal(verify(set, alg, "unheard-of", token), KEY_UNKNOWN);
			for (unsigned other = 0; other < KEYS; other++)
				if (other != key && other != SECRET && key != SECRET)
					assert_int_equal(verify(set, alg, kids[other], token), KEY_FITS_NOT);
			for (unsigned b = 0; b < JWS_ALG_COUNT; b++)      /* the header says another one than the caller was told: never for another kind of key */
				if (!makes(key, (enum jws_alg)b))
					assert_int_equal(verify(set, (enum jws_alg)b, kids[key], token), KEY_FITS_NOT);
			cjose_jws_release(jws);
		}
	key_set_unref(all);
	key_set_unref(secret);
}

/* One bit anywhere, one byte more or less. */
static void test_a_bit_of_difference(void **state)
{
	static const struct { unsigned key; enum jws_alg alg; } cases[] = { { R, JWS_RS256 }, { R, JWS_PS256 }, { P256, JWS_ES256 }, { P521, JWS_ES512 } };
	static const char other[] = "BADCFEHGJILKNMPORQTSVUXWZYbadcfehgjilknmporqtsvuxwzy1032547698_-";
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct key_set *set = set_of(0x1f, "");
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		cjose_jws_t *jws;
		char token[2048];
		const char *good = sign(cases[i].key, jws_alg_name(cases[i].alg), &jws);
		assert_true(good && strlen(good) < sizeof(token) - 8);
		size_t dot = (size_t)(strrchr(good, '.') - good);
		for (size_t at = (size_t)(strchr(good, '.') - good) + 1; at < strlen(good); at += at == strlen(good) - 1 ? 1 : 7) {
			memcpy(token, good, strlen(good) + 1);
			if (token[at] == '.')
				continue;
			token[at] = other[strchr(digits, token[at]) - digits];
			bool same_bytes = at == strlen(good) - 1 && strlen(good + dot + 1) % 4 != 0;      /* the last digit's bits may carry nothing: the caller has seen to that */
			if (!same_bytes)
				assert_int_equal(verify(set, cases[i].alg, kids[cases[i].key], token), KEY_FITS_NOT);
		}
		memcpy(token, good, strlen(good) + 1);
		strncat(token, "AA", 3);
		assert_int_equal(verify(set, cases[i].alg, kids[cases[i].key], token), KEY_FITS_NOT);
		token[strlen(good) - 4] = '\0';
		assert_int_equal(verify(set, cases[i].alg, kids[cases[i].key], token), KEY_FITS_NOT);
		token[dot + 1] = '\0';
		assert_int_equal(verify(set, cases[i].alg, kids[cases[i].key], token), KEY_FITS_NOT);
		cjose_jws_release(jws);
	}
	key_set_unref(set);
}

/* A new key that has no name is told by nothing but signatures that do not fit: asking again may help. With a name it would not. */
static void test_keys_without_names(void **state)
{
	cjose_jws_t *jws;
	char memory[4096], words[100];
	struct text out, why;
	(void)state;
	struct key_set *one = set_of(1 << R, "");
	const char *others = sign(S, "RS256", &jws);
	assert_int_equal(verify(one, JWS_RS256, "", others), KEY_UNKNOWN);
	assert_int_equal(verify(one, JWS_RS256, "r", others), KEY_FITS_NOT);
	assert_int_equal(verify(one, JWS_ES256, "", others), KEY_FITS_NOT);
	key_set_unref(one);
	assert_true(cjose_jwk_set_kid(keys[R], "", 0, NULL));
	text_over(&out, memory, sizeof(memory));
	text_over(&why, words, sizeof(words));
	text_add(&out, SPAN("{\"keys\":["));
	put_key(&out, R, "");
	text_add(&out, SPAN("]}"));
	assert_true(cjose_jwk_set_kid(keys[R], "r", 1, NULL));
	one = jose_read(text_span(&out), &why);
	assert_non_null(one);
	assert_int_equal(verify(one, JWS_RS256, "s", others), KEY_UNKNOWN);
	cjose_jws_release(jws);
	others = sign(R, "RS256", &jws);
	assert_int_equal(verify(one, JWS_RS256, "any name", others), KEY_FITS);
	cjose_jws_release(jws);
	key_set_unref(one);
}

static void test_secrets_only_among_themselves(void **state)
{
	cjose_jws_t *jws;
	(void)state;
	struct key_set *mixed = set_of(1 << SECRET | 1 << R, ""), *only = set_of(1 << SECRET, "");
	const char *token = sign(SECRET, "HS256", &jws);
	assert_non_null(token);
	assert_int_equal(verify(mixed, JWS_HS256, "secret", token), KEY_FITS_NOT);
	assert_int_equal(verify(mixed, JWS_HS256, "", token), KEY_FITS_NOT);
	assert_int_equal(verify(only, JWS_HS256, "secret", token), KEY_FITS);
	cjose_jws_release(jws);
	key_set_unref(mixed);
	key_set_unref(only);
}

static void test_keys_for_something_else(void **state)
{
	static const struct { const char *more; unsigned rsa_left; } cases[] = { { "", 1 }, { "\"use\":\"sig\"", 1 }, { "\"use\":\"enc\"", 0 },
		{ "\"key_ops\":[\"verify\"]", 1 }, { "\"key_ops\":[\"sign\",\"encrypt\"]", 0 }, { "\"key_ops\":[]", 0 }, { "\"key_ops\":\"verify\"", 0 },
		{ "\"alg\":\"RS256\"", 1 }, { "\"alg\":\"RSA-OAEP\"", 0 }, { "\"alg\":\"none\"", 0 } };
	cjose_jws_t *jws;
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct key_set *set = set_of(1 << R, cases[i].more);
		if ((set ? set->count : 0) != cases[i].rsa_left)
			fail_msg("%s", cases[i].more);
		key_set_unref(set);
	}
	struct key_set *bound = set_of(1 << R, "\"alg\":\"RS256\"");
	const char *token = sign(R, "RS512", &jws);
	assert_int_equal(verify(bound, JWS_RS512, "r", token), KEY_FITS_NOT);
	cjose_jws_release(jws);
	key_set_unref(bound);
}

static void test_what_is_no_set(void **state)
{
	static const char *const bad[] = { "", "{}", "[]", "x", "{\"keys\":[]}", "{\"keys\":{}}", "{\"keys\":[7,null,[]]}", "{\"keys\":[{}]}", "{\"keys\":[],\"keys\":[]}",
		"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}]}",
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}", "{\"keys\":[{\"kty\":\"oct\",\"k\":7}]}" };
	char words[200];
	struct text why;
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		text_over(&why, words, sizeof(words));
		if (jose_read(span_of(bad[i]), &why) || !why.len)
			fail_msg("%s", bad[i]);
	}
	text_over(&why, words, sizeof(words));
	assert_null(jose_read(SPAN_NONE, &why));
	struct text many;
	text_init(&many, 1 << 20);
	text_add(&many, SPAN("{\"keys\":["));
	for (unsigned i = 0; i <= JOSE_KEYS_MAX; i++)
		text_f(&many, "%s{}", i ? "," : "");
	text_add(&many, SPAN("]}"));
	text_over(&why, words, sizeof(words));
	assert_null(jose_read(text_span(&many), &why));
	assert_true(memmem(why.at, why.len, "257 keys", 8) != NULL);
	text_fini(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_algorithm), cmocka_unit_test(test_a_bit_of_difference), cmocka_unit_test(test_keys_without_names), cmocka_unit_test(test_secrets_only_among_themselves),
		cmocka_unit_test(test_keys_for_something_else), cmocka_unit_test(test_what_is_no_set),
	};
	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
