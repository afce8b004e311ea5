/* jwt.h - JSON web tokens (RFC 7519, RFC 7515): what one says, and whether it holds. Everything but the signature.
 *
 * A token is believed only in this order: its three parts are strict base64url, its header names an algorithm that is allowed and nothing that
 * we would have to understand (crit), a key has signed it, and then what it claims is looked at.
 */
#ifndef SRC_POLICY_JWT_H
#define SRC_POLICY_JWT_H

#include "conf/schema.h"
#include "core/claims.h"
#include "core/keys.h"
#include "core/reason.h"

/*      word, refused as, RFC 6750 error, words for the client */
#define JWT_VERDICTS(X) \
	X(allowed,       REASON_NONE,             "",                   "") \
	X(anonymous,     REASON_NONE,             "",                   "") \
	X(no_token,      REASON_unauthorized,     "",                   "This route needs a bearer token in the field Authorization.") \
	X(too_large,     REASON_unauthorized,     "invalid_token",      "The token is too long.") \
	X(malformed,     REASON_unauthorized,     "invalid_token",      "The token is malformed.") \
	X(algorithm,     REASON_unauthorized,     "invalid_token",      "The token is signed with an algorithm that is not accepted.") \
	X(unknown_key,   REASON_unauthorized,     "invalid_token",      "The token is signed with an unknown key.") \
	X(signature,     REASON_unauthorized,     "invalid_token",      "The signature of the token is not valid.") \
	X(expired,       REASON_unauthorized,     "invalid_token",      "The token has expired.") \
	X(not_yet_valid, REASON_unauthorized,     "invalid_token",      "The token is not valid yet.") \
	X(issuer,        REASON_unauthorized,     "invalid_token",      "The token is from another issuer.") \
	X(audience,      REASON_unauthorized,     "invalid_token",      "The token is for another audience.") \
	X(claims,        REASON_forbidden,        "insufficient_scope", "The token does not allow this.") \
	X(no_keys,       REASON_keys_unavailable, "",                   "The keys that tokens are checked with are not there yet.") \
	X(no_memory,     REASON_internal_error,   "",                   "")
enum jwt_verdict {
#define X(word, reason, error, text) JWT_##word,
	JWT_VERDICTS(X)
#undef X
	JWT_VERDICT_COUNT
};
struct jwt_verdict_facts { const char *word; enum reason reason; const char *error, *text; };
const struct jwt_verdict_facts *jwt_verdict_facts(enum jwt_verdict);

enum { JWT_TOKEN_MAX = 32 * 1024, JWT_KID_MAX = 255 };

/* What must hold. The texts live longer than whoever asks. */
struct jwt_terms {
	struct conf_texts issuers, audiences; /* any of them; issuers none, audiences "*": not looked at */
	struct conf_map   claims;             /* all of them */
	unsigned          algorithms;         /* bit n: enum jws_alg n */
	uint64_t          leeway_us;
};

struct jwt_head { enum jws_alg alg; struct span payload; char kid[JWT_KID_MAX + 1]; unsigned kid_len; };

/* A token whose signature was good, and what it claims. Counted; of one thread. */
struct jwt {
	unsigned         refs;
	enum jwt_verdict verdict;             /* allowed, or claims: it holds, but for somebody else */
	uint64_t         from_ms, until_ms;   /* since 1970; the leeway is in them */
	uint64_t         serial;              /* of the keys that it was checked with */
	struct span      token;
	struct claims    claims;
	char             memory[];
};
void jwt_unref(struct jwt *);             /* NULL is harmless */

/* Parts and header; JWT_allowed, or what is wrong with them. The payload is still base64url. */
enum jwt_verdict jwt_read_head(struct span token, struct jwt_head *);
/* The claims of a token whose signature is good. JWT_allowed or JWT_claims: *out, to be given back; else what is wrong.
 * Times are not looked at: see jwt_when. */
enum jwt_verdict jwt_read_claims(struct span token, struct span payload, const struct jwt_terms *, struct jwt **out);
/* Its verdict at that moment. */
enum jwt_verdict jwt_when(const struct jwt *, uint64_t wall_ms);

#endif
