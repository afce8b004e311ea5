/* jwt.c - see jwt.h. The JSON of a token is read by jansson: names that stand there twice are refused, depth and size are bounded by the token's.
 */
#include "jwt.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/text.h"

enum { CLAIMS_MAX = 128, CLAIM_DEPTH = 4, CLAIM_TEXT_MAX = 32 * 1024, PART_MAX = BASE64URL_BYTES(JWT_TOKEN_MAX) };
static const double DATE_MAX_S = 253402300799.0;      /* the end of the year 9999 */

static const struct jwt_verdict_facts facts[JWT_VERDICT_COUNT] = {
#define X(word, reason, error, text) { #word, reason, error, text },
	JWT_VERDICTS(X)
#undef X
};
const struct jwt_verdict_facts *jwt_verdict_facts(enum jwt_verdict v) { return &facts[v]; }

void jwt_unref(struct jwt *jwt)
{
	if (jwt && --jwt->refs == 0)
		free(jwt);
}

/* ── the parts ── */

/* An object, or NULL. */
static json_t *read_part(struct span text)
{
	char bytes[PART_MAX];
	json_t *json = NULL;
	size_t len;
	if (text.len && text.len <= JWT_TOKEN_MAX && base64url_decode(text, bytes, &len))
		json = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

static struct span text_of(const json_t *json)
{
	return json_is_string(json) ? (struct span){ json_string_value(json), json_string_length(json) } : SPAN_NONE;
}

static enum jwt_verdict read_header(const json_t *header, struct jwt_head *out)
{
	const json_t *kid = json_object_get(header, "kid");
	struct span alg = text_of(json_object_get(header, "alg")), id = text_of(kid);

	/* b64 would change what is signed; a nested or encrypted token is not one of ours */
	if (!alg.at || json_object_get(header, "crit") || json_object_get(header, "b64") || (kid && !id.at) || id.len > JWT_KID_MAX)
		return JWT_malformed;
	memcpy(out->kid, id.len ? id.at : "", id.len);
	out->kid[id.len] = '\0';
	out->kid_len = (unsigned)id.len;
	return jws_alg_of(alg, &out->alg) ? JWT_allowed : JWT_algorithm;
}

enum jwt_verdict jwt_read_head(struct span token, struct jwt_head *out)
{
	struct span rest = token, header;
	const char *dot = memchr(rest.at, '.', rest.len);
	if (!dot || token.len > JWT_TOKEN_MAX)
		return dot ? JWT_too_large : JWT_malformed;
	header = span_between(rest.at, dot);
	rest = span_from(rest, header.len + 1);
	dot = rest.len ? memchr(rest.at, '.', rest.len) : NULL;
	if (!dot)
		return JWT_malformed;
	out->payload = span_between(rest.at, dot);
	rest = span_from(rest, out->payload.len + 1);

	/* Payload and signature are read later and by others; that they can be written in one way only is seen to here. */
	char bytes[PART_MAX];
	size_t len;
	bool ok = out->payload.len && base64url_decode(out->payload, bytes, &len) && base64url_decode(rest, bytes, &len);
	json_t *json = ok ? read_part(header) : NULL;
	enum jwt_verdict verdict = json ? read_header(json, out) : JWT_malformed;
	json_decref(json);
	return verdict;
}

/* ── what must hold ── */

/* RFC 7519 §2: seconds since 1970, maybe with a fraction. Absent is fine: *ms is untouched. */
static bool read_date(const json_t *json, uint64_t *ms)
{
	if (!json)
		return true;
	double s = json_is_number(json) ? json_number_value(json) : -1;
	if (!(s >= 0 && s <= DATE_MAX_S))
		return false;
	*ms = (uint64_t)(s * 1000);
	return true;
}

static enum jwt_verdict read_dates(const json_t *payload, uint64_t leeway_ms, struct jwt *out)
{
	uint64_t exp = 0, nbf = 0, iat = 0;
	if (!json_object_get(payload, "exp") || !read_date(json_object_get(payload, "exp"), &exp)
			|| !read_date(json_object_get(payload, "nbf"), &nbf) || !read_date(json_object_get(payload, "iat"), &iat))
		return JWT_malformed;
	uint64_t from = nbf > iat ? nbf : iat;
	out->from_ms = from > leeway_ms ? from - leeway_ms : 0;
	out->until_ms = exp + leeway_ms;
	return JWT_allowed;
}

static bool is_one_of(struct span s, const struct conf_texts *texts)
{
	for (unsigned i = 0; s.at && i < texts->count; i++)
		if (span_eq(s, texts->at[i]))
			return true;
	return false;
}

static bool audience_fits(const json_t *aud, const struct conf_texts *wanted)
{
	for (unsigned i = 0; i < wanted->count; i++)
		if (span_eq(wanted->at[i], SPAN("*")))
			return true;
	if (json_is_string(aud))
		return is_one_of(text_of(aud), wanted);
	for (size_t i = 0; i < json_array_size(aud); i++)
		if (is_one_of(text_of(json_array_get(aud, i)), wanted))
			return true;
	return false;
}

/* "outer.inner", or a name that has dots itself. */
static const json_t *claim_at(const json_t *object, struct span name, unsigned depth)
{
	const json_t *whole = json_object_getn(object, name.at, name.len);
	const char *dot = name.len && !whole && depth < CLAIM_DEPTH ? memchr(name.at, '.', name.len) : NULL;
	if (!dot)
		return whole;
	struct span outer = span_between(name.at, dot);
	const json_t *inner = json_object_getn(object, outer.at, outer.len);
	return json_is_object(inner) ? claim_at(inner, span_from(name, outer.len + 1), depth + 1) : NULL;
}

/* As it is written in JSON, without quotes. false: it is no such thing. */
static bool put_scalar(const json_t *json, struct text *out)
{
	if (json_is_string(json))
		text_add(out, text_of(json));
	else if (json_is_integer(json))
		text_f(out, "%lld", (long long)json_integer_value(json));
	else if (json_is_real(json))
		text_f(out, "%.17g", json_real_value(json));
	else if (json_is_boolean(json))
		text_add(out, json_is_true(json) ? SPAN("true") : SPAN("false"));
	else
		return false;
	return true;
}

/* Is `word` among what this says: in full; a word of a text, as in `scope`; an element of a list? */
static bool says(const json_t *json, struct span word)
{
	char memory[64];
	struct text number;
	struct span rest, one;

	for (size_t i = 0; i < json_array_size(json); i++)
		if (!json_is_array(json_array_get(json, i)) && says(json_array_get(json, i), word))
			return true;
	if (json_is_string(json)) {
		for (rest = text_of(json); span_next(&rest, ' ', &one);)
			if (span_eq(one, word))
				return true;
		return false;
	}
	text_over(&number, memory, sizeof(memory));
	return put_scalar(json, &number) && span_eq(text_span(&number), word);
}

/* "*": whatever it is; one or more words: all of them. */
static bool claim_fits(const json_t *json, struct span wanted)
{
	struct span one;
	if (!json || json_is_null(json))
		return false;
	if (span_eq(wanted, SPAN("*")) || (json_is_string(json) && span_eq(text_of(json), wanted)))
		return true;
	while (span_next(&wanted, ' ', &one))
		if (one.len && !says(json, one))
			return false;
	return true;
}

/* ── what it says, for others ── */

struct flat {
	struct text text;
	struct { size_t name, name_len, value, value_len; } at[CLAIMS_MAX];
	unsigned count;
	bool     full;
	char     memory[CLAIM_TEXT_MAX];
};

static void put_claim(struct flat *f, struct span prefix, struct span name, const json_t *json)
{
	size_t begun = f->text.len, value;
	bool ok;
	text_add(&f->text, prefix);
	text_add(&f->text, name);
	value = f->text.len;
	ok = json_is_array(json) || put_scalar(json, &f->text);
	for (size_t i = 0; ok && i < json_array_size(json); i++) {
		if (i)
			text_char(&f->text, ',');
		ok = put_scalar(json_array_get(json, i), &f->text);
	}
	f->full |= f->text.cut || (ok && f->count == CLAIMS_MAX);
	if (!ok || f->full) {
		f->text.len = begun;
		return;
	}
	f->at[f->count].name = begun;
	f->at[f->count].name_len = value - begun;
	f->at[f->count].value = value;
	f->at[f->count++].value_len = f->text.len - value;
}

/* Plain members first: one whose name has a dot in it is found before what stands inside another. */
static void flatten(struct flat *f, json_t *object, struct span prefix, unsigned depth)
{
	const char *name;
	json_t *json;
	json_object_foreach(object, name, json)
		put_claim(f, prefix, span_of(name), json);
	json_object_foreach(object, name, json) {
		char memory[256];
		struct text t;
		if (!json_is_object(json) || depth == CLAIM_DEPTH)
			continue;
		text_over(&t, memory, sizeof(memory));
		text_add(&t, prefix);
		text_add(&t, span_of(name));
		text_char(&t, '.');
		if (!t.cut)
			flatten(f, json, text_span(&t), depth + 1);
	}
}

static struct jwt *jwt_new(struct span token, const struct flat *f)
{
	size_t list = f->count * sizeof(struct claim);
	struct jwt *jwt = calloc(1, sizeof(*jwt) + list + f->text.len + token.len);
	if (!jwt)
		return NULL;
	struct claim *claim = (struct claim *)(void *)jwt->memory;
	char *text = jwt->memory + list, *copy = text + f->text.len;
	if (f->text.len)
		memcpy(text, f->text.at, f->text.len);
	memcpy(copy, token.at, token.len);
	for (unsigned i = 0; i < f->count; i++)
		claim[i] = (struct claim){ { text + f->at[i].name, f->at[i].name_len }, { text + f->at[i].value, f->at[i].value_len } };
	jwt->refs = 1;
	jwt->token = (struct span){ copy, token.len };
	jwt->claims = (struct claims){ claim, f->count };
	return jwt;
}

static enum jwt_verdict judge(const json_t *payload, const struct jwt_terms *terms, struct jwt *jwt)
{
	enum jwt_verdict dates = read_dates(payload, terms->leeway_us / 1000, jwt);
	if (dates != JWT_allowed)
		return dates;
	if (terms->issuers.count && !is_one_of(text_of(json_object_get(payload, "iss")), &terms->issuers))
		return JWT_issuer;
	if (!audience_fits(json_object_get(payload, "aud"), &terms->audiences))
		return JWT_audience;
	for (unsigned i = 0; i < terms->claims.count; i++)
		if (!claim_fits(claim_at(payload, terms->claims.at[i].name, 0), terms->claims.at[i].value))
			return JWT_claims;
	return JWT_allowed;
}

static struct jwt *keep(struct span token, json_t *payload, enum jwt_verdict *verdict)
{
	struct flat f;                            /* not zeroed: it is large */
	f.count = 0;
	f.full = false;
	text_over(&f.text, f.memory, sizeof(f.memory));
	flatten(&f, payload, SPAN_NONE, 0);
	struct jwt *jwt = f.full ? NULL : jwt_new(token, &f);
	*verdict = f.full ? JWT_too_large : JWT_no_memory;
	return jwt;
}

enum jwt_verdict jwt_read_claims(struct span token, struct span payload, const struct jwt_terms *terms, struct jwt **out)
{
	json_t *json = read_part(payload);
	enum jwt_verdict verdict = JWT_malformed;
	struct jwt *jwt = json ? keep(token, json, &verdict) : NULL;

	if (jwt)
		verdict = jwt->verdict = judge(json, terms, jwt);
	json_decref(json);
	if (verdict == JWT_allowed || verdict == JWT_claims) {
		*out = jwt;
		return verdict;
	}
	jwt_unref(jwt);
	return verdict;
}

enum jwt_verdict jwt_when(const struct jwt *jwt, uint64_t wall_ms)
{
	return wall_ms >= jwt->until_ms ? JWT_expired : wall_ms < jwt->from_ms ? JWT_not_yet_valid : jwt->verdict;
}
