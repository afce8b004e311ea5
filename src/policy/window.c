/* window.c - see window.h. A bucket is reused when its tenth of the window has passed. */
#include "window.h"

static uint64_t period_of(uint64_t width_us, uint64_t now_us) { return now_us / (width_us / WINDOW_BUCKETS + 1) + 1; }

void window_add(struct window *w, uint64_t width_us, uint64_t now_us, bool failed, bool slow)
{
	uint64_t period = period_of(width_us, now_us);
	unsigned i = (unsigned)(period % WINDOW_BUCKETS);
	if (w->bucket[i].period != period) {
		w->bucket[i].period = period;
		w->bucket[i].sum = (struct window_sum){ 0, 0, 0 };
	}
	w->bucket[i].sum.calls++;
	w->bucket[i].sum.failures += failed;
	w->bucket[i].sum.slow += slow;
}

struct window_sum window_sum(const struct window *w, uint64_t width_us, uint64_t now_us)
{
	uint64_t period = period_of(width_us, now_us);
	struct window_sum sum = { 0, 0, 0 };
	for (unsigned i = 0; i < WINDOW_BUCKETS; i++)
		if (w->bucket[i].period && w->bucket[i].period <= period && w->bucket[i].period + WINDOW_BUCKETS > period) {
			sum.calls += w->bucket[i].sum.calls;
			sum.failures += w->bucket[i].sum.failures;
			sum.slow += w->bucket[i].sum.slow;
		}
	return sum;
}
