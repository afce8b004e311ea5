/*
 * wire.h - the little that the origin and the load generator of the bench both need to read.
 * Small enough to be inlined; neither program links anything else.
 */
#ifndef OUTRIGGER_BENCH_WIRE_H
#define OUTRIGGER_BENCH_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Digits only, at most `max`. */
static inline bool number_parse(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	const char *p = s;
	for (; *p >= '0' && *p <= '9' && n <= max; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	*out = n;
	return p != s && !*p && n <= max;
}

/* The value of Content-Length in a whole head [head, end), UINT64_MAX when there is none. */
static inline uint64_t content_length(const char *head, const char *end)
{
	static const char name[] = "\ncontent-length:";
	const size_t name_len = sizeof(name) - 1;
	for (const char *p = head; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
		if ((size_t)(end - p) <= name_len || strncasecmp(p, name, name_len))
			continue;
		uint64_t n = 0;
		for (p += name_len; p < end && *p == ' '; p++)
			;
		for (; p < end && *p >= '0' && *p <= '9'; p++)
			n = n * 10 + (uint64_t)(*p - '0');
		return n;
	}
	return UINT64_MAX;
}

#endif
