/* pen.h - writes a line (of the access log, of /metrics) into memory of the caller: no printf, nothing but stores. What does not fit sets `full`. */
#ifndef SRC_APP_PEN_H
#define SRC_APP_PEN_H

#include "app/access_line.h"

enum { PATH_MAX_BYTES = 2048, NAME_MAX_BYTES = 256 };

struct pen { char *p, *end; bool full; };

/* Inlined by force: with a length known to the compiler a copy is a few stores, and a call would cost more than them. */
static inline __attribute__((always_inline)) void put(struct pen *pen, const char *at, size_t len)
{
	if ((size_t)(pen->end - pen->p) < len) {
		pen->full = true;
		return;
	}
	memcpy(pen->p, at, len);
	pen->p += len;
}
#define PUT(pen, literal) put(pen, "" literal, sizeof(literal) - 1)
static inline void put_word(struct pen *pen, const char *word) { put(pen, word, strlen(word)); }

static inline void put_u64(struct pen *pen, uint64_t v)
{
	char digits[20];
	put(pen, digits, u64_to_text(v, digits));
}

/* At most `max` bytes of s, as they stand in a JSON string. */
void put_escaped(struct pen *, struct span s, size_t max);
/* Milliseconds, to the microsecond: 48.213, 0.4, 12 */
void put_ms(struct pen *, uint64_t us);
/* "2026-11-20T23:12:04.123", without the first `skip` characters. The calendar is asked once a second. */
void put_time(struct pen *, struct access_clock *, uint64_t wall_ms, size_t skip);
/* The clock's text is that of this second. */
void clock_set(struct access_clock *, uint64_t second);

#endif
