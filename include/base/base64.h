/* base64.h - base64url as JOSE wants it (RFC 7515 §2): no padding, no blanks, and only the one way to write each run of bytes. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/span.h"

/* Room that decoding `len` characters needs at most. */
#define BASE64URL_BYTES(len) ((len) / 4 * 3 + 2)

/* false: not base64url to the letter; *len is then untouched. `out` has BASE64URL_BYTES(text.len) bytes. */
bool base64url_decode(struct span text, char *out, size_t *len) __attribute__((warn_unused_result));

#endif
