/* rate_key.c - see rate_key.h. An IPv6 client is known by its /64: whoever has one address there has them all. */
#include "rate_key.h"

#include <arpa/inet.h>

#include "auth.h"
#include "base/digest.h"
#include "core/claims.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

bool rate_key_read(struct conf_reading *r, struct rate_key *key, struct span text, unsigned index)
{
	if (index == 0)
		key->count = 0;
	if (!text.at || key->count == RATE_KEY_PARTS) {
		conf_complain(r, text, "a key has one to %d parts", RATE_KEY_PARTS);
		return false;
	}
	bool header = span_starts(text, SPAN("header:")), cookie = span_starts(text, SPAN("cookie:")), claim = span_starts(text, SPAN("jwt:"));
	struct span name = header || cookie ? span_from(text, 7) : claim ? span_from(text, 4) : SPAN_NONE;
	key->part[key->count].name = name;
	if (span_eq(text, SPAN("client_ip")))
		key->part[key->count++].kind = RATE_KEY_CLIENT_IP;
	else if (span_eq(text, SPAN("route")))
		key->part[key->count++].kind = RATE_KEY_ROUTE;
	else if ((header || cookie) && field_name_is_token(name))
		key->part[key->count++].kind = header ? RATE_KEY_HEADER : RATE_KEY_COOKIE;
	else if (claim && name.len)
		key->part[key->count++].kind = RATE_KEY_CLAIM;
	else {
		conf_complain(r, text, "'" SPAN_FMT "' is not a key", SPAN_ARG(text));
		conf_hint(r, "allowed: client_ip, header:NAME, cookie:NAME, jwt:CLAIM, route");
		return false;
	}
	return true;
}

static struct span cookie(const struct exchange *ex, struct span name)
{
	for (unsigned i = 0; i < ex->request.fields.count; i++) {
		struct span rest = ex->request.fields.at[i].value, one;
		if (ex->request.fields.at[i].id != FIELD_COOKIE)
			continue;
		while (span_next(&rest, ';', &one))
			if (one.len > name.len && one.at[name.len] == '=' && span_starts(one, name))
				return span_from(one, name.len + 1);
	}
	return SPAN_NONE;
}

/* `prefix` has room for the 8 bytes of a /64. */
static struct span client(const struct exchange *ex, unsigned char prefix[16])
{
	char text[INET6_ADDRSTRLEN];
	struct span a = ex->client_address;
	if (a.len >= sizeof(text) || !a.len || !memchr(a.at, ':', a.len))
		return a;
	memcpy(text, a.at, a.len);
	text[a.len] = '\0';
	return inet_pton(AF_INET6, text, prefix) == 1 ? (struct span){ (const char *)prefix, 8 } : a;
}

/* Empty: this request has none. `prefix` has room for the 8 bytes of a /64. */
static struct span part_of(const struct rate_key *key, unsigned i, const struct exchange *ex, unsigned char prefix[16])
{
	const struct field *f;
	switch (key->part[i].kind) {
	case RATE_KEY_ROUTE:     return SPAN("route");
	case RATE_KEY_CLIENT_IP: return client(ex, prefix);
	case RATE_KEY_COOKIE:    return cookie(ex, key->part[i].name);
	case RATE_KEY_CLAIM:     return claims_find(ex->claims, key->part[i].name);
	case RATE_KEY_HEADER:
		f = fields_find_name(&ex->request.fields, key->part[i].name);
		return f ? f->value : SPAN_NONE;
	}
	return SPAN_NONE;
}

bool rate_key_of(const struct rate_key *key, const struct exchange *ex, uint64_t seed, struct bucket_key *out)
{
	unsigned char prefix[16];
	XXH128_hash_t hash = { seed, key->count };
	bool whole = true;

	for (unsigned i = 0; i < key->count && whole; i++) {
		struct span value = part_of(key, i, ex, prefix);
		whole = value.len > 0;
		hash = XXH3_128bits_withSeed(value.at, value.len, hash.low64 ^ hash.high64 * 31 ^ i);
	}
	if (!whole)
		hash = (XXH128_hash_t){ 0, 1 };           /* a key of its own: no hash will ever be it */
	*out = (struct bucket_key){ hash.high64, hash.low64 | (hash.high64 == 0 && hash.low64 == 0) };
	return whole;
}

bool rate_key_check(struct conf_reading *r, const struct rate_key *key, const char *row)
{
	const void *auth;
	bool claim = false;
	for (unsigned i = 0; i < key->count; i++)
		claim |= key->part[i].kind == RATE_KEY_CLAIM;
	if (!claim || !conf_beside(r, "auth", &auth) || auth_is_on(auth))
		return true;
	conf_complain_key(r, row, "a key of 'jwt:' needs 'auth.jwt' on the same route");
	conf_hint(r, "add auth: {jwt: {jwks: ..., audience: ...}} to it, or take another key");
	return false;
}

void rate_key_digest(const struct rate_key *key, const struct exchange *ex, unsigned char out[RATE_KEY_DIGEST])
{
	unsigned char prefix[16], parts[RATE_KEY_PARTS][SHA256_BYTES], whole[SHA256_BYTES];
	memset(out, 0, RATE_KEY_DIGEST);
	for (unsigned i = 0; i < key->count; i++) {
		struct span value = part_of(key, i, ex, prefix);
		if (!value.len || !digest_sha256(value, parts[i]))
			return;
	}
	if (digest_sha256((struct span){ (const char *)parts, key->count * sizeof(parts[0]) }, whole))
		memcpy(out, whole, RATE_KEY_DIGEST);
}
