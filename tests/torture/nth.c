/* nth.c - see nth.h. */
#include "nth.h"

#include <stdbool.h>
#include <stdlib.h>

static struct { bool armed; uint64_t seen, from, times; } nth;

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);

void nth_arm(uint64_t from, uint64_t times)
{
	nth.armed = true;
	nth.seen = 0;
	nth.from = from;
	nth.times = times;
}

uint64_t nth_disarm(void)
{
	nth.armed = false;
	return nth.seen;
}

static bool fails(void)
{
	if (!nth.armed)
		return false;
	nth.seen++;
	return nth.seen >= nth.from && nth.seen - nth.from < nth.times;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
