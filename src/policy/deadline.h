/* deadline.h - private: the settings that the doors `deadline` and `per_try` share. */
#ifndef SRC_POLICY_DEADLINE_H
#define SRC_POLICY_DEADLINE_H

#include "core/policy.h"

struct deadline_conf {
	uint64_t timeout_us, per_try_us, idle_us;
	struct { struct conf_texts accept; struct span emit; uint64_t max_us; } header;
};
extern const struct conf_block deadline_block;

#endif
