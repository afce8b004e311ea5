/* unit.h - what every unit test of core and policy includes: cmocka (which wants these headers before it) and the rig. */
#ifndef RIG_UNIT_H
#define RIG_UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "simple.h"

#define assert_span(got, text) assert_span_at((got), (text), __FILE__, __LINE__)
static inline void assert_span_at(struct span got, const char *text, const char *file, int line)
{
	if (span_eq(got, span_of(text)))
		return;
	print_error("'" SPAN_FMT "' is not '%s'\n", SPAN_ARG(got), text);
	_fail(file, line);
}

#define ms(n) ((uint64_t)(n) * 1000)

#endif
