/* idem_remote.c - keys that are claimed in a store, which several instances share. See idem_script.h for what stands there.
 *
 * A ticket is one request's claim. It asks until the key is its own, or done; then it renews the claim while its request runs, and puts the answer
 * in its place, or gives it back. What it asked last may be on its way when nobody is interested any more: then the ticket lives on, loose, until
 * the store has given the claim back, or its lease is over.
 *
 *   CLAIMING ◀──▶ PAUSING          somebody else runs it: asked again, ever more seldom
 *      ▼
 *   HOLDING ◀──▶ RENEWING          its request runs
 *      ▼
 *   SAVING, RELEASING ──▶ OVER
 */
#include <stdlib.h>

#include "base/log.h"
#include "idem_script.h"
#include "idempotency.h"

enum { FIRST_PAUSE_US = 20000, LONGEST_PAUSE_US = 1000000, NEXT_TRY_US = 100000 };

enum doing { CLAIMING, PAUSING, HOLDING, RENEWING, SAVING, RELEASING, OVER };
struct ticket {
	struct idem_run     run;
	struct link         link;             /* of the loose ones */
	struct idempotency *door;
	struct slot        *slot;             /* CLAIMING, PAUSING */
	struct store_call   call;
	struct timer        timer;
	struct idem_answer *answer;
	uint64_t            asked_us, ours_until_us;
	unsigned            pauses;
	enum doing          doing;
	bool                within, loose;    /* within: a question that may be answered before it returns */
	unsigned char       key[IDEM_DIGEST], fingerprint[IDEM_DIGEST];
	char                token[IDEM_TOKEN];
};

static void ticket_free(struct ticket *t)
{
	worker_disarm(t->door->worker, &t->timer);
	t->door->store->ops->cancel(t->door->store->self, &t->call);
	link_remove(&t->link);
	idem_answer_unref(t->answer);
	free(t);
}

/* Not to be guessed by chance, in all instances and workers. */
static void draw_token(struct ticket *t, struct worker *w, struct span instance)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = rand_next(&w->rand);
	for (unsigned i = 0; i < IDEM_TOKEN; i++)
		t->token[i] = i < 8 && i < instance.len ? instance.at[i] : digits[(n >> (4 * (i % 16))) & 15];
}

static struct ticket *ticket_new(struct slot *slot)
{
	struct ticket *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->door = slot->door;
	t->slot = slot;
	link_init(&t->link);
	memcpy(t->key, slot->key, sizeof(t->key));
	memcpy(t->fingerprint, slot->fingerprint, sizeof(t->fingerprint));
	draw_token(t, t->door->worker, slot->ex->route->router->instance);
	return t;
}

static void ask(struct ticket *t, enum idem_op op, void (*done)(struct store_call *, enum store_result, struct span))
{
	struct idempotency *d = t->door;
	char memory[IDEM_WORDS_TEXT];
	struct span words[IDEM_WORDS];
	struct idem_question q = {
		.op = op, .route = d->route, .token = { t->token, IDEM_TOKEN }, .answer = t->answer ? idem_answer_span(t->answer) : SPAN_NONE,
		.key = t->key, .fingerprint = t->fingerprint, .ms = (op == IDEM_OP_SAVE ? d->conf.ttl_us : d->conf.lease_us) / 1000,
	};
	unsigned n = idem_script_words(&q, memory, words);
	t->asked_us = d->worker->now_us;
	t->call.done = done;
	if (n)
		d->store->ops->ask(d->store->self, &t->call, &idem_script, words, n);
	else
		done(&t->call, STORE_refused, SPAN("the route's name is too long"));
}

static void pause_for(struct ticket *t, uint64_t us, void (*fire)(struct timer *))
{
	worker_arm(t->door->worker, &t->timer, us * 3 / 4 + rand_below(&t->door->worker->rand, us / 2 + 1), fire);
}

