/* jose.c - see jose.h. Immutable once it is read, so that any number of threads may use it at once: cjose and OpenSSL only look at keys.
 *
 * What cjose leaves open is decided here: a key is for one kind of algorithm (its type, its curve, its own `alg`), a signature has exactly the
 * length that its key makes, and a secret is used only if there is nothing but secrets: else a public key could be taken for one.
 */
#include "edge/jose.h"

#include <cjose/cjose.h>
#include <jansson.h>
#include <openssl/err.h>
#include <stdlib.h>

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, SECRET_BITS_MIN = 256, TRIES_MAX = 8 };

struct jose_key { cjose_jwk_t *jwk; cjose_jwk_kty_t type; size_t bits; struct span kid; bool bound; enum jws_alg alg; };       /* bound: to alg */
struct jose { struct key_set base; bool secrets; struct jose_key at[]; };

/* ── reading ── */

static struct span text_of(const json_t *json, const char *name)
{
	const json_t *value = json_object_get(json, name);
	return json_is_string(value) ? (struct span){ json_string_value(value), json_string_length(value) } : SPAN_NONE;
}

static bool is_for_checking(const json_t *json)
{
	const json_t *operations = json_object_get(json, "key_ops");
	struct span use = text_of(json, "use");
	bool verify = !operations;
	for (size_t i = 0; i < json_array_size(operations); i++) {
		const char *word = json_string_value(json_array_get(operations, i));
		verify |= word && strcmp(word, "verify") == 0;
	}
	return verify && (!use.at || span_eq(use, SPAN("sig")));
}

static bool is_strong(const struct jose_key *k)
{
	switch (k->type) {
	case CJOSE_JWK_KTY_RSA: return k->bits >= RSA_BITS_MIN && k->bits <= RSA_BITS_MAX;
	case CJOSE_JWK_KTY_OCT: return k->bits >= SECRET_BITS_MIN;
	case CJOSE_JWK_KTY_EC:  return cjose_jwk_EC_get_curve(k->jwk, NULL) != CJOSE_JWK_EC_INVALID;
	default:                return false;
	}
}

/* false: not a key for us. */
static bool read_key(json_t *json, struct jose_key *out)
{
	struct span alg = text_of(json, "alg");
	*out = (struct jose_key){ .bound = alg.at != NULL };
	if (!json_is_object(json) || !is_for_checking(json) || (alg.at && !jws_alg_of(alg, &out->alg)))
		return false;
	out->jwk = cjose_jwk_import_json((cjose_header_t *)json, NULL);
	if (!out->jwk)
		return false;
	out->type = cjose_jwk_get_kty(out->jwk, NULL);
	out->bits = cjose_jwk_get_keysize(out->jwk, NULL);
	out->kid = span_of(cjose_jwk_get_kid(out->jwk, NULL));
	if (is_strong(out))
		return true;
	cjose_jwk_release(out->jwk);
	return false;
}

static void jose_free(struct key_set *set)
{
	struct jose *j = (struct jose *)set;
	for (unsigned i = 0; i < set->count; i++)
		cjose_jwk_release(j->at[i].jwk);
	free(j);
}

/* ── checking ── */

static bool alg_is(enum jws_alg alg, enum jws_alg first, enum jws_alg last) { return alg >= first && alg <= last; }

static bool key_is_for(const struct jose *j, const struct jose_key *k, enum jws_alg alg)
{
	static const size_t secret_bits[] = { 256, 384, 512 };    /* RFC 7518 §3.2: at least as long as the hash */
	if (k->bound && k->alg != alg)
		return false;
	switch (k->type) {
	case CJOSE_JWK_KTY_RSA: return alg_is(alg, JWS_RS256, JWS_PS512);
	case CJOSE_JWK_KTY_OCT: return j->secrets && alg_is(alg, JWS_HS256, JWS_HS512) && k->bits >= secret_bits[alg - JWS_HS256];
	case CJOSE_JWK_KTY_EC:
		switch (cjose_jwk_EC_get_curve(k->jwk, NULL)) {
		case CJOSE_JWK_EC_P_256: return alg == JWS_ES256;
		case CJOSE_JWK_EC_P_384: return alg == JWS_ES384;
		case CJOSE_JWK_EC_P_521: return alg == JWS_ES512;
		default:                 return false;
		}
	default: return false;
	}
}

