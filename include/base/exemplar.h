/* exemplar.h - recent examples beside a histogram: for each half octave of durations one request, by its trace.
 *
 * One writer (a data thread), any readers, no lock: a slot has a version, odd while it is written. An example stays for a second at least, so that
 * a busy thread copies an id now and then and not with each request; one that a tracer keeps (sampled) is worth more than one that it does not.
 */
#ifndef BASE_EXEMPLAR_H
#define BASE_EXEMPLAR_H

#include <stdbool.h>
#include <stdint.h>

enum {
	EXEMPLAR_FROM_BUCKET = 56,            /* of hist.h: 512 us ...                          */
	EXEMPLAR_SLOTS = 36,                  /* ... to two minutes; beyond that the ends count */
	EXEMPLAR_KEPT_MS = 1000,
	EXEMPLAR_SAMPLED_KEPT_MS = 60000,
	TRACE_ID = 32,
};

struct exemplar { uint64_t version, us, wall_ms; bool sampled; uint64_t trace_id[TRACE_ID / 8]; };   /* wall_ms 0: none */
struct exemplars { struct exemplar at[EXEMPLAR_SLOTS]; };

/* The writer's thread. */
void exemplars_note(struct exemplars *, uint64_t us, uint64_t wall_ms, const char trace_id[TRACE_ID], bool sampled);
/* Slot by slot the newer one. Any thread; `into` is the caller's own. */
void exemplars_merge(struct exemplars *into, const struct exemplars *from);

#endif
