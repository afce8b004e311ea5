/* registry.h - all policies of this build, outermost first. The order is code, not user choice (design §5). */
#ifndef POLICY_REGISTRY_H
#define POLICY_REGISTRY_H

#include "core/policy.h"

const struct policy_type *const *policy_types(unsigned *count);
/* Their settings, for conf_load; one per block (two doors may share one). */
const struct conf_block *policy_blocks(unsigned *count);

extern const struct policy_type
	fallback_policy, deadline_policy, auth_policy, rate_limit_policy, priority_policy, respond_policy, fault_policy,
	idempotency_policy, mirror_policy, split_policy, cache_policy, shed_policy, coalesce_policy, guard_policy, retry_policy,
	hedge_policy, circuit_breaker_policy, concurrency_policy, per_try_policy, outlier_policy, balance_policy;

#endif
