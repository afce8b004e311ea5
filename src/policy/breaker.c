/* breaker.c - see breaker.h. */
#include "breaker.h"

#include <string.h>

#define STUCK_US        ((uint64_t)10000000)      /* HALF_OPEN with probes that never come back lasts probe_timeout and this, at most */
#define RETRY_AFTER_MAX ((uint64_t)60000000)
#define JITTER          0.25
#define RAMP_FLOOR      0.05                      /* of the requests pass at the ramp's foot */
#define REFUSED_WAIT_US ((uint64_t)1000000)       /* when nobody can say how long: in HALF_OPEN, and on the ramp */

#define X(word) #word,
static const char *const state_names[] = { BREAKER_STATES(X) };
static const char *const cause_names[] = { BREAKER_CAUSES(X) };
static const char *const result_names[] = { BREAKER_RESULTS(X) };
#undef X
const char *breaker_state_name(enum breaker_state s) { return state_names[s]; }
const char *breaker_cause_name(enum breaker_cause c) { return cause_names[c]; }
const char *breaker_result_name(enum breaker_result r) { return result_names[r]; }

void breaker_init(struct breaker *b, const struct breaker_conf *conf)
{
	memset(b, 0, sizeof(*b));
	b->conf = *conf;
	b->generation = 1;
}

void breaker_adapt(struct breaker *b, const struct breaker_conf *conf)
{
	if (memcmp(&b->conf, conf, sizeof(*conf)) == 0)
		return;
	b->conf = *conf;
	b->consecutive = 0;
	memset(&b->window, 0, sizeof(b->window));
}

void breaker_save(const struct breaker *b, struct breaker_saved *s)
{
	*s = (struct breaker_saved){
		.state = b->state, .consecutive = b->consecutive, .closed_us = b->closed_us,
		.open_for_us = b->open_for_us, .open_until_us = b->open_until_us,
	};
	memcpy(s->transitions, b->transitions, sizeof(s->transitions));
}

bool breaker_restore(struct breaker *b, const struct breaker_saved *s)
{
	if (s->state >= BREAKER_STATE_COUNT || s->open_for_us > b->conf.max_open_for_us)
		return false;
	b->state = (enum breaker_state)s->state;
	b->consecutive = s->consecutive;
	b->open_for_us = s->open_for_us;
	b->open_until_us = s->open_until_us;
	b->closed_us = s->closed_us;
	memcpy(b->transitions, s->transitions, sizeof(s->transitions));
	return true;
}

static void change(struct breaker *b, enum breaker_state to, enum breaker_cause cause, uint64_t now_us, uint64_t open_for_us)
{
	if (b->changes < BREAKER_CHANGES_MAX)
		b->change[b->changes++] = (struct breaker_change){
			.from = b->state, .to = to, .cause = cause, .sum = window_sum(&b->window, b->conf.window_us, now_us),
			.consecutive = b->consecutive, .open_for_us = open_for_us,
		};
	b->transitions[to][cause]++;
	b->state = to;
	b->generation++;
	b->probes = b->probes_ok = b->probing_since_us = 0;
}

static void clean_slate(struct breaker *b)
{
	memset(&b->window, 0, sizeof(b->window));
	b->consecutive = 0;
}

/* From CLOSED with the usual open_for, from HALF_OPEN with twice the last one. */
static void open(struct breaker *b, enum breaker_cause cause, uint64_t now_us, double chance, uint64_t retry_after_us)
{
	uint64_t plain = b->state == BREAKER_half_open && b->open_for_us ? b->open_for_us * 2 : b->conf.open_for_us;
	if (plain > b->conf.max_open_for_us)
		plain = b->conf.max_open_for_us;
	b->open_for_us = plain;
	uint64_t open_for = (uint64_t)((double)plain * (1 - JITTER + 2 * JITTER * chance));
	if (retry_after_us > RETRY_AFTER_MAX)
		retry_after_us = RETRY_AFTER_MAX;
	if (open_for < retry_after_us)
		open_for = retry_after_us;
	b->open_until_us = now_us + open_for;
	change(b, BREAKER_open, cause, now_us, open_for);
}

void breaker_tick(struct breaker *b, uint64_t now_us, double chance)
{
	if (b->state == BREAKER_open && now_us >= b->open_until_us)
		change(b, BREAKER_half_open, CAUSE_open_for_over, now_us, 0);
	if (b->state == BREAKER_half_open && b->probing_since_us && now_us >= b->probing_since_us + b->conf.probe_timeout_us + STUCK_US)
		open(b, CAUSE_probe_expired, now_us, chance, 0);
}

