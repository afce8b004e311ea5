/* bytes.h - which byte may stand where (RFC 9110 §5.6, RFC 9112 §3, RFC 3986), as one table and one word trick.
 *
 * Private to http/. The table is constant; nothing here reads beyond the `end` it is given.
 */
#ifndef HTTP_BYTES_H
#define HTTP_BYTES_H

#include "base/span.h"

enum {
	BYTE_TOKEN     = 1,                   /* tchar                                                                 */
	BYTE_TARGET    = 2,                   /* visible ASCII without '#'                                             */
	BYTE_AUTHORITY = 4,                   /* reg-name without '%' and ',': unreserved and most sub-delims          */
	BYTE_CONTROL   = 8,                   /* never in a value: C0 without HTAB, and DEL                            */
	BYTE_QUOTED    = 16,                  /* qdtext: inside a quoted string, without '"' and '\'                   */
	BYTE_UNRESERVED = 32,                 /* RFC 3986 §2.3: the same with and without %-escape                      */
};
extern const uint8_t http_bytes[256];

static inline bool byte_is(char c, unsigned kind) { return http_bytes[(unsigned char)c] & kind; }

/* -1: not a hex digit. */
static inline int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Eight bytes with the first in the lowest place, whatever the machine's order. */
static inline uint64_t word_at(const char *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(w) : w;
}

/* The first control byte (HTAB is none) at or behind p, or end. Eight bytes at a time: a byte below 0x20 or equal to 0x7f sets
 * its top bit in `odd`, of which the lowest is always true (borrows only spoil those above). HTABs are stepped over. */
static inline const char *control_or_end(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;

	while (end - p >= 8) {
		uint64_t w = word_at(p), del = w ^ ones * 0x7f;
		uint64_t odd = (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops;

		if (!odd) {
			p += 8;
			continue;
		}
		p += __builtin_ctzll(odd) >> 3;
		if (*p != '\t')
			return p;
		p++;
	}
	while (p < end && !byte_is(*p, BYTE_CONTROL))
		p++;
	return p;
}

/* The first LF at or behind p, or NULL. Header lines are short: a call of memchr costs more than it saves. */
static inline const char *line_feed(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;

	for (; end - p >= 8; p += 8) {
		uint64_t w = word_at(p) ^ ones * '\n', zero = (w - ones) & ~w & tops;

		if (zero)
			return p + (__builtin_ctzll(zero) >> 3);
	}
	for (; p < end; p++)
		if (*p == '\n')
			return p;
	return NULL;
}

/* Copies a few bytes without a call: most names and values are shorter than 32 bytes. Returns the place behind the copy. */
static inline char *put_bytes(char *to, const char *from, size_t n)
{
	if (n >= 32 || n < 4) {
		if (n)
			memcpy(to, from, n);
	} else if (n >= 16) {
		memcpy(to, from, 16);
		memcpy(to + n - 16, from + n - 16, 16);
	} else if (n >= 8) {
		memcpy(to, from, 8);
		memcpy(to + n - 8, from + n - 8, 8);
	} else {
		memcpy(to, from, 4);
		memcpy(to + n - 4, from + n - 4, 4);
	}
	return to + n;
}

/* The first byte at or behind p that is no tchar. The caller vouches for three more bytes behind that one. */
static inline const char *behind_token(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	while (http_bytes[u[0]] & http_bytes[u[1]] & http_bytes[u[2]] & http_bytes[u[3]] & BYTE_TOKEN)
		u += 4;
	while (http_bytes[*u] & BYTE_TOKEN)
		u++;
	return (const char *)u;
}

#endif