static size_t signature_bytes(const struct jose_key *k, enum jws_alg alg)
{
	static const size_t curve_bytes[] = { 64, 96, 132 }, hash_bytes[] = { 32, 48, 64 };
	return k->type == CJOSE_JWK_KTY_RSA ? (k->bits + 7) / 8
		: k->type == CJOSE_JWK_KTY_EC ? curve_bytes[alg - JWS_ES256] : hash_bytes[alg - JWS_HS256];
}

/* Base64url has 4 characters for 3 bytes. */
static bool has_length(struct span token, size_t bytes)
{
	const char *dot = memrchr(token.at, '.', token.len);
	return dot && (size_t)(span_end(token) - dot - 1) == (bytes * 4 + 2) / 3;
}

static bool is_signed_with(const struct jose_key *k, struct span token)
{
	cjose_jws_t *jws = cjose_jws_import(token.at, token.len, NULL);
	bool good = jws && cjose_jws_verify(jws, k->jwk, NULL);
	cjose_jws_release(jws);
	ERR_clear_error();
	return good;
}

static enum key_verdict jose_verify(const struct key_set *set, enum jws_alg alg, struct span kid, struct span token)
{
	const struct jose *j = (const struct jose *)set;
	unsigned tries = 0, fits = 0;
	bool named = false;
	for (unsigned i = 0; i < set->count && tries < TRIES_MAX; i++) {
		const struct jose_key *k = &j->at[i];
		if (kid.len && k->kid.len && !span_eq(kid, k->kid))
			continue;
		fits++;
		named |= kid.len && k->kid.len;
		if (!key_is_for(j, k, alg) || !has_length(token, signature_bytes(k, alg)))
			continue;
		if (is_signed_with(k, token))
			return KEY_FITS;
		tries++;                          /* without a kid: one token must not cost us the work of all keys */
	}
	/* Without names on both sides nobody can say whether the key is another one: then it may be a new one. */
	return fits && (named || !tries) ? KEY_FITS_NOT : KEY_UNKNOWN;
}

static const struct key_set_ops jose_ops = { jose_verify, jose_free };

struct key_set *jose_read(struct span text, struct text *why)
{
	json_error_t error;
	json_t *json = json_loadb(text.at ? text.at : "", text.len, JSON_REJECT_DUPLICATES, &error);
	const json_t *keys = json_object_get(json, "keys");
	size_t count = json_array_size(keys);
	struct jose *j = NULL;

	if (!json) {
		text_f(why, "not JSON: line %d: %s", error.line, error.text);
	} else if (!json_is_array(keys)) {
		text_add(why, SPAN("not a JSON Web Key Set: there is no list 'keys'"));
	} else if (count > JOSE_KEYS_MAX) {
		text_f(why, "%zu keys, at most %d", count, JOSE_KEYS_MAX);
	} else if (!(j = calloc(1, sizeof(*j) + count * sizeof(*j->at)))) {
		text_add(why, SPAN("out of memory"));
	} else {
		j->base = (struct key_set){ &jose_ops, 1, 0 };
		j->secrets = true;
		for (size_t i = 0; i < count; i++) {
			struct span type = text_of(json_array_get(keys, i), "kty");
			j->secrets &= span_eq(type, SPAN("oct"));
			j->base.count += read_key(json_array_get(keys, i), &j->at[j->base.count]);
		}
		ERR_clear_error();
		if (!j->base.count) {
			text_f(why, "none of its %zu keys can be used", count);
			free(j);
			j = NULL;
		}
	}
	json_decref(json);
	return j ? &j->base : NULL;
}

const char *jose_version(void) { return cjose_version(); }