/* A growing share is let in while an upstream that has just recovered warms up. */
static bool on_the_ramp(const struct breaker *b, uint64_t now_us, double chance)
{
	if (!b->conf.ramp_us || !b->closed_us || now_us - b->closed_us >= b->conf.ramp_us)
		return false;
	double share = (double)(now_us - b->closed_us) / (double)b->conf.ramp_us;
	return chance >= (share > RAMP_FLOOR ? share : RAMP_FLOOR);
}

static bool lets_in(struct breaker *b, uint64_t now_us, double chance, uint64_t *wait_us)
{
	*wait_us = REFUSED_WAIT_US;
	switch (b->state) {
	case BREAKER_closed:
		return !on_the_ramp(b, now_us, chance);
	case BREAKER_half_open:
		if (b->probes >= b->conf.half_open_requests)
			return false;
		if (b->probes++ == 0)
			b->probing_since_us = now_us;
		return true;
	case BREAKER_open:
		*wait_us = b->open_until_us - now_us;
		return false;
	case BREAKER_disabled:
		return true;
	default:
		return false;
	}
}

bool breaker_admit(struct breaker *b, uint64_t now_us, double chance, struct breaker_permit *p, uint64_t *wait_us)
{
	breaker_tick(b, now_us, chance);
	if (!lets_in(b, now_us, chance, wait_us)) {
		b->results[RESULT_refused]++;
		return false;
	}
	*p = (struct breaker_permit){ .generation = b->generation, .begun_us = now_us, .probe = b->state == BREAKER_half_open };
	return true;
}

static void judge_window(struct breaker *b, uint64_t now_us, double chance, uint64_t retry_after_us)
{
	const struct breaker_conf *c = &b->conf;
	if (c->consecutive_failures && b->consecutive >= c->consecutive_failures) {
		open(b, CAUSE_consecutive, now_us, chance, retry_after_us);
		return;
	}
	struct window_sum sum = window_sum(&b->window, c->window_us, now_us);
	if (sum.calls < c->min_requests)
		return;
	if (sum.failures && (double)sum.failures >= c->failure_rate * (double)sum.calls)
		open(b, CAUSE_failure_rate, now_us, chance, retry_after_us);
	else if (c->slow_us && sum.slow && (double)sum.slow >= c->slow_rate * (double)sum.calls)
		open(b, CAUSE_slow_rate, now_us, chance, retry_after_us);
}

void breaker_record(struct breaker *b, uint64_t now_us, double chance, const struct breaker_permit *p, const struct breaker_outcome *o)
{
	bool slow = b->conf.slow_us && o->took_us > b->conf.slow_us;

	breaker_tick(b, now_us, chance);
	if (p->generation != b->generation || b->state == BREAKER_disabled) {
		b->results[RESULT_ignored]++;
		return;
	}
	b->results[o->failed ? RESULT_failed : slow ? RESULT_slow : RESULT_ok]++;
	if (b->state == BREAKER_half_open) {
		if (o->failed || slow)
			open(b, o->expired ? CAUSE_probe_expired : CAUSE_probe_failed, now_us, chance, o->retry_after_us);
		else if (++b->probes_ok >= b->conf.half_open_requests) {
			change(b, BREAKER_closed, CAUSE_recovered, now_us, 0);
			clean_slate(b);
			b->open_for_us = 0;
			b->closed_us = now_us;
		}
		return;
	}
	window_add(&b->window, b->conf.window_us, now_us, o->failed, slow);
	if (!o->failed)
		b->consecutive = 0;
	else if (!o->weak)
		b->consecutive++;
	if (o->failed || slow)
		judge_window(b, now_us, chance, o->retry_after_us);
}

void breaker_give_back(struct breaker *b, const struct breaker_permit *p)
{
	b->results[RESULT_ignored]++;
	if (p->generation != b->generation || !p->probe)
		return;
	if (--b->probes == 0)
		b->probing_since_us = 0;
}

void breaker_force(struct breaker *b, uint64_t now_us, enum breaker_state to)
{
	change(b, to, CAUSE_admin, now_us, 0);
	clean_slate(b);
	b->open_for_us = b->closed_us = 0;
}
