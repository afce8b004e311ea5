/* guard_watch.c - see guard_watch.h. Both versions are seen through the same window, so that what ails both says nothing about one. */
#include "guard_watch.h"

#include <string.h>

const char *guard_cause_name(enum guard_cause c)
{
	static const char *const names[] = {
		"",
#define X(word) #word,
		GUARD_CAUSES(X)
#undef X
	};
	return names[c];
}

/* As in window.c, so that a result and its latency leave together. */
static uint64_t period_of(uint64_t width_us, uint64_t now_us) { return now_us / (width_us / WINDOW_BUCKETS + 1) + 1; }

void watch_add(struct watch *w, uint64_t width_us, uint64_t now_us, bool failed, uint64_t took_us)
{
	uint64_t period = period_of(width_us, now_us);
	unsigned i = (unsigned)(period % WINDOW_BUCKETS);

	window_add(&w->results, width_us, now_us, failed, false);
	if (took_us == UINT64_MAX)
		return;
	if (w->latencies.tenth[i].period != period) {
		memset(w->latencies.tenth[i].count, 0, sizeof(w->latencies.tenth[i].count));
		w->latencies.tenth[i].period = period;
	}
	w->latencies.tenth[i].count[hist_bucket(took_us)]++;
}

static uint64_t p95_us(const struct latencies *l, uint64_t width_us, uint64_t now_us)
{
	uint64_t period = period_of(width_us, now_us);
	struct hist all = { 0 };

	for (unsigned t = 0; t < WINDOW_BUCKETS; t++) {
		if (!l->tenth[t].period || l->tenth[t].period > period || l->tenth[t].period + WINDOW_BUCKETS <= period)
			continue;
		for (unsigned i = 0; i < HIST_BUCKETS; i++)
			all.bucket[i] += l->tenth[t].count[i];
	}
	return hist_quantile_us(&all, 0.95);
}

struct watch_sum watch_counts(const struct watch *w, uint64_t width_us, uint64_t now_us)
{
	struct window_sum sum = window_sum(&w->results, width_us, now_us);
	return (struct watch_sum){ sum.calls, sum.failures, 0 };
}

struct watch_sum watch_sum(const struct watch *w, uint64_t width_us, uint64_t now_us)
{
	struct watch_sum sum = watch_counts(w, width_us, now_us);
	sum.p95_us = p95_us(&w->latencies, width_us, now_us);
	return sum;
}

static double rate(const struct watch_sum *s) { return (double)s->failures / (double)s->calls; }

enum guard_cause guard_judge(const struct guard_limits *limits, const struct watch_sum *canary, const struct watch_sum *compare)
{
	if (canary->calls < limits->min_requests || compare->calls < limits->min_requests)
		return GUARD_FINE;
	if (rate(canary) > rate(compare) + limits->max_error_delta)
		return GUARD_errors;
	if (limits->max_p95_ratio > 0 && compare->p95_us && (double)canary->p95_us > (double)compare->p95_us * limits->max_p95_ratio)
		return GUARD_latency;
	return GUARD_FINE;
}
