/* idem_memory.c - keys that are claimed in this process: exact across its workers. Waiters are told by message, on their own worker. */
#include <stdlib.h>

#include "idempotency.h"

struct first { struct idem_run run; struct idempotency *door; struct idem_entry *entry; };

static void tell_waiters(struct idem_entry *e, struct capture *c, enum idem_outcome outcome)
{
	for (struct link *l; (l = list_shift(&e->waiters)); ) {
		struct slot *slot = container_of(l, struct slot, link);
		slot->state = SLOT_TOLD;
		slot->outcome = outcome;
		slot->capture = outcome == IDEM_KEEP ? capture_ref(c) : NULL;
		crossing_send(slot->door->crossing, l);
	}
}

static bool first_over(struct idem_run *run, enum idem_outcome outcome)
{
	struct first *f = container_of(run, struct first, run);
	struct idempotency_core *core = f->door->core;
	struct idem_answer *answer = outcome == IDEM_KEEP ? idem_answer_new(run->capture) : NULL;

	pthread_mutex_lock(&core->lock);
	tell_waiters(f->entry, run->capture, outcome);
	if (outcome == IDEM_RELEASE)
		idem_table_release(&core->table, f->entry);
	else
		idem_table_finish(&core->table, &core->limits, f->entry, answer, run->worker->now_us);
	pthread_mutex_unlock(&core->lock);
	f->entry = NULL;
	return true;
}

static void first_free(struct idem_run *run) { free(container_of(run, struct first, run)); }

static enum answer begin(struct slot *slot, struct first *f, struct idem_entry *e)
{
	f->door = slot->door;
	f->entry = e;
	f->run.over = first_over;
	f->run.free = first_free;
	return idem_begin(slot, &f->run);
}

static enum answer take_found(struct slot *slot, enum idem_state state, struct idem_answer *answer)
{
	if (state == IDEM_DONE) {
		struct capture *c = idem_answer_read(idem_answer_span(answer));
		idem_answer_unref(answer);
		return idem_replay(slot, c);
	}
	if (state == IDEM_LOST)
		return idem_refuse_lost(slot);
	return idem_running(slot);
}

enum answer idem_memory_claim(struct slot *slot)
{
	struct idempotency *d = slot->door;
	struct first *f = calloc(1, sizeof(*f));
	struct idem_entry *e = NULL;
	struct idem_answer *answer = NULL;
	enum idem_state state = IDEM_RUNNING;
	enum idem_claim how = IDEM_NO_MEMORY;

	pthread_mutex_lock(&d->core->lock);
	if (f)
		how = idem_table_claim(&d->core->table, &d->core->limits, slot->key, slot->fingerprint, d->worker->now_us, &e);
	if (how == IDEM_FOUND) {
		state = e->state;
		answer = state == IDEM_DONE ? idem_answer_ref(e->answer) : NULL;
		if (state == IDEM_RUNNING && idem_waits(slot)) {
			slot->state = SLOT_WAITING;
			list_append(&e->waiters, &slot->link);
		}
	}
	pthread_mutex_unlock(&d->core->lock);
	if (how == IDEM_FIRST)
		return begin(slot, f, e);
	free(f);
	switch (how) {
	case IDEM_FOUND:
		return take_found(slot, state, answer);
	case IDEM_OTHER:
		return idem_refuse(slot, RESULT_mismatch, REASON_idempotency_mismatch, 0, NULL);
	case IDEM_FULL:
		return exchange_turn_away(slot->ex, slot->dry_run, REASON_overloaded, 1, "Too many requests with an Idempotency-Key are running.");
	default:
		return exchange_turn_away(slot->ex, false, REASON_internal_error, 0, NULL);
	}
}

/* The one that it has waited for is over. */
static enum answer told(struct slot *slot)
{
	struct capture *c = slot->capture;
	slot->state = SLOT_NONE;
	slot->capture = NULL;
	slot->waited = true;
	switch (slot->outcome) {
	case IDEM_KEEP: return idem_replay(slot, c);
	case IDEM_GONE: return idem_refuse_lost(slot);
	default:        return idem_memory_claim(slot);
	}
}

void idem_memory_deliver(struct list *parcels)
{
	for (struct link *l; (l = list_shift(parcels)); ) {
		struct slot *slot = container_of(l, struct slot, link);
		idem_answer_slot(slot, told(slot));
	}
}

void idem_memory_leave(struct slot *slot)
{
	pthread_mutex_lock(&slot->door->core->lock);
	link_remove(&slot->link);
	slot->state = SLOT_NONE;
	pthread_mutex_unlock(&slot->door->core->lock);
}
