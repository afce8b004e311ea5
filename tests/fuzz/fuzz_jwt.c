/* fuzz_jwt.c - any bytes as a bearer token: the reader of its parts, and what it claims. No signature is checked: whatever gets past the reader is
 * taken as signed, as the worst issuer would. An input of two lines is header and payload in the clear: they are encoded here.
 *
 * Beyond crashes and leaks: what was taken has exactly three parts, each the one way to write its bytes; what it claims is within bounds and is found
 * again by its name; and a token that holds says so for all the time that it claims, and for none before or behind it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/policy/jwt.h"
#include "base/base64.h"
#include "pretend_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void broken_promise(const char *what, struct span token)
{
	fprintf(stderr, "%s: " SPAN_FMT "\n", what, SPAN_ARG(token));
	abort();
}

static void check_parts(struct span token, const struct jwt_head *head)
{
	static char decoded[BASE64URL_BYTES(JWT_TOKEN_MAX)], written[JWT_TOKEN_MAX + 8];
	struct span rest = token, part;
	struct text t;
	unsigned parts = 0;
	size_t len;
	text_over(&t, written, sizeof(written));
	for (bool more = true; more; parts++) {
		const char *dot = rest.len ? memchr(rest.at, '.', rest.len) : NULL;
		part = dot ? span_between(rest.at, dot) : rest;
		if (!base64url_decode(part, decoded, &len))
			broken_promise("a part is not base64url", token);
		if (parts)
			text_char(&t, '.');
		pretend_base64url(&t, (struct span){ decoded, len });
		more = dot != NULL;
		rest = dot ? span_from(rest, part.len + 1) : SPAN_NONE;
	}
	if (parts != 3 || !span_eq(text_span(&t), token) || head->kid_len > JWT_KID_MAX || head->kid[head->kid_len] || head->alg >= JWS_ALG_COUNT)
		broken_promise("parts", token);
}

static void check_claims(struct span token, const struct jwt *jwt)
{
	if (!span_eq(jwt->token, token) || jwt->refs != 1)
		broken_promise("another token", token);
	for (unsigned i = 0; i < jwt->claims.count; i++)
		if (!claims_find(&jwt->claims, jwt->claims.at[i].name).at)
			broken_promise("a claim is not found", token);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t moments[] = { jwt->from_ms, jwt->until_ms - 1 };
		if (jwt->from_ms < jwt->until_ms && jwt_when(jwt, moments[i]) != jwt->verdict)
			broken_promise("it does not hold when it says so", token);
	}
	if (jwt_when(jwt, jwt->until_ms) != JWT_expired || (jwt->from_ms && jwt->from_ms < jwt->until_ms && jwt_when(jwt, jwt->from_ms - 1) != JWT_not_yet_valid))
		broken_promise("it holds too long", token);
}

static struct span encoded(struct span lines)
{
	static char memory[2 * JWT_TOKEN_MAX];
	const char *end = memchr(lines.at, '\n', lines.len);
	struct text t;
	if (!end)
		return lines;
	text_over(&t, memory, sizeof(memory));
	pretend_base64url(&t, span_between(lines.at, end));
	text_char(&t, '.');
	pretend_base64url(&t, span_between(end + 1, span_end(lines)));
	text_add(&t, SPAN(".Z29vZA"));
	return text_span(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct span audience[] = { { "app", 3 } }, any[] = { { "*", 1 } }, issuer[] = { { "me", 2 } };
	static struct conf_pair wanted[] = { { { "scope", 5 }, { "read write", 10 } }, { { "a.b", 3 }, { "*", 1 } } };
	const struct jwt_terms strict = { .issuers = { issuer, 1 }, .audiences = { audience, 1 }, .claims = { wanted, 2 }, .leeway_us = 60000000 },
		loose = { .audiences = { any, 1 } };
	struct span token = encoded((struct span){ size ? (const char *)bytes : "", size });
	struct jwt_head head;
	enum jwt_verdict verdict = jwt_read_head(token, &head);

	if (verdict != JWT_allowed)
		return 0;
	check_parts(token, &head);
	for (unsigned i = 0; i < 2; i++) {
		struct jwt *jwt = NULL;
		verdict = jwt_read_claims(token, head.payload, i ? &strict : &loose, &jwt);
		if ((verdict == JWT_allowed || verdict == JWT_claims) != (jwt != NULL) || verdict == JWT_no_memory || (!i && verdict == JWT_claims))
			broken_promise("a verdict without a token, or a token without one", token);
		if (jwt)
			check_claims(token, jwt);
		jwt_unref(jwt);
	}
	return 0;
}
