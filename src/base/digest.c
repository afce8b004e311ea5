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

void digest_sum_begin(struct digest_sum *d)
{
	d->state = EVP_MD_CTX_new();
	if (!d->state || EVP_DigestInit_ex(d->state, EVP_sha256(), NULL) == 1)
		return;
	EVP_MD_CTX_free(d->state);
	d->state = NULL;
}

void digest_sum_add(struct digest_sum *d, struct span s)
{
	if (!d->state || !s.len || EVP_DigestUpdate(d->state, s.at, s.len) == 1)
		return;
	EVP_MD_CTX_free(d->state);
	d->state = NULL;
}

bool digest_sum_end(struct digest_sum *d, unsigned char out[SHA256_BYTES])
{
	bool ok = d->state && EVP_DigestFinal_ex(d->state, out, NULL) == 1;
	EVP_MD_CTX_free(d->state);
	d->state = NULL;
	return ok;
}

void digest_hex(const unsigned char *bytes, unsigned count, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (unsigned i = 0; i < count; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
}
