/* circuit_breaker.h - what an operator can tell the breaker of an upstream. */
#ifndef POLICY_CIRCUIT_BREAKER_H
#define POLICY_CIRCUIT_BREAKER_H

#include "core/shared.h"

/* state: "forced_open", "closed" (never opens), or "auto" (closed, with a clean slate). */
enum breaker_answer { BREAKER_SET, BREAKER_NO_SUCH_STATE, BREAKER_NO_SUCH_UPSTREAM };
enum breaker_answer circuit_breaker_set(struct shared *, struct span upstream, struct span state, uint64_t now_us);

#endif
