/* hist.h - latency histogram: base-2 exponential, 8 linear buckets an octave (error <= 6.25 %), microseconds.
 *
 * One writer (plain relaxed stores), any readers (relaxed loads): a scrape never stops a data thread.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdint.h>

enum { HIST_OCTAVES = 40, HIST_SUB = 8, HIST_BUCKETS = HIST_OCTAVES * HIST_SUB };

struct hist { uint64_t count, sum_us; uint64_t bucket[HIST_BUCKETS]; };

/* Counters that another thread reads: a plain add for the one writer, without a lock prefix, and no tearing. */
static inline void     counter_add(uint64_t *c, uint64_t n) { __atomic_store_n(c, __atomic_load_n(c, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED); }
static inline uint64_t counter_get(const uint64_t *c) { return __atomic_load_n(c, __ATOMIC_RELAXED); }

unsigned hist_bucket(uint64_t us);
uint64_t hist_bucket_top_us(unsigned bucket);                      /* largest value that falls into it */
void     hist_add(struct hist *, uint64_t us);
void     hist_merge(struct hist *into, const struct hist *from);   /* adds a snapshot of `from` */
uint64_t hist_quantile_us(const struct hist *, double q);          /* 0 < q < 1; 0 when empty */
uint64_t hist_count_below(const struct hist *, uint64_t us);       /* for cumulative exposition: values <= us, bucket-exact */

#endif
