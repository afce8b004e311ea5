/* rate_key.h - whose allowance a request uses up: client_ip, header:NAME, cookie:NAME, jwt:CLAIM, route, or several of them together. */
#ifndef SRC_POLICY_RATE_KEY_H
#define SRC_POLICY_RATE_KEY_H

#include "bucket_table.h"
#include "core/exchange.h"

enum { RATE_KEY_PARTS = 4 };
enum rate_key_kind { RATE_KEY_ROUTE, RATE_KEY_CLIENT_IP, RATE_KEY_HEADER, RATE_KEY_COOKIE, RATE_KEY_CLAIM };
struct rate_key { struct { enum rate_key_kind kind; struct span name; } part[RATE_KEY_PARTS]; unsigned count; };

/* As conf_key.read. */
bool rate_key_read(struct conf_reading *, struct rate_key *, struct span text, unsigned index);
/* false: some part yields nothing for this request; *out is then the one key that all such requests share. */
bool rate_key_of(const struct rate_key *, const struct exchange *, uint64_t seed, struct bucket_key *out);
/* In the check of a block that has such a key in this row: claims are there only behind `auth`. */
bool rate_key_check(struct conf_reading *, const struct rate_key *, const char *row);

/* The same for all processes, and not to be forged: begins SHA-256. All zeros: some part yields nothing. */
enum { RATE_KEY_DIGEST = 16 };
void rate_key_digest(const struct rate_key *, const struct exchange *, unsigned char out[RATE_KEY_DIGEST]);

#endif
