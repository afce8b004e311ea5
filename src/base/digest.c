/* digest.c - see digest.h. */
#include "base/digest.h"

#include <openssl/evp.h>

static bool digest(struct span s, const EVP_MD *kind, unsigned char *out)
{
	unsigned len = 0;
	return EVP_Digest(s.at ? s.at : "", s.len, out, &len, kind, NULL) == 1;
}

bool digest_sha1(struct span s, unsigned char out[SHA1_BYTES]) { return digest(s, EVP_sha1(), out); }
bool digest_sha256(struct span s, unsigned char out[SHA256_BYTES]) { return digest(s, EVP_sha256(), out); }

void digest_hex(const unsigned char *bytes, unsigned count, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (unsigned i = 0; i < count; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
}
