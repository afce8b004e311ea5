/* idem_key.h - what an Idempotency-Key is, whom it belongs to, and which request it was first used with. */
#ifndef SRC_POLICY_IDEM_KEY_H
#define SRC_POLICY_IDEM_KEY_H

#include "base/digest.h"
#include "core/exchange.h"

enum { IDEM_KEY_MAX = 255, IDEM_DIGEST = SHA256_BYTES };
enum idem_key_found { IDEM_KEY_NONE, IDEM_KEY_BAD, IDEM_KEY_FOUND };

/* The field is a string of RFC 8941 ("abc", with parameters that mean nothing here) or a bare token (abc): the same key, of 1 to 255 bytes. */
struct idem_key { char text[IDEM_KEY_MAX]; unsigned len; };
enum idem_key_found idem_key_read(const struct fields *, struct idem_key *);
/* Key and credential: issuer and subject of a verified token, which is renewed more often than a request is repeated; else the Authorization
 * fields as they are. false: no memory. */
bool idem_key_scope(const struct idem_key *, const struct exchange *, unsigned char out[IDEM_DIGEST]);
/* Method, host, target, length where it is known, and the first `most` bytes of the body, which are in request_body.held. false: no memory. */
bool idem_key_fingerprint(const struct exchange *, size_t most, unsigned char out[IDEM_DIGEST]);

#endif
