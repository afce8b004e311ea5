/* retry_budget.h - the budget that all extra tries at one upstream are paid from, retries and hedges together: one per upstream and process. */
#ifndef SRC_POLICY_RETRY_BUDGET_H
#define SRC_POLICY_RETRY_BUDGET_H

#include "budget.h"
#include "core/exchange.h"
#include "core/shared.h"

struct retry_budget;

/* This route's share and floor; the requests and tries that they are held against are all of the upstream's. */
struct budget_conf retry_budget_conf(const struct policy_env *);
struct retry_budget *retry_budget_take(struct shared *, struct span upstream, const struct budget_conf *);     /* give back: shared_give */
void retry_budget_request(struct retry_budget *, uint64_t now_us);
bool retry_budget_pay(struct retry_budget *, const struct budget_conf *, uint64_t now_us);
void retry_budget_refund(struct retry_budget *, uint64_t now_us);              /* what was paid for did not take place */

/* Is a trusted proxy in front making extra tries already? Then we make none: they would multiply. */
bool retried_in_front(const struct exchange *);

#endif
