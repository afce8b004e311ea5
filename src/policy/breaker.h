/* breaker.h - the state machine of a circuit breaker (Nygard, Release It!; behaviour §1). Pure: no clock, no loop, no lock.
 *
 *   CLOSED ──too many failures──▶ OPEN ──open_for is over──▶ HALF_OPEN ──all probes went well──▶ CLOSED
 *                                  ▲                             │
 *                                  └──── one failed, or hangs ───┘        open_for is doubled then
 *   FORCED_OPEN, DISABLED: an operator's word; left by the operator only.
 *
 * Always true: each change of state begins a new generation, and a result counts only in the generation that its permit was given in.
 */
#ifndef SRC_POLICY_BREAKER_H
#define SRC_POLICY_BREAKER_H

#include "window.h"

#define BREAKER_STATES(X) X(closed) X(open) X(half_open) X(forced_open) X(disabled)
#define BREAKER_CAUSES(X) X(consecutive) X(failure_rate) X(slow_rate) X(probe_failed) X(probe_expired) X(admin) X(open_for_over) X(recovered)
#define BREAKER_RESULTS(X) X(ok) X(failed) X(slow) X(ignored) X(refused)
enum breaker_state {
#define X(word) BREAKER_##word,
	BREAKER_STATES(X)
#undef X
	BREAKER_STATE_COUNT
};
enum breaker_cause {
#define X(word) CAUSE_##word,
	BREAKER_CAUSES(X)
#undef X
	BREAKER_CAUSE_COUNT
};
enum breaker_result {
#define X(word) RESULT_##word,
	BREAKER_RESULTS(X)
#undef X
	BREAKER_RESULT_COUNT
};
const char *breaker_state_name(enum breaker_state);
const char *breaker_cause_name(enum breaker_cause);
const char *breaker_result_name(enum breaker_result);

struct breaker_conf {
	uint64_t window_us, min_requests, consecutive_failures;
	double   failure_rate, slow_rate;
	uint64_t slow_us;                     /* 0: slowness does not count */
	uint64_t open_for_us, max_open_for_us, half_open_requests, probe_timeout_us, ramp_us;
};

struct breaker_permit { uint64_t generation, begun_us; bool probe; };

/* How a call went. `weak`: counts in the rate, never in a row (a 429). retry_after_us: what the reply asked for. */
struct breaker_outcome { bool failed, weak, expired; uint64_t took_us, retry_after_us; };

struct breaker_change { enum breaker_state from, to; enum breaker_cause cause; struct window_sum sum; uint64_t consecutive, open_for_us; };
enum { BREAKER_CHANGES_MAX = 4 };

struct breaker {
	struct breaker_conf conf;
	enum breaker_state  state;
	uint64_t generation, consecutive;
	struct window window;
	uint64_t open_for_us;                 /* of the next opening, without jitter; 0: conf.open_for_us */
	uint64_t open_until_us;
	uint64_t closed_us;                   /* when it last closed after an opening: recovery_ramp; 0: never */
	uint64_t probes, probes_ok;           /* given out (and not given back), and gone well, in this HALF_OPEN */
	uint64_t probing_since_us;            /* the first of them */
	uint64_t transitions[BREAKER_STATE_COUNT][BREAKER_CAUSE_COUNT], results[BREAKER_RESULT_COUNT];
	struct breaker_change change[BREAKER_CHANGES_MAX]; unsigned changes;  /* news: whoever holds the lock takes and tells them */
};

void breaker_init(struct breaker *, const struct breaker_conf *);
/* Other parameters: the state stays, the window begins anew. */
void breaker_adapt(struct breaker *, const struct breaker_conf *);
/* What a successor should know after a crash. The window begins anew, probes under way are forgotten, and no permit of before counts. */
struct breaker_saved { uint64_t state, consecutive, open_for_us, open_until_us, closed_us, transitions[BREAKER_STATE_COUNT][BREAKER_CAUSE_COUNT]; };
void breaker_save(const struct breaker *, struct breaker_saved *);
bool breaker_restore(struct breaker *, const struct breaker_saved *);      /* false: that cannot be true; nothing was changed */
/* What time alone changes. Every other function does it first. */
void breaker_tick(struct breaker *, uint64_t now_us, double chance);
/* chance: 0 <= random < 1. false: refused; *wait_us says for how long at least. */
bool breaker_admit(struct breaker *, uint64_t now_us, double chance, struct breaker_permit *, uint64_t *wait_us);
void breaker_record(struct breaker *, uint64_t now_us, double chance, const struct breaker_permit *, const struct breaker_outcome *);
/* The permit comes back without a result: nothing is known about the upstream. */
void breaker_give_back(struct breaker *, const struct breaker_permit *);
/* An operator's word: FORCED_OPEN, DISABLED, or CLOSED (automatic again, with a clean slate). */
void breaker_force(struct breaker *, uint64_t now_us, enum breaker_state);

#endif
