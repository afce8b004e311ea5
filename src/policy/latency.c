/* latency.c - see latency.h. */
#include "latency.h"

#include <string.h>

static void grow_older(struct latency *l, uint64_t now_us)
{
	/* the callers' clocks are those of several workers: one may be a little behind */
	uint64_t age_us = l->since_us && now_us > l->since_us ? now_us - l->since_us : 0;
	if (!l->since_us)
		l->since_us = now_us;
	if (age_us < LATENCY_HALF_US || (l->now.count < LATENCY_ENOUGH && age_us < LATENCY_STALE_US))
		return;
	l->before = l->now;
	memset(&l->now, 0, sizeof(l->now));
	l->since_us = now_us;
	if (age_us >= 2 * (uint64_t)LATENCY_STALE_US)
		memset(&l->before, 0, sizeof(l->before));
}

void latency_add(struct latency *l, uint64_t now_us, uint64_t us)
{
	grow_older(l, now_us);
	hist_add(&l->now, us);
}

uint64_t latency_samples(const struct latency *l) { return l->now.count + l->before.count; }

uint64_t latency_quantile_us(struct latency *l, uint64_t now_us, double q)
{
	grow_older(l, now_us);
	if (latency_samples(l) < LATENCY_ENOUGH)
		return 0;
	if (now_us < l->kept_until_us && q == l->kept_q)
		return l->kept_us;
	struct hist both = l->before;
	hist_merge(&both, &l->now);
	l->kept_q = q;
	l->kept_until_us = now_us + LATENCY_KEEP_US;
	l->kept_us = hist_quantile_us(&both, q);
	return l->kept_us;
}
