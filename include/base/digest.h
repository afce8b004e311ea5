/* digest.h - cryptographic digests of a piece of text (OpenSSL), where a hash that can be forged will not do. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/span.h"

enum { SHA1_BYTES = 20, SHA256_BYTES = 32 };
/* false: OpenSSL has no memory. */
bool digest_sha1(struct span, unsigned char out[SHA1_BYTES]);
bool digest_sha256(struct span, unsigned char out[SHA256_BYTES]);
/* SHA-256 of what comes in pieces: begin, add ..., end. When memory is short, `end` says so. `end` gives all back, also after a failure. */
struct digest_sum { void *state; };
void digest_sum_begin(struct digest_sum *);
void digest_sum_add(struct digest_sum *, struct span);
bool digest_sum_end(struct digest_sum *, unsigned char out[SHA256_BYTES]);
/* Two lower-case digits a byte, no NUL behind. */
void digest_hex(const unsigned char *bytes, unsigned count, char *out);

#endif
