/* stats.c - counters that are not there from the start. */
#include "core/stats.h"

#include <stdlib.h>

/* Most routes know two or three methods: a table for all of them would be 40 KB a route. Published with release for the scrape. */
uint64_t *route_stats_statuses(struct route_stats *s, enum method m)
{
	if (!s->requests[m]) {
		uint64_t *fresh = calloc(STATUS_SLOTS, sizeof(*fresh));
		__atomic_store_n(&s->requests[m], fresh, __ATOMIC_RELEASE);
	}
	return s->requests[m];
}

void route_stats_fini(struct route_stats *s)
{
	for (unsigned m = 0; m < METHOD_COUNT; m++)
		free(s->requests[m]);
}
