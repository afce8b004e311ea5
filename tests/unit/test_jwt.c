/* test_jwt.c - what a token says, and whether it holds: tables of (header, claims, terms) and verdicts. */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/policy/jwt.h"
#include "unit.h"

enum { ROOM = 48 * 1024 };
static char memory[ROOM];

/* header.payload.signature of texts as they stand. */
static struct span token_of(struct span header, struct span payload)
{
	struct text t;
	text_over(&t, memory, sizeof(memory));
	pretend_base64url(&t, header);
	text_char(&t, '.');
	pretend_base64url(&t, payload);
	text_add(&t, SPAN(".Z29vZA"));
	return text_span(&t);
}

static enum jwt_verdict head_of(const char *header, struct jwt_head *head)
{
	return jwt_read_head(token_of(span_of(header), SPAN("{}")), head);
}

static void test_headers(void **state)
{
	static const struct { const char *header; enum jwt_verdict verdict; } cases[] = {
		{ "{\"alg\":\"RS256\"}", JWT_allowed }, { "{\"alg\":\"ES512\",\"kid\":\"a\",\"typ\":\"at+jwt\"}", JWT_allowed },
		{ "{\"kid\":\"\",\"alg\":\"HS256\"}", JWT_allowed },
		{ "{\"alg\":\"none\"}", JWT_algorithm }, { "{\"alg\":\"None\"}", JWT_algorithm }, { "{\"alg\":\"rs256\"}", JWT_algorithm },
		{ "{\"alg\":\"\"}", JWT_algorithm }, { "{\"alg\":\"RS2561\"}", JWT_algorithm }, { "{\"alg\":\"EdDSA\"}", JWT_algorithm },
		{ "{\"alg\":null}", JWT_malformed }, { "{\"alg\":256}", JWT_malformed }, { "{}", JWT_malformed }, { "[]", JWT_malformed }, { "", JWT_malformed },
		{ "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", JWT_malformed }, { "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", JWT_malformed },
		{ "{\"alg\":\"RS256\",\"b64\":true}", JWT_malformed }, { "{\"alg\":\"RS256\",\"kid\":1}", JWT_malformed },
		{ "{\"alg\":\"RS256\",\"kid\":null}", JWT_malformed }, { "{\"alg\":\"RS256\"", JWT_malformed }, { "{\"alg\":\"RS256\"}{}", JWT_malformed },
		{ "{\"alg\":\"RS256\",}", JWT_malformed }, { "{'alg':'RS256'}", JWT_malformed },
	};
	struct jwt_head head;
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (head_of(cases[i].header, &head) != cases[i].verdict)
			fail_msg("%s: %s", cases[i].header, jwt_verdict_facts(head_of(cases[i].header, &head))->word);
	assert_int_equal(head_of("{\"alg\":\"PS384\",\"kid\":\"key one\"}", &head), JWT_allowed);
	assert_int_equal(head.alg, JWS_PS384);
	assert_span(((struct span){ head.kid, head.kid_len }), "key one");
	assert_span(head.payload, "e30");
}

static void test_a_kid_has_an_end(void **state)
{
	char header[400];
	struct jwt_head head;
	(void)state;
	for (int n = 254; n <= 257; n++) {
		snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%0*d\"}", n, 1);
		assert_int_equal(head_of(header, &head), n <= JWT_KID_MAX ? JWT_allowed : JWT_malformed);
	}
}

static void test_parts(void **state)
{
	static const char *const bad[] = { "", ".", "..", "...", "a", "eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJSUzI1NiJ9.e30", "eyJhbGciOiJSUzI1NiJ9..Z29vZA",
		".e30.Z29vZA", "eyJhbGciOiJSUzI1NiJ9.e30.Z29vZA.Z29vZA", "eyJhbGciOiJSUzI1NiJ9.e30.Z29vZA=", "eyJhbGciOiJSUzI1NiJ9.e30.Z29vZB", "eyJhbGciOiJSUzI1NiJ9 .e30.Z29vZA",
		"eyJhbGciOiJSUzI1NiJ9=.e30.Z29vZA" };
	struct jwt_head head;
	char *large = calloc(1, JWT_TOKEN_MAX + 2);
	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (jwt_read_head(span_of(bad[i]), &head) != JWT_malformed)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(jwt_read_head(SPAN("eyJhbGciOiJSUzI1NiJ9.e30."), &head), JWT_allowed);     /* whether it is signed the keys say */
	assert_non_null(large);
	memset(large, 'A', JWT_TOKEN_MAX + 1);
	large[5] = '.';
	assert_int_equal(jwt_read_head((struct span){ large, JWT_TOKEN_MAX + 1 }, &head), JWT_too_large);
	assert_int_equal(jwt_read_head((struct span){ large, JWT_TOKEN_MAX }, &head), JWT_malformed);
	free(large);
}

