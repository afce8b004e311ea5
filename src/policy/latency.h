/* latency.h - how long things have taken lately, as quantiles. Pure: the time is a parameter.
 *
 * Two histograms: one that fills, and the one before it. The filling one is full when it is ten seconds old and has a hundred samples, or five
 * minutes old whatever it has. So an answer rests on ten seconds or more where there is traffic, and on nothing older than ten minutes.
 */
#ifndef SRC_POLICY_LATENCY_H
#define SRC_POLICY_LATENCY_H

#include <stdbool.h>

#include "base/hist.h"

enum { LATENCY_ENOUGH = 100, LATENCY_HALF_US = 10000000, LATENCY_STALE_US = 300000000, LATENCY_KEEP_US = 100000 };

struct latency {
	struct hist now, before;
	uint64_t    since_us;                 /* `now` began then; 0: never                     */
	double      kept_q;                   /* the answer is kept for a tenth of a second ... */
	uint64_t    kept_us, kept_until_us;
};

void latency_add(struct latency *, uint64_t now_us, uint64_t us);
/* 0: fewer than LATENCY_ENOUGH samples. 0 < q < 1. */
uint64_t latency_quantile_us(struct latency *, uint64_t now_us, double q);
uint64_t latency_samples(const struct latency *);

#endif
