/* rate_key.c - see rate_key.h. */
#include "rate_key.h"

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
	struct span claim = span_starts(text, SPAN("jwt:")) ? span_from(text, 4) : SPAN_NONE;
	struct request_key of = { .name = claim };
	if (span_eq(text, SPAN("route")))
		key->part[key->count++].kind = RATE_KEY_ROUTE;
	else if (claim.len || request_key_read(&of, text)) {
		key->part[key->count].kind = claim.len ? RATE_KEY_CLAIM : RATE_KEY_REQUEST;
		key->part[key->count++].of = of;
	} else {
		conf_complain(r, text, "'" SPAN_FMT "' is not a key", SPAN_ARG(text));
		conf_hint(r, "allowed: client_ip, header:NAME, cookie:NAME, jwt:CLAIM, route");
		return false;
	}
	return true;
}

/* Empty: this request has none. */
static struct span part_of(const struct rate_key *key, unsigned i, const struct exchange *ex, unsigned char room[REQUEST_KEY_ROOM])
{
	switch (key->part[i].kind) {
	case RATE_KEY_ROUTE:   return SPAN("route");
	case RATE_KEY_CLAIM:   return claims_find(ex->claims, key->part[i].of.name);
	case RATE_KEY_REQUEST: return request_key_of(&key->part[i].of, &ex->request, ex->client_address, room);
	}
	return SPAN_NONE;
}

bool rate_key_of(const struct rate_key *key, const struct exchange *ex, uint64_t seed, struct bucket_key *out)
{
	unsigned char prefix[REQUEST_KEY_ROOM];
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
	unsigned char prefix[REQUEST_KEY_ROOM], parts[RATE_KEY_PARTS][SHA256_BYTES], whole[SHA256_BYTES];
	memset(out, 0, RATE_KEY_DIGEST);
	for (unsigned i = 0; i < key->count; i++) {
		struct span value = part_of(key, i, ex, prefix);
		if (!value.len || !digest_sha256(value, parts[i]))
			return;
	}
	if (digest_sha256((struct span){ (const char *)parts, key->count * sizeof(parts[0]) }, whole))
		memcpy(out, whole, RATE_KEY_DIGEST);
}