/* ── claims ── */

static struct span us_[] = { { "app", 3 }, { "web", 3 } }, me[] = { { "me", 2 }, { "old me", 6 } }, any[] = { { "*", 1 } };
static struct jwt_terms terms(void)
{
	return (struct jwt_terms){ .issuers = { me, 2 }, .audiences = { us_, 2 }, .leeway_us = 5000000 };
}

static enum jwt_verdict claims_of(const char *payload, const struct jwt_terms *t, struct jwt **out)
{
	struct jwt_head head;
	struct span token = token_of(SPAN("{\"alg\":\"RS256\"}"), span_of(payload));
	*out = NULL;
	assert_int_equal(jwt_read_head(token, &head), JWT_allowed);
	return jwt_read_claims(token, head.payload, t, out);
}

#define GOOD "\"iss\":\"me\",\"aud\":\"app\",\"exp\":1000"
static void test_claims(void **state)
{
	static const struct { const char *payload; enum jwt_verdict verdict; } cases[] = {
		{ "{" GOOD "}", JWT_allowed }, { "{\"iss\":\"old me\",\"aud\":[\"x\",\"web\"],\"exp\":1000.5}", JWT_allowed },
		{ "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":0}", JWT_allowed },        /* long over: see jwt_when */
		{ "{\"iss\":\"me\",\"aud\":\"app\"}", JWT_malformed }, { "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":\"1000\"}", JWT_malformed },
		{ "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":-1}", JWT_malformed }, { "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":1e15}", JWT_malformed },
		{ "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":null}", JWT_malformed }, { "{\"iss\":\"me\",\"aud\":\"app\",\"exp\":true}", JWT_malformed },
		{ "{" GOOD ",\"nbf\":\"x\"}", JWT_malformed }, { "{" GOOD ",\"iat\":{}}", JWT_malformed }, { "{" GOOD ",\"iat\":null}", JWT_malformed },
		{ "{" GOOD ",\"exp\":2000}", JWT_malformed }, { "{" GOOD "", JWT_malformed }, { "[]", JWT_malformed }, { "7", JWT_malformed },
		{ "{\"aud\":\"app\",\"exp\":1000}", JWT_issuer }, { "{\"iss\":\"me \",\"aud\":\"app\",\"exp\":1000}", JWT_issuer },
		{ "{\"iss\":[\"me\"],\"aud\":\"app\",\"exp\":1000}", JWT_issuer }, { "{\"iss\":\"me\",\"exp\":1000}", JWT_audience },
		{ "{\"iss\":\"me\",\"aud\":\"App\",\"exp\":1000}", JWT_audience }, { "{\"iss\":\"me\",\"aud\":[],\"exp\":1000}", JWT_audience },
		{ "{\"iss\":\"me\",\"aud\":[[\"app\"]],\"exp\":1000}", JWT_audience }, { "{\"iss\":\"me\",\"aud\":{\"app\":1},\"exp\":1000}", JWT_audience },
		{ "{\"iss\":\"me\",\"aud\":\"*\",\"exp\":1000}", JWT_audience }, { "{\"iss\":\"me\",\"aud\":\"\",\"exp\":1000}", JWT_audience },
	};
	struct jwt_terms t = terms();
	struct jwt *jwt;
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		enum jwt_verdict v = claims_of(cases[i].payload, &t, &jwt);
		if (v != cases[i].verdict || (v == JWT_allowed) != (jwt != NULL))
			fail_msg("%s: %s", cases[i].payload, jwt_verdict_facts(v)->word);
		jwt_unref(jwt);
	}
	t.issuers.count = 0;
	t.audiences = (struct conf_texts){ any, 1 };
	assert_int_equal(claims_of("{\"exp\":1000}", &t, &jwt), JWT_allowed);
	jwt_unref(jwt);
}

