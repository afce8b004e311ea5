/* adaptive.h - a concurrency limit that finds itself (behaviour §10). Pure: it is told how calls went, and says the limit.
 *
 *   vegas      queue = limit × (1 − best/now) requests are thought to wait inside the upstream (Brakmo, Peterson 1995; Netflix
 *              concurrency-limits): fewer than alpha, more may come; more than beta, fewer. With a guard: saturated, and more in flight
 *              do not get more done: fewer, whatever the latency says.
 *   gradient2  limit × (long-term latency ÷ latency now) + √limit
 *   aimd       + 1 a window, × 0.9 on a drop
 *
 * A window is a second and at least 50 samples; its latency is the p90. A drop (time-out, 503, 429) is × 0.9 at once, at most once per window
 * of 100 ms. It never grows while less than half of it is in use.
 */
#ifndef SRC_POLICY_ADAPTIVE_H
#define SRC_POLICY_ADAPTIVE_H

#include <stdbool.h>

#include "base/hist.h"

enum algorithm { ADAPT_VEGAS, ADAPT_GRADIENT2, ADAPT_AIMD };
struct adaptive_conf { enum algorithm algorithm; uint64_t initial, min, max; };

struct adaptive {
	struct adaptive_conf conf;
	double      limit;
	uint64_t    window_began_us, dropped_us, most_in_flight;
	struct hist window;
	double      best_us, long_us;         /* vegas; gradient2 */
	double      throughput;               /* of the window before, per second */
	uint64_t    in_flight_before;         /* the most of the window before */
	unsigned    windows;
};

void     adaptive_init(struct adaptive *, const struct adaptive_conf *, uint64_t now_us);
/* A call that ended well after `took_us`, when `in_flight` were (itself included). */
void     adaptive_sample(struct adaptive *, uint64_t now_us, uint64_t took_us, uint64_t in_flight);
void     adaptive_drop(struct adaptive *, uint64_t now_us);
uint64_t adaptive_limit(const struct adaptive *);

#endif