/* Ever longer. */
static void pause_from(struct ticket *t, uint64_t first_us, void (*fire)(struct timer *))
{
	uint64_t us = first_us << (t->pauses < 6 ? t->pauses++ : 6);
	pause_for(t, us < LONGEST_PAUSE_US ? us : LONGEST_PAUSE_US, fire);
}

static void complain(const struct ticket *t, const char *event)
{
	struct log_line l;
	log_begin(&l, LOG_WARN, event);
	log_span(&l, "route", t->door->route);
	log_span(&l, "store", t->door->conf.store);
	log_end(&l);
}

/* ── the last word: the answer, or the claim given back ── */

static void last_word(struct ticket *t);

static void over(struct ticket *t)
{
	t->doing = OVER;
	if (t->loose)
		ticket_free(t);
	else
		idem_run_let_go(&t->run);         /* which may be the end of it */
}

static void say_again(struct timer *timer) { last_word(container_of(timer, struct ticket, timer)); }

static void last_word_done(struct store_call *call, enum store_result result, struct span reply)
{
	struct ticket *t = container_of(call, struct ticket, call);
	bool too_late = t->door->worker->now_us + NEXT_TRY_US >= t->ours_until_us;
	if (result != STORE_ok && !too_late) {
		pause_from(t, NEXT_TRY_US, say_again);
		return;
	}
	if (t->doing == SAVING && (result != STORE_ok || !idem_script_done(reply)))
		complain(t, "idempotency_not_kept");      /* a repetition may run again */
	over(t);
}

static void last_word(struct ticket *t)
{
	ask(t, t->doing == SAVING ? IDEM_OP_SAVE : IDEM_OP_RELEASE, last_word_done);
}

/* Nobody is interested any more, and the claim may be in the store. */
static void let_loose(struct ticket *t)
{
	t->slot = NULL;
	t->loose = true;
	t->doing = RELEASING;
	t->pauses = 0;
	t->ours_until_us = t->asked_us + t->door->conf.lease_us;
	list_append(&t->door->loose, &t->link);
	last_word(t);
}

/* ── while its request runs ── */

static void renew(struct timer *);

static void renewed(struct store_call *call, enum store_result result, struct span reply)
{
	struct ticket *t = container_of(call, struct ticket, call);
	uint64_t lease_us = t->door->conf.lease_us;
	if (result == STORE_ok && !idem_script_done(reply)) {
		t->doing = OVER;
		complain(t, "idempotency_claim_lost");
		return;
	}
	if (result == STORE_ok)
		t->ours_until_us = t->asked_us + lease_us;
	t->doing = HOLDING;
	pause_for(t, result == STORE_ok ? lease_us / 3 : lease_us / 10, renew);
}

static void renew(struct timer *timer)
{
	struct ticket *t = container_of(timer, struct ticket, timer);
	t->doing = RENEWING;
	ask(t, IDEM_OP_RENEW, renewed);
}

static bool run_over(struct idem_run *run, enum idem_outcome outcome)
{
	struct ticket *t = container_of(run, struct ticket, run);
	if (t->doing == OVER)
		return true;
	worker_disarm(t->door->worker, &t->timer);
	t->door->store->ops->cancel(t->door->store->self, &t->call);
	if (outcome == IDEM_KEEP)
		t->answer = idem_answer_new(run->capture);
	t->doing = outcome == IDEM_RELEASE ? RELEASING : SAVING;
	last_word(t);
	return t->doing == OVER || t->doing == RELEASING;
}

static void run_free(struct idem_run *run)
{
	struct ticket *t = container_of(run, struct ticket, run);
	if (t->doing == OVER) {
		ticket_free(t);
		return;
	}
	t->loose = true;
	list_append(&t->door->loose, &t->link);
}

/* ── the claim ── */

static enum answer ask_claim(struct ticket *);

static void claim_again(struct timer *timer)
{
	struct ticket *t = container_of(timer, struct ticket, timer);
	struct slot *slot = t->slot;
	idem_answer_slot(slot, ask_claim(t));
}