static void test_times(void **state)
{
	static const struct { const char *payload; uint64_t ms; enum jwt_verdict verdict; } cases[] = {
		{ "{" GOOD "}", 0, JWT_allowed }, { "{" GOOD "}", 1004999, JWT_allowed }, { "{" GOOD "}", 1005000, JWT_expired },
		{ "{" GOOD ",\"nbf\":100}", 94999, JWT_not_yet_valid }, { "{" GOOD ",\"nbf\":100}", 95000, JWT_allowed },
		{ "{" GOOD ",\"iat\":100}", 94999, JWT_not_yet_valid }, { "{" GOOD ",\"iat\":100,\"nbf\":50}", 94999, JWT_not_yet_valid },
		{ "{" GOOD ",\"iat\":3}", 0, JWT_allowed }, { "{" GOOD ",\"nbf\":2000}", 1990000, JWT_expired },
	};
	struct jwt_terms t = terms();
	struct jwt *jwt;
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(claims_of(cases[i].payload, &t, &jwt), JWT_allowed);
		if (jwt_when(jwt, cases[i].ms) != cases[i].verdict)
			fail_msg("%s at %llu: %s", cases[i].payload, (unsigned long long)cases[i].ms, jwt_verdict_facts(jwt_when(jwt, cases[i].ms))->word);
		jwt_unref(jwt);
	}
}

static void test_what_must_be_said(void **state)
{
	static const struct { const char *name, *value, *said; bool fits; } cases[] = {
		{ "scope", "read", "\"scope\":\"read\"", true }, { "scope", "read", "\"scope\":\"write read admin\"", true },
		{ "scope", "read", "\"scope\":\"readwrite\"", false }, { "scope", "read", "\"scope\":\"\"", false }, { "scope", "read", "\"Scope\":\"read\"", false },
		{ "scope", "read write", "\"scope\":\"write x read\"", true }, { "scope", "read write", "\"scope\":\"read\"", false },
		{ "scope", "read write", "\"scope\":[\"read\",\"write\"]", true }, { "scope", "read write", "\"scope\":[\"read write\"]", true },
		{ "scope", "read", "\"scope\":[[\"read\"]]", false }, { "scope", "read", "\"scope\":{\"read\":true}", false },
		{ "role", "*", "\"role\":\"x\"", true }, { "role", "*", "\"role\":false", true }, { "role", "*", "\"role\":null", false }, { "role", "*", "\"x\":1", false },
		{ "ok", "true", "\"ok\":true", true }, { "ok", "true", "\"ok\":\"true\"", true }, { "ok", "true", "\"ok\":1", false },
		{ "n", "7", "\"n\":7", true }, { "n", "7", "\"n\":7.0", true }, { "n", "7", "\"n\":70", false }, { "n", "-7", "\"n\":-7", true },
		{ "a.b", "x", "\"a\":{\"b\":\"x\"}", true }, { "a.b", "x", "\"a.b\":\"x\"", true }, { "a.b", "x", "\"a.b\":\"y\",\"a\":{\"b\":\"x\"}", false },
		{ "a.b.c", "x", "\"a\":{\"b\":{\"c\":[\"y\",\"x\"]}}", true }, { "a.b.c", "x", "\"a\":{\"b.c\":\"x\"}", true }, { "a.b", "x", "\"a\":\"b\"", false },
		{ "https://h.example/roles", "x", "\"https://h.example/roles\":[\"x\"]", true }, { "full name", "Ann B", "\"full name\":\"Ann B\"", true },
	};
	struct jwt_terms t = terms();
	struct jwt *jwt;
	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct conf_pair pair = { span_of(cases[i].name), span_of(cases[i].value) };
		char payload[400];
		t.claims = (struct conf_map){ &pair, 1 };
		snprintf(payload, sizeof(payload), "{" GOOD ",%s}", cases[i].said);
		enum jwt_verdict v = claims_of(payload, &t, &jwt);
		if (v != (cases[i].fits ? JWT_allowed : JWT_claims) || !jwt)
			fail_msg("%s: %s of %s: %s", cases[i].name, cases[i].value, cases[i].said, jwt_verdict_facts(v)->word);
		assert_int_equal(jwt_when(jwt, 0), v);
		jwt_unref(jwt);
	}
}

