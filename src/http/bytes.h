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

/* The first control byte (HTAB is none) at or behind p, or end. Eight bytes at a time: a byte below 0x20 or equal to 0x7f
 * sets its top bit in `odd`; HTABs do too and are sorted out one by one, which is rare. */
static inline const char *control_or_end(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;

	for (; end - p >= 8; p += 8) {
		uint64_t w, del, odd;

		memcpy(&w, p, 8);
		del = w ^ ones * 0x7f;
		odd = (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops;
		if (!odd)
			continue;
		for (int i = 0; i < 8; i++)
			if (byte_is(p[i], BYTE_CONTROL))
				return p + i;
	}
	while (p < end && !byte_is(*p, BYTE_CONTROL))
		p++;
	return p;
}

#endif
