/* ewma.h - how long an endpoint takes to answer: an average that fades with time, and believes a peak at once (peak EWMA, as in Finagle).
 *
 * So a slow answer drives requests away the moment it is seen, and they come back over some ten seconds. The two numbers live in the endpoint and
 * are shared by all workers as relaxed atomics; a lost race costs one sample.
 */
#ifndef SRC_POLICY_EWMA_H
#define SRC_POLICY_EWMA_H

#include <stdint.h>

enum { EWMA_FADE_US = 10000000, EWMA_FAILED_NS = 100000000 };     /* FAILED: what a failure costs at least */
#define EWMA_MAX_NS 60000000000u

struct ewma { uint64_t ns, at_us; };          /* at_us 0: nothing is known yet */

uint64_t ewma_now(struct ewma, uint64_t now_us);                           /* faded until now, in ns */
struct ewma ewma_answered(struct ewma, uint64_t now_us, uint64_t took_us);
/* A failure, however quick, is worse than any answer: twice as slow as it has been. */
struct ewma ewma_failed(struct ewma, uint64_t now_us, uint64_t took_us);
/* Nobody waited for its answer any longer: it takes at least so long. Of whom nothing was known, a short wait says nothing. */
struct ewma ewma_unanswered(struct ewma, uint64_t now_us, uint64_t waited_us);

/* What one more request there would cost. Of whom nothing is known gets one request at a time, until it has answered: a new endpoint is not
 * flooded. */
double ewma_cost(struct ewma, uint64_t now_us, uint64_t in_flight, uint64_t weight);

#endif