static enum answer wait_for_it(struct ticket *t)
{
	t->slot->waited = true;
	t->doing = PAUSING;
	pause_from(t, FIRST_PAUSE_US, claim_again);
	return LATER;
}

static enum answer begin(struct ticket *t)
{
	struct slot *slot = t->slot;
	t->slot = NULL;
	slot->ticket = NULL;
	t->ours_until_us = t->asked_us + t->door->conf.lease_us;
	t->doing = HOLDING;
	t->pauses = 0;
	t->run.over = run_over;
	t->run.free = run_free;
	pause_for(t, t->door->conf.lease_us / 3, renew);
	return idem_begin(slot, &t->run);
}

static enum answer no_store(struct slot *slot)
{
	__atomic_fetch_add(&slot->door->core->store_errors, 1, __ATOMIC_RELAXED);
	if (slot->door->conf.on_store_error == ON_STORE_ALLOW)
		return PASS;
	return exchange_turn_away(slot->ex, slot->dry_run, REASON_store_unavailable, 1, NULL);
}

/* The ticket is gone, or has other things to do, unless it waits. */
static enum answer take_verdict(struct ticket *t, enum idem_verdict verdict, struct span answer)
{
	struct slot *slot = t->slot;
	if (verdict == IDEM_VERDICT_FIRST)
		return begin(t);
	if (verdict == IDEM_VERDICT_RUNS && idem_waits(slot))
		return wait_for_it(t);
	struct capture *c = verdict == IDEM_VERDICT_DONE ? idem_answer_read(answer) : NULL;
	slot->ticket = NULL;
	ticket_free(t);
	switch (verdict) {
	case IDEM_VERDICT_RUNS:  return idem_running(slot);
	case IDEM_VERDICT_DONE:  return idem_replay(slot, c);
	case IDEM_VERDICT_OTHER: return idem_refuse(slot, RESULT_mismatch, REASON_idempotency_mismatch, 0, NULL);
	default:                 return idem_refuse_lost(slot);
	}
}

static enum answer take_error(struct ticket *t)
{
	struct slot *slot = t->slot;
	bool sent = !t->within;                   /* else it is not connected, and has not even heard of it */
	slot->ticket = NULL;
	if (sent)
		let_loose(t);
	else
		ticket_free(t);
	return no_store(slot);
}

static void claim_done(struct store_call *call, enum store_result result, struct span reply)
{
	struct ticket *t = container_of(call, struct ticket, call);
	struct slot *slot = t->slot;
	struct span answer = SPAN_NONE;
	bool within = t->within;
	enum answer a = result == STORE_ok ? take_verdict(t, idem_script_verdict(reply, &answer), answer) : take_error(t);
	if (within)
		slot->at_once = a;
	else
		idem_answer_slot(slot, a);
}

static enum answer ask_claim(struct ticket *t)
{
	struct slot *slot = t->slot;
	slot->at_once = LATER;
	t->doing = CLAIMING;
	t->within = true;
	ask(t, IDEM_OP_CLAIM, claim_done);
	if (slot->ticket)
		slot->ticket->within = false;
	return slot->at_once;
}

enum answer idem_remote_claim(struct slot *slot)
{
	slot->ticket = ticket_new(slot);
	return slot->ticket ? ask_claim(slot->ticket) : no_store(slot);
}

void idem_remote_leave(struct slot *slot)
{
	struct ticket *t = slot->ticket;
	if (!t)
		return;
	slot->ticket = NULL;
	worker_disarm(t->door->worker, &t->timer);
	t->door->store->ops->cancel(t->door->store->self, &t->call);
	if (t->doing == CLAIMING)
		let_loose(t);
	else
		ticket_free(t);
}

void idem_remote_close(struct idempotency *d)
{
	list_each(l, &d->loose)
		ticket_free(container_of(l, struct ticket, link));
}