static void test_what_others_see_of_it(void **state)
{
	struct jwt_terms t = terms();
	struct jwt *jwt;
	(void)state;
	assert_int_equal(claims_of("{" GOOD ",\"sub\":\"ann \\u00e9\",\"n\":-7,\"r\":1.5,\"yes\":true,\"no\":false,\"nil\":null,\"list\":[\"a\",2,true],"
		"\"deep\":[[1]],\"o\":{\"p\":\"in\",\"q\":{\"r\":\"further in\"}},\"o.p\":\"out\",\"empty\":\"\",\"none\":[]}", &t, &jwt), JWT_allowed);
	const struct claims *c = &jwt->claims;
	assert_span(claims_find(c, SPAN("sub")), "ann \xc3\xa9");
	assert_span(claims_find(c, SPAN("n")), "-7");
	assert_span(claims_find(c, SPAN("r")), "1.5");
	assert_span(claims_find(c, SPAN("yes")), "true");
	assert_span(claims_find(c, SPAN("no")), "false");
	assert_span(claims_find(c, SPAN("list")), "a,2,true");
	assert_span(claims_find(c, SPAN("o.p")), "out");
	assert_span(claims_find(c, SPAN("o.q.r")), "further in");
	assert_span(claims_find(c, SPAN("iss")), "me");
	assert_int_equal(claims_find(c, SPAN("empty")).len, 0);
	assert_null(claims_find(c, SPAN("nil")).at);
	assert_null(claims_find(c, SPAN("deep")).at);
	assert_null(claims_find(c, SPAN("o")).at);
	assert_null(claims_find(c, SPAN("su")).at);
	assert_null(claims_find(NULL, SPAN("sub")).at);
	jwt_unref(jwt);
}

/* Nobody sees half of what a token claims. */
static void test_claims_without_end(void **state)
{
	static char payload[30000];
	struct jwt_terms t = terms();
	struct jwt *jwt;
	struct text out;
	(void)state;
	for (unsigned n = 120; n <= 130; n += 5) {
		text_over(&out, payload, sizeof(payload) - 1);
		text_f(&out, "{" GOOD);
		for (unsigned i = 3; i < n; i++)
			text_f(&out, ",\"c%u\":%u", i, i);
		text_f(&out, "}");
		payload[out.len] = '\0';
		assert_int_equal(claims_of(payload, &t, &jwt), n <= 128 ? JWT_allowed : JWT_too_large);
		assert_true((jwt != NULL) == (n <= 128));
		jwt_unref(jwt);
	}
	text_over(&out, payload, sizeof(payload) - 1);
	text_f(&out, "{" GOOD ",\"" );
	for (unsigned i = 0; i < 200; i++)
		text_char(&out, 'x');
	text_f(&out, "\":{\"a\":{");
	for (unsigned i = 0; i < 100; i++)
		text_f(&out, "%s\"%u\":\"", i ? "," : "", i), text_f(&out, "%0150d\"", 1);
	text_f(&out, "}}}");
	payload[out.len] = '\0';
	assert_int_equal(claims_of(payload, &t, &jwt), JWT_too_large);
	text_over(&out, payload, sizeof(payload) - 1);
	text_f(&out, "{" GOOD ",\"a\":");
	for (unsigned i = 0; i < 2000; i++)
		text_f(&out, "{\"a\":");
	text_f(&out, "1");
	for (unsigned i = 0; i < 2001; i++)
		text_char(&out, '}');
	payload[out.len] = '\0';
	assert_int_equal(claims_of(payload, &t, &jwt), JWT_allowed);
	jwt_unref(jwt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers), cmocka_unit_test(test_a_kid_has_an_end), cmocka_unit_test(test_parts), cmocka_unit_test(test_claims),
		cmocka_unit_test(test_times), cmocka_unit_test(test_what_must_be_said), cmocka_unit_test(test_what_others_see_of_it),
		cmocka_unit_test(test_claims_without_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
