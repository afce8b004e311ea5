/* budget.h - retry budget: extra tries may be at most a share of the requests of the last ten seconds, plus a floor.
 *
 * Pure arithmetic; the caller passes the time and brings the lock. The idea is Finagle's (and linkerd's): a retry storm cannot feed itself,
 * because retries do not count as requests. Buckets of one second, ten of them; a bucket is reused when its second has passed.
 */
#ifndef SRC_POLICY_BUDGET_H
#define SRC_POLICY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum { BUDGET_SECONDS = 10 };

struct budget {
	struct { uint64_t second, requests, retries; } bucket[BUDGET_SECONDS];
};
struct budget_conf { double share; uint64_t per_second; };

void   budget_request(struct budget *, uint64_t now_us);
/* Takes one retry out of the budget, or says that it is spent. */
bool   budget_take(struct budget *, const struct budget_conf *, uint64_t now_us);
/* Puts one back that was taken a moment ago for nothing. */
void   budget_refund(struct budget *, uint64_t now_us);
/* What is left, 0..1 of what would be allowed. */
double budget_available(const struct budget *, const struct budget_conf *, uint64_t now_us);

#endif
