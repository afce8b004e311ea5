/* unit.h - what every unit test of core and policy includes: cmocka (which wants these headers before it) and the rig. */
#ifndef RIG_UNIT_H
#define RIG_UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "simple.h"

#define assert_span(span, text) do { \
		struct span got_ = (span); \
		assert_int_equal(got_.len, strlen(text)); \
		assert_memory_equal(got_.len ? got_.at : "", text, got_.len); \
	} while (0)
#define ms(n) ((uint64_t)(n) * 1000)

#endif
