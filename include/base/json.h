/* json.h - append-only JSON writer (RFC 8259) over a text. Commas and escapes are its business; nesting is bounded.
 * Bytes that are not UTF-8 are written as U+FFFD, so the output is always valid. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/text.h"

struct json { struct text *out; unsigned depth; bool need_comma; };

void json_init(struct json *, struct text *);
/* key == NULL inside arrays and at the top. */
void json_open(struct json *, const char *key, char bracket);      /* '{' or '[' */
void json_close(struct json *, char bracket);                      /* '}' or ']' */
void json_span(struct json *, const char *key, struct span value);
void json_text(struct json *, const char *key, const char *value); /* NULL writes null */
void json_u64(struct json *, const char *key, uint64_t value);
void json_i64(struct json *, const char *key, int64_t value);
void json_fixed(struct json *, const char *key, double value, int decimals);   /* NaN and infinity write null */
void json_bool(struct json *, const char *key, bool value);
void json_raw(struct json *, const char *key, struct span json);   /* what is JSON already */
void json_escape(struct text *, struct span value);                /* the inside of a string, without the quotes */

#endif
