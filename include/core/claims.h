/* claims.h - what a verified token says about whoever sent it, as plain text: for rate limits, fields for the upstream, logs.
 *
 * Text, numbers and booleans as they are written in JSON, lists of them joined by commas, members of objects as "outer.inner".
 */
#ifndef CORE_CLAIMS_H
#define CORE_CLAIMS_H

#include "base/span.h"

struct claim { struct span name, value; };
struct claims { const struct claim *at; unsigned count; };

/* SPAN_NONE: there is none of that name. `claims` may be NULL. */
static inline struct span claims_find(const struct claims *claims, struct span name)
{
	for (unsigned i = 0; claims && i < claims->count; i++)
		if (span_eq(claims->at[i].name, name))
			return claims->at[i].value;
	return SPAN_NONE;
}

#endif
