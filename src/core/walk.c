/* walk.c - the only place where an exchange moves from door to door.
 *
 * Always true:
 *   - doors from..let_in-1 await settle, each once; nobody else does. `from` is 0, but for what a door has spawned.
 *   - at most one of: a door is being asked (ASKING), a door or the upstream owes an answer (OWED), the reply streams (STREAMING).
 *   - an exchange is on the ready list exactly while an answer is posted (walk.early != LATER, state OWED).
 *   - ex->call is set exactly while the upstream may still report something.
 */
#include "walk.h"

#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "body.h"
#include "local.h"

enum { INWARD = +1, OUTWARD = -1 };

static void make_ready(struct exchange *ex)
{
	list_append(&ex->worker->ready, &ex->on_list);
	ex->worker->ready_count++;
}

static void unready(struct exchange *ex)
{
	if (ex->walk.early == LATER || ex->walk.state != WALK_OWED)
		return;
	link_remove(&ex->on_list);
	ex->worker->ready_count--;
	ex->walk.early = LATER;
}

void walk_settle_from(struct exchange *ex, unsigned door, enum ending how)
{
	if (door < ex->walk.from)
		door = ex->walk.from;
	while (ex->walk.let_in > door) {
		unsigned i = --ex->walk.let_in;
		const struct policy_type *t = ex->route->chain[i]->type;
		if (t->settle)
			t->settle(ex->route->chain[i], ex, exchange_slot(ex, i), how);
	}
}

void walk_drop_call(struct exchange *ex)
{
	void *call = ex->call;
	if (!call)
		return;
	ex->call = NULL;
	exchange_call_ended(ex);
	if (ex->timing.reply_us)
		exchange_count_try(ex, REASON_NONE);
	ex->ops->cancel(call);
}

/* The wait for a door's answer is over. */
static void count_wait(struct exchange *ex)
{
	if (!ex->walk.owed_since_us)
		return;
	*(ex->walk.way == INWARD ? &ex->timing.queue_us : &ex->timing.pause_us) += ex->worker->now_us - ex->walk.owed_since_us;
	ex->walk.owed_since_us = 0;
}

void walk_finish(struct exchange *ex, enum ending how)
{
	must(ex->walk.state != WALK_OVER);
	count_wait(ex);
	unready(ex);
	ex->walk.state = WALK_OVER;
	walk_drop_call(ex);
	walk_settle_from(ex, 0, how);
	ex->timing.over_us = ex->worker->now_us;
	if (ex->worker->on_over && !ex->spawned)
		ex->worker->on_over(ex->worker, ex);
	ex->client_ops->done(ex->client, ex);
	link_remove(&ex->on_live);
	worker_count_live(ex->worker, -1);
	list_append(&ex->worker->graveyard, &ex->on_list);
}

static enum answer ask(struct exchange *ex)
{
	struct policy *door = ex->route->chain[ex->walk.at];
	const struct policy_type *t = door->type;
	void *slot = exchange_slot(ex, (unsigned)ex->walk.at);
	enum answer (*question)(struct policy *, struct exchange *, void *) = t->judge;

	if (ex->walk.way == INWARD) {
		question = t->admit;
		ex->walk.let_in = (unsigned)ex->walk.at + 1;
		memset(slot, 0, t->slot_size);
	}
	if (!question)
		return PASS;
	ex->walk.state = WALK_ASKING;
	enum answer a = question(door, ex, slot);
	ex->walk.state = WALK_OWED;
	if (a == LATER) {                 /* it may have been paid within the question already */
		a = ex->walk.early;
		ex->walk.early = LATER;
	}
	return a;
}

static void start_call(struct exchange *ex)
{
	ex->walk.way = OUTWARD;           /* the upstream is the innermost door, and it always says LATER */
	ex->walk.at = (int)ex->walk.let_in;
	if (!ex->diverted) {
		ex->calling = ++ex->attempt;
		ex->credited = (struct attempt){ .number = 0 };
		ex->upstream_status = 0;
		must(ex->attempt <= ATTEMPTS_MAX);
		ex->ops = ex->route->ops;
		ex->ops_self = ex->route->ops_self;
	}
	ex->failure = REASON_NONE;
	ex->reused_dead = ex->request_reached = false;
	ex->timing.call_us = ex->worker->now_us;
	ex->timing.connect_us = ex->timing.reply_us = ex->timing.call_end_us = 0;
	body_call_begins(ex);
	void *call = ex->ops->start(ex->ops_self, ex);
	must(call || ex->walk.early != LATER);
	ex->call = call;
	if (call)
		body_give_held(ex);
}

static void commit(struct exchange *ex)
{
	if (ex->reply.status == 0 && !ex->local)
		local_refuse(ex, ex->failure, 0, NULL);
	ex->committed = true;
	ex->walk.state = WALK_STREAMING;
	ex->timing.commit_us = ex->worker->now_us;
	ex->timing.waited_us = ex->timing.upstream_us + (ex->call ? ex->worker->now_us - ex->timing.call_us : 0);
	if (ex->local)
		walk_drop_call(ex);
	if (!local_finish_head(ex)) {     /* not even memory for the head: the client must at least notice */
		ex->reason = REASON_internal_error;
		ex->client_ops->abort(ex->client, ex);
		walk_finish(ex, END_FAILED);
		return;
	}
	ex->client_ops->send_head(ex->client, ex);
	body_commit(ex);
}

