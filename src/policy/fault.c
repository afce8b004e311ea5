/* fault.c - faults on purpose: a share of the requests is delayed, or aborted, before anything else happens to them. */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

struct fault_conf { uint64_t delay_us, abort; double share; };
static const struct conf_key fault_keys[] = {
	CONF_DURATION(struct fault_conf, "delay", delay_us, "0ms", "0s", "1h", "how long the unlucky wait first"),
	{ .name = "abort", .type = CONF_T_COUNT, .offset = offsetof(struct fault_conf, abort), .present_offset = CONF_NO_PRESENCE, .preset = "0",
		.min = "0", .max = "599", .help = "status they get then; 0: they are only delayed", .example = "503" },
	CONF_SHARE(struct fault_conf, "share", share, "0%", "how many are unlucky"),
	CONF_END
};
static bool fault_check(struct conf_reading *r, void *settings)
{
	struct fault_conf *c = settings;
	if (c->abort == 0 || c->abort >= 200)
		return true;
	conf_complain_key(r, "abort", "'abort' must be 0 (no abort) or a status from 200 to 599");
	return false;
}
static const struct conf_block fault_block = {
	.name = "fault", .keys = fault_keys, .size = sizeof(struct fault_conf), .levels = CONF_ROUTE, .optional = true, .check = fault_check,
	.help = "faults on purpose, to see what the clients make of them",
};

struct fault { struct policy base; struct fault_conf conf; };
struct fault_slot { struct timer timer; struct exchange *ex; const struct fault *fault; };

static struct policy *fault_open(const void *settings, const struct policy_env *env)
{
	struct fault *f = calloc(1, sizeof(*f));
	(void)env;
	if (!f)
		return NULL;
	f->base.type = &fault_policy;
	f->conf = *(const struct fault_conf *)settings;
	return &f->base;
}

static void fault_close(struct policy *p) { free(p); }

static enum answer verdict(const struct fault *f, struct exchange *ex)
{
	if (!f->conf.abort)
		return PASS;
	exchange_refuse(ex, REASON_fault_injected, 0, NULL);
	ex->reply.status = (int)f->conf.abort;
	return TURN;
}

static void delay_over(struct timer *t)
{
	struct fault_slot *slot = container_of(t, struct fault_slot, timer);
	exchange_answer(slot->ex, verdict(slot->fault, slot->ex));
}

static enum answer fault_admit(struct policy *p, struct exchange *ex, void *memory)
{
	const struct fault *f = (const struct fault *)p;
	struct fault_slot *slot = memory;

	if (rand_unit(&ex->worker->rand) >= f->conf.share)
		return PASS;
	if (!f->conf.delay_us)
		return verdict(f, ex);
	slot->ex = ex;
	slot->fault = f;
	worker_arm(ex->worker, &slot->timer, f->conf.delay_us, delay_over);
	return LATER;
}

static void fault_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)how;
	worker_disarm(ex->worker, &((struct fault_slot *)memory)->timer);
}

const struct policy_type fault_policy = {
	.name = "fault", .block = &fault_block, .slot_size = sizeof(struct fault_slot),
	.open = fault_open, .close = fault_close, .admit = fault_admit, .settle = fault_settle,
};
