/* digest.h - cryptographic digests of a piece of text (OpenSSL), where a hash that can be forged will not do. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/span.h"

enum { SHA1_BYTES = 20, SHA256_BYTES = 32 };
/* false: OpenSSL has no memory. */
bool digest_sha1(struct span, unsigned char out[SHA1_BYTES]);
bool digest_sha256(struct span, unsigned char out[SHA256_BYTES]);
/* Two lower-case digits a byte, no NUL behind. */
void digest_hex(const unsigned char *bytes, unsigned count, char *out);

#endif
