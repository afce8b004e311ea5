/* doors.c - policies that watch and meddle.
 *
 *   witness   stands between the others and checks the pairing rule of policy.h: admitted once, settled once, the innermost first
 *   turner    turns away every n-th, at once
 *   asker     asks the store before PASS and before letting a reply out: owes LATER, which may be paid within the question
 */
#include <stdlib.h>

#include "base/must.h"
#include "world.h"

static struct world *world_of(const struct exchange *ex) { return container_of(ex->worker, struct world, worker); }

static struct policy *door_open(const struct policy_type *type)
{
	struct policy *p = calloc(1, sizeof(*p));
	if (p)
		p->type = type;
	return p;
}

static void door_close(struct policy *p) { free(p); }

static bool door_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings; (void)present;
	return route->upstream != NULL;
}

static unsigned door_of(const struct exchange *ex, const void *slot)
{
	unsigned door = 0;
	while (exchange_slot(ex, door) != slot)
		must(++door < ex->route->depth);
	must(door < 64);
	return door;
}

/* ── witness ── */

struct witness_slot { bool inside; unsigned judged; };

static struct policy *outside_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	return door_open(&witness_outside);
}

static struct policy *inside_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	return door_open(&witness_inside);
}

static enum answer witness_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct witness_slot *slot = memory;
	struct guest *g = guest_of(ex);
	unsigned door = door_of(ex, slot);
	(void)p;
	must(!slot->inside && (!g || g->doors >> door == 0) && !ex->committed);
	slot->inside = true;
	if (g)
		g->doors |= 1ull << door;
	return PASS;
}

static enum answer witness_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct witness_slot *slot = memory;
	(void)p;
	must(slot->inside && !ex->committed && slot->judged++ == 0);
	must(ex->reply.status ? ex->reply.status >= 101 : ex->failure != REASON_NONE);
	return PASS;
}

static void witness_tap(struct policy *p, struct exchange *ex, void *memory, struct span bytes)
{
	(void)p;
	must(((struct witness_slot *)memory)->inside && ex->committed && !ex->local && bytes.len);
}

static void witness_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct witness_slot *slot = memory;
	struct guest *g = guest_of(ex);
	unsigned door = door_of(ex, slot);
	(void)p;
	must(slot->inside && (!g || g->doors >> door == 1));
	must(how != END_SENT || ex->committed);
	must(how != END_RETRIED || !ex->committed);
	must(how != END_CUT || ex->cut_by != REASON_NONE);
	slot->inside = false;
	if (g)
		g->doors &= ~(1ull << door);
}

#define WITNESS .wanted = door_wanted, .slot_size = sizeof(struct witness_slot), .close = door_close, .admit = witness_admit, \
	.judge = witness_judge, .tap = witness_tap, .settle = witness_settle
const struct policy_type witness_outside = { .name = "witness", .open = outside_open, WITNESS };
const struct policy_type witness_inside = { .name = "witness", .open = inside_open, .per_try = true, WITNESS };

/* ── turner ── */

static struct policy *turner_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	return door_open(&turner_policy);
}

static enum answer turner_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct world *w = world_of(ex);
	(void)p;
	if (++w->turned % w->plan.turner != 0)
		return PASS;
	*(bool *)memory = true;
	exchange_refuse(ex, REASON_overloaded, 1, "Turned away.");
	return TURN;
}

static void turner_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)ex; (void)how;
	must(!*(bool *)memory);                   /* whom it turned away it does not see again */
}

const struct policy_type turner_policy = {
	.name = "turner", .wanted = door_wanted, .per_try = true, .slot_size = sizeof(bool), .open = turner_open, .close = door_close,
	.admit = turner_admit, .settle = turner_settle,
};

/* ── asker ── */

struct asker_slot { struct store_call call; struct exchange *ex; bool judging; };

static struct policy *asker_open(const void *settings, const struct policy_env *env)
{
	(void)settings; (void)env;
	return door_open(&asker_policy);
}

