/* per_try.c - the time of one try (per_try_timeout), within what is left of the whole. Its reply is judged by retry like a failure. */
#include <stdlib.h>

#include "core/exchange.h"
#include "deadline.h"
#include "policy/registry.h"

struct per_try { struct policy base; uint64_t us; };
struct per_try_slot { struct timer timer; struct exchange *ex; };

static bool per_try_wanted(const struct conf_route *route, const void *settings, bool present)
{
	const struct deadline_conf *c = settings;
	(void)present;
	return route->upstream && c->per_try_us;
}

static struct policy *per_try_open(const void *settings, const struct policy_env *env)
{
	struct per_try *p = calloc(1, sizeof(*p));
	(void)env;
	if (!p)
		return NULL;
	p->base.type = &per_try_policy;
	p->us = ((const struct deadline_conf *)settings)->per_try_us;
	return &p->base;
}

static void per_try_close(struct policy *p) { free(p); }

static void try_timed_out(struct timer *t)
{
	struct per_try_slot *slot = container_of(t, struct per_try_slot, timer);
	counter_add(&slot->ex->route->stats->timeouts[TIMEOUT_per_try], 1);
	exchange_cut(slot->ex, slot, REASON_upstream_timeout);
}

static enum answer per_try_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct per_try_slot *slot = memory;
	slot->ex = ex;
	ex->try_deadline_us = ex->worker->now_us + ((struct per_try *)p)->us;
	timer_arm(&ex->worker->timers, &slot->timer, ex->try_deadline_us, try_timed_out);
	return PASS;
}

static enum answer per_try_judge(struct policy *p, struct exchange *ex, void *memory)
{
	(void)p;
	worker_disarm(ex->worker, &((struct per_try_slot *)memory)->timer);
	return PASS;
}

static void per_try_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)how;
	ex->try_deadline_us = TIMER_NEVER;
	worker_disarm(ex->worker, &((struct per_try_slot *)memory)->timer);
}

const struct policy_type per_try_policy = {
	.name = "per_try", .block = &deadline_block, .wanted = per_try_wanted, .per_try = true, .slot_size = sizeof(struct per_try_slot),
	.open = per_try_open, .close = per_try_close, .admit = per_try_admit, .judge = per_try_judge, .settle = per_try_settle,
};
