/* store.c - see store.h. */
#include "core/store.h"

#include <stddef.h>

#define X(word) #word,
static const char *const result_names[] = { STORE_RESULTS(X) };
#undef X
const char *store_result_name(enum store_result r) { return result_names[r]; }

const struct store *store_named(const struct store *stores, unsigned count, struct span name)
{
	for (unsigned i = 0; i < count; i++)
		if (span_eq(stores[i].name, name))
			return &stores[i];
	return NULL;
}
