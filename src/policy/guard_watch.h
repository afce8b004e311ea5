/* guard_watch.h - is this version worse than that one? Results and latencies of a sliding window, and the rule. Pure; the caller has the lock. */
#ifndef SRC_POLICY_GUARD_WATCH_H
#define SRC_POLICY_GUARD_WATCH_H

#include "base/hist.h"
#include "window.h"

/* How long replies took, in ten tenths of a window. */
struct latencies { struct { uint64_t period; uint32_t count[HIST_BUCKETS]; } tenth[WINDOW_BUCKETS]; };
struct watch { struct window results; struct latencies latencies; };
struct watch_sum { uint64_t calls, failures, p95_us; };            /* p95_us 0: nothing took any time */

struct guard_limits { uint64_t window_us, min_requests; double max_error_delta, max_p95_ratio; };       /* ratio 0: latency is not looked at */

#define GUARD_CAUSES(X) X(errors) X(latency)
enum guard_cause {
	GUARD_FINE,
#define X(word) GUARD_##word,
	GUARD_CAUSES(X)
#undef X
};
const char *guard_cause_name(enum guard_cause);                    /* GUARD_FINE: "" */

/* The width of the window must not change while there is something in it. took_us UINT64_MAX: it has none. */
void watch_add(struct watch *, uint64_t width_us, uint64_t now_us, bool failed, uint64_t took_us);
struct watch_sum watch_sum(const struct watch *, uint64_t width_us, uint64_t now_us);
struct watch_sum watch_counts(const struct watch *, uint64_t width_us, uint64_t now_us);       /* without p95_us, which is what costs */
/* Says nothing before both have min_requests. */
enum guard_cause guard_judge(const struct guard_limits *, const struct watch_sum *canary, const struct watch_sum *compare);

#endif
