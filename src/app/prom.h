/* prom.h - the Prometheus text format (exposition format 0.0.4), one line at a time. */
#ifndef SRC_APP_PROM_H
#define SRC_APP_PROM_H

#include "base/hist.h"
#include "base/text.h"
#include "core/shared.h"

/* All of a family's lines must follow its head. */
void prom_family(struct text *, const char *name, const char *type, const char *help);
void prom_u64(struct text *, const char *name, const struct label *, unsigned count, uint64_t value);
void prom_seconds(struct text *, const char *name, const struct label *, unsigned count, uint64_t us);
void prom_real(struct text *, const char *name, const struct label *, unsigned count, double value);
/* Cumulative buckets .001 ... 60, sum and count, in seconds. At most 7 labels. */
void prom_hist(struct text *, const char *name, const struct label *, unsigned count, const struct hist *);

#endif