static void store_said(struct store_call *call, enum store_result result, struct span reply)
{
	struct asker_slot *slot = container_of(call, struct asker_slot, call);
	(void)reply;
	if (result == STORE_refused && !slot->judging) {
		exchange_refuse(slot->ex, REASON_rate_limited, 1, NULL);
		exchange_answer(slot->ex, TURN);
	} else
		exchange_answer(slot->ex, PASS);
}

static enum answer ask_store(struct exchange *ex, struct asker_slot *slot, bool judging)
{
	struct world *w = world_of(ex);
	struct span words[] = { SPAN("TAKE"), ex->request.target };
	slot->call.done = store_said;
	slot->ex = ex;
	slot->judging = judging;
	w->store.ops->ask(w->store.self, &slot->call, NULL, words, 2);
	return LATER;
}

static enum answer asker_admit(struct policy *p, struct exchange *ex, void *memory)
{
	(void)p;
	return ask_store(ex, memory, false);
}

static enum answer asker_judge(struct policy *p, struct exchange *ex, void *memory)
{
	(void)p;
	return ask_store(ex, memory, true);
}

static void asker_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct world *w = world_of(ex);
	(void)p; (void)how;
	w->store.ops->cancel(w->store.self, &((struct asker_slot *)memory)->call);
}

const struct policy_type asker_policy = {
	.name = "asker", .wanted = door_wanted, .slot_size = sizeof(struct asker_slot), .open = asker_open, .close = door_close,
	.admit = asker_admit, .judge = asker_judge, .settle = asker_settle,
};

/* ── the store that it asks ── */

static void store_answers(struct event *e)
{
	struct asked *a = container_of(e, struct asked, event);
	struct store_call *call = a->call;
	call->pending = NULL;
	a->busy = false;
	a->world->asked_pending--;
	enum store_result says = a->world->store_says;
	call->done(call, says == STORE_ok && !a->said.at ? STORE_refused : says, a->said);
}

/* What the script of rate limits would say: all pass, or none does. A command is answered with 1. */
static void write_reply(struct asked *a, bool script, unsigned limits)
{
	struct text t;
	text_over(&t, a->reply, sizeof(a->reply));
	text_add(&t, a->world->store_limits ? SPAN("0") : SPAN("1"));
	for (unsigned i = 0; script && i < limits; i++)
		text_add(&t, a->world->store_limits ? SPAN(" 0 0 2500000 3000000") : SPAN(" 1 7 0 3000000"));
	a->said = text_span(&t);
}

static void store_ask(void *self, struct store_call *call, const struct store_script *script, const struct span *words, unsigned count)
{
	struct world *w = self;
	unsigned i = 0;
	must(!call->pending && count > 0 && words[0].len > 0);
	while (w->asked[i].busy)
		must(++i < STORE_CALLS_MAX);
	struct asked *a = &w->asked[i];
	*a = (struct asked){ .call = call, .world = w, .busy = true };
	uint64_t limits = 0;
	must(!script || span_to_u64(words[0], 8, &limits));
	if (script && span_starts(words[1], SPAN("outrigger:idempotency:")))
		a->said = w->store_says == STORE_down ? SPAN_NONE : kept_run(w->kept, words, count, w->worker.now_us);
	else
		write_reply(a, script != NULL, (unsigned)limits);
	call->pending = a;
	w->asked_pending++;
	w->asked_total++;
	if (w->plan.store_us)
		event_plan(&w->clock, &a->event, w->worker.now_us + w->plan.store_us, store_answers);
	else
		store_answers(&a->event);
}

static void store_cancel(void *self, struct store_call *call)
{
	struct world *w = self;
	struct asked *a = call->pending;
	if (!a)
		return;
	must(a->busy && a->call == call);
	event_cancel(&a->event);
	a->busy = false;
	call->pending = NULL;
	w->asked_pending--;
}

static unsigned store_instances(void *self) { (void)self; return 2; }
static void store_hold(void *self) { ((struct world *)self)->store_held++; }
static void store_give(void *self) { ((struct world *)self)->store_held--; }

const struct store_ops pretend_store_ops = {
	.ask = store_ask, .cancel = store_cancel, .instances = store_instances, .hold = store_hold, .give = store_give,
};
