/* span.h - a run of bytes that somebody else owns: pointer and length, never NUL-terminated.
 *
 * A span says nothing about lifetime; the function that hands one out says how long it stays good.
 * Numbers are read from spans here and nowhere else: digits only, whole span, a limit, no overflow.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *at;
	size_t      len;
};

#define SPAN(literal)   ((struct span){ "" literal, sizeof(literal) - 1 })
#define SPAN_NONE       ((struct span){ NULL, 0 })
#define SPAN_FMT        "%.*s"
#define SPAN_ARG(s)     (int)(s).len, (s).at      /* for printf-like functions: SPAN_FMT with SPAN_ARG */

static inline struct span span_of(const char *s) { return (struct span){ s, s ? strlen(s) : 0 }; }
static inline struct span span_between(const char *from, const char *to) { return (struct span){ from, (size_t)(to - from) }; }
static inline const char *span_end(struct span s) { return s.at + s.len; }
static inline struct span span_from(struct span s, size_t n) { return (struct span){ s.at + n, s.len - n }; }
static inline struct span span_first(struct span s, size_t n) { return (struct span){ s.at, n < s.len ? n : s.len }; }

static inline bool span_eq(struct span a, struct span b) { return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0); }
static inline bool span_starts(struct span s, struct span with) { return s.len >= with.len && memcmp(s.at, with.at, with.len) == 0; }
static inline bool span_has(struct span s, char c) { return s.len && memchr(s.at, c, s.len); }

static inline char char_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }      /* ASCII only, no locale */
static inline bool char_is_digit(char c) { return c >= '0' && c <= '9'; }

bool span_eq_nocase(struct span a, struct span b);           /* ASCII case folded */
bool span_starts_nocase(struct span s, struct span with);
struct span span_trim(struct span);                          /* without leading and trailing SP and HTAB */
/* Cuts the next element off a list: what stands before `sep` is returned, trimmed; *rest moves behind it.
 * Returns false when nothing is left. "a, b,c" gives a, b, c; ",," gives three empty ones. */
bool span_next(struct span *rest, char sep, struct span *element);
/* Is `token` an element of a comma-separated list (case folded, as in Connection: or Accept-Encoding:)? */
bool span_lists(struct span list, struct span token);

/* Digits only, whole span, at least one digit, value <= max; else false and *out untouched. */
bool span_to_u64(struct span, uint64_t max, uint64_t *out);
bool span_hex_to_u64(struct span, uint64_t max, uint64_t *out);

uint64_t span_hash(struct span, uint64_t seed);              /* for tables only; seeded against collision floods */

/* Decimal digits of v into `out` (at least 20 bytes); returns how many. */
size_t u64_to_text(uint64_t v, char *out);

#endif