/* A refusal, or a fallback, was put in place by the door under the cursor. */
static void turn_round(struct exchange *ex)
{
	must(ex->walk.way == INWARD && ex->local && !ex->diverted);
	ex->walk.let_in = (unsigned)ex->walk.at;
	ex->walk.way = OUTWARD;
	ex->walk.at--;
}

void exchange_drop_try(struct exchange *ex)
{
	must(ex->walk.way == OUTWARD && !ex->committed);
	walk_drop_call(ex);
	walk_settle_from(ex, (unsigned)ex->walk.at + 1, END_RETRIED);
	local_clear(ex);
	ex->diverted = false;
}

static void ask_again(struct exchange *ex)
{
	if (!ex->walk.replaced)
		exchange_drop_try(ex);
	ex->walk.replaced = false;
	ex->walk.way = INWARD;
	ex->walk.at++;
}

/* Moves the cursor as the answer says. Returns false when the walk has ended, for now or for good. */
static bool take(struct exchange *ex, enum answer a)
{
	switch (a) {
	case PASS:  ex->walk.at += ex->walk.way; break;
	case TURN:  turn_round(ex); break;
	case AGAIN: ask_again(ex); break;
	case LATER: must(a != LATER);
	}
	if (ex->walk.way == INWARD && (ex->diverted || ex->walk.at == (int)ex->route->depth)) {
		start_call(ex);
		return false;
	}
	if (ex->walk.way == OUTWARD && ex->walk.at < (int)ex->walk.from) {
		commit(ex);
		return false;
	}
	return true;
}

static void walk(struct exchange *ex)
{
	enum answer a;
	do {
		a = ask(ex);
		if (a == LATER) {
			ex->walk.owed_since_us = ex->worker->now_us;
			return;
		}
	} while (take(ex, a));
}

void exchange_answer(struct exchange *ex, enum answer a)
{
	must(a != LATER && ex->walk.early == LATER);
	if (ex->walk.state == WALK_ASKING) {
		ex->walk.early = a;       /* given within the question: ask() will see it */
		return;
	}
	must(ex->walk.state == WALK_OWED);
	ex->walk.early = a;               /* posted, not run: see exchanges_run() */
	make_ready(ex);
}

void exchange_cut(struct exchange *ex, void *slot, enum reason why)
{
	must(ex->walk.state != WALK_ASKING);
	walk_cut(ex, (int)exchange_door(ex, slot), why);
}

void walk_cut(struct exchange *ex, int door, enum reason why)
{
	if (ex->walk.state == WALK_OVER)
		return;
	ex->cut_by = why;
	if (ex->committed) {
		if (!ex->reply_written)
			ex->reason = why;
		ex->client_ops->abort(ex->client, ex);
		walk_finish(ex, END_CUT);
		return;
	}
	if (ex->walk.way == OUTWARD && ex->walk.at < door)
		return;                   /* the reply is already past this door */
	count_wait(ex);
	unready(ex);
	if (ex->call && !ex->timing.reply_us && (reason_facts(why)->by_upstream || why == REASON_deadline_exceeded))
		exchange_count_try(ex, why);
	walk_drop_call(ex);
	walk_settle_from(ex, (unsigned)(door + 1), END_CUT);
	local_clear(ex);
	local_refuse(ex, why, 0, NULL);
	ex->walk.at = door;
	ex->walk.way = OUTWARD;
	ex->walk.early = LATER;
	ex->walk.state = WALK_OWED;
	exchange_answer(ex, PASS);
}

void walk_again_from(struct exchange *ex, unsigned door)
{
	must(ex->walk.state == WALK_OWED && !ex->committed && ex->walk.let_in > door && ex->walk.at >= (int)door);
	count_wait(ex);
	unready(ex);
	walk_drop_call(ex);
	walk_settle_from(ex, door + 1, END_RETRIED);
	local_clear(ex);
	ex->diverted = false;
	ex->walk.at = (int)door;
	ex->walk.way = INWARD;
	exchange_answer(ex, PASS);
}

static void tell_walk(void *self)
{
	const struct exchange *ex = self;
	fprintf(stderr, "  exchange: route " SPAN_FMT " target " SPAN_FMT " state %s at %d way %+d let_in %u early %s status %d reason %s call %p\n",
		SPAN_ARG(ex->route->name), SPAN_ARG(ex->request.target), walk_state_name(ex->walk.state), ex->walk.at, ex->walk.way,
		ex->walk.let_in, answer_name(ex->walk.early), ex->reply.status, reason_name(ex->reason), ex->call);
}

static void run_one(struct exchange *ex)
{
	enum answer a = ex->walk.early;

	ex->walk.early = LATER;
	ex->worker->ready_count--;
	count_wait(ex);
	must_witness(tell_walk, ex);
	if (take(ex, a))
		walk(ex);
	must_witness(NULL, NULL);
}

static void bury(struct worker *w)
{
	for (struct link *l; (l = list_shift(&w->graveyard)); )
		exchange_free(container_of(l, struct exchange, on_list));
}

bool exchanges_run(struct worker *w)
{
	struct list now;                  /* what is posted from here on waits for the next turn */
	list_init(&now);
	list_join(&now, &w->ready);
	for (struct link *l; (l = list_shift(&now)); )
		run_one(container_of(l, struct exchange, on_list));
	bury(w);
	return w->ready_count > 0;
}
