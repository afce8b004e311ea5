/* prom.h - the Prometheus text format (exposition format 0.0.4) and OpenMetrics 1.0, one line at a time. */
#ifndef SRC_APP_PROM_H
#define SRC_APP_PROM_H

#include "base/exemplar.h"
#include "base/hist.h"
#include "base/text.h"
#include "core/shared.h"

enum { PROM_BOUNDS_MAX = 32 };

/* The upper end of a histogram's buckets: so many of hist.h's are `below`; and as its lines have it, from the number on: 0.0025"} */
struct prom_bound { uint64_t us; unsigned below, len; char text[32]; };

/* Where on the page a line's name{label="value" stands, and its value there. */
struct prom_beginning { const char *name, *label; size_t at, len, value_at, value_len; };

/* The page that is being written. */
struct prom {
	struct text *out;
	bool         openmetrics;
	unsigned     bound_count;
	struct prom_beginning beginning;           /* of the last sample; name NULL: of none */
	struct prom_bound bound[PROM_BOUNDS_MAX + 1];      /* the last one is +Inf */
};

/* bound_us: ascending; bound_count 0: .001 ... 60 */
void prom_begin(struct prom *, struct text *out, bool openmetrics, const uint64_t *bound_us, unsigned bound_count);
void prom_end(struct prom *);
/* All of a family's lines must follow its head. A counter's name ends in _total. Names of families and labels are literals. */
void prom_family(struct prom *, const char *name, const char *type, const char *help);
void prom_u64(struct prom *, const char *name, const struct label *, unsigned count, uint64_t value);
void prom_seconds(struct prom *, const char *name, const struct label *, unsigned count, uint64_t us);
void prom_real(struct prom *, const char *name, const struct label *, unsigned count, double value);
/* Cumulative buckets, sum and count, in seconds. The examples may be NULL; only OpenMetrics has them. */
void prom_hist(struct prom *, const char *name, const struct label *, unsigned count, const struct hist *, const struct exemplars *);

#endif
