/* flight.c - see flight.h. The flight's own side: its child, its capture, and what they mean for its members. Who joins and leaves: members.c;
 * who gets another variant: variants.c.
 */
#include <stdlib.h>

#include "flight_parts.h"
#include "shareable.h"

enum { STALL_US = 1000000 };

static const struct client_ops child_ops;

/* ── birth and death ── */

struct flight *flight_new(struct coalesce_core *core, const struct flight_limits *limits, struct span key, struct member *m)
{
	struct flight *f = calloc(1, sizeof(*f) + key.len + 1);
	if (!f)
		return NULL;
	memcpy(f->key, key.at, key.len);
	f->core = core;
	f->worker = m->ex->worker;
	f->callback = m->callback;
	f->limits = *limits;
	list_init(&f->members);
	list_init(&f->away);
	link_init(&f->look);
	if (!map_add(&core->flights, &f->entry, (struct span){ f->key, key.len })) {
		free(f);
		return NULL;
	}
	f->listed = true;
	core->in_flight++;
	return f;
}

void flight_unlist(struct flight *f)
{
	if (!f->listed)
		return;
	f->listed = false;
	f->core->in_flight--;
	map_remove(&f->core->flights, &f->entry);
}

/* From now on it is found by this key; when that is taken, or there is no memory, by none. */
void flight_rename(struct flight *f, struct span key)
{
	char *memory = f->listed && !map_find(&f->core->flights, key) ? malloc(key.len) : NULL;
	flight_unlist(f);
	if (!memory)
		return;
	memcpy(memory, key.at, key.len);
	f->renamed = memory;
	f->listed = map_add(&f->core->flights, &f->entry, (struct span){ memory, key.len });
	f->core->in_flight += f->listed;
}

/* On its worker. */
void flight_free_if_done(struct flight *f)
{
	pthread_mutex_lock(&f->core->lock);
	bool done = f->count == 0 && !f->child && !f->busy && !link_on_list(&f->look);
	if (done)
		flight_unlist(f);
	pthread_mutex_unlock(&f->core->lock);
	if (!done)
		return;
	worker_disarm(f->worker, &f->cancel);
	worker_disarm(f->worker, &f->stall);
	capture_unref(f->capture);
	free(f->renamed);
	free(f);
}

/* Afterwards it may be gone: its child's last word is the end of it. */
static void cancel_now(struct timer *t)
{
	struct flight *f = container_of(t, struct flight, cancel);
	if (f->child && f->timed_out)
		exchange_client_fault(f->child, REASON_deadline_exceeded, NULL);      /* so that a breaker hears of it */
	else if (f->child)
		exchange_client_gone(f->child);
	else
		flight_free_if_done(f);
}

/* Nobody is left. It is out of the table before the call is cancelled: who comes now opens another one. */
void flight_give_up(struct flight *f, bool timed_out)
{
	pthread_mutex_lock(&f->core->lock);
	flight_unlist(f);
	pthread_mutex_unlock(&f->core->lock);
	f->give_up = true;
	f->timed_out = timed_out;
	flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_failed);     /* who has come in between */
	if (f->busy || timed_out)
		worker_arm(f->worker, &f->cancel, 0, cancel_now);
	else
		cancel_now(&f->cancel);
}

/* ── telling members ── */

void member_note(struct coalesce_core *core, const struct member *m, enum coalesce_result r)
{
	__atomic_fetch_add(m->leads ? &core->led[r] : &core->followed[r], 1, __ATOMIC_RELAXED);
}

/* On the member's own thread; it is on no list. */
void member_reads(struct member *m, struct capture *c)
{
	m->state = MEMBER_READING;
	m->capture = capture_ref(c);
	exchange_divert(m->ex, &flight_ops, m);
}

void member_answer(struct member *m, struct capture *c, enum reason refusal, unsigned retry_after_s)
{
	worker_disarm(m->ex->worker, &m->patience);
	if (c) {
		member_reads(m, c);
		exchange_answer(m->ex, PASS);
	} else if (refusal != REASON_NONE) {
		m->state = MEMBER_NONE;
		exchange_refuse(m->ex, refusal, retry_after_s, NULL);
		exchange_answer(m->ex, TURN);
	} else {
		m->state = MEMBER_NONE;
		exchange_answer(m->ex, PASS);
	}
}

/* Ends the wait of those of other workers: with a capture that has ended, a refusal, or neither. */
void flight_tell_away(struct flight *f, struct capture *c, enum reason refusal, unsigned retry_after_s, enum coalesce_result r)
{
	pthread_mutex_lock(&f->core->lock);
	for (struct link *l; (l = list_shift(&f->away)); ) {
		struct member *m = member_of(l);
		m->state = MEMBER_TOLD;
		m->flight = NULL;
		m->capture = c ? capture_ref(c) : NULL;
		m->refusal = refusal;
		m->retry_after_s = retry_after_s;
		f->count--;
		member_note(f->core, m, r);
		crossing_send(m->crossing, &m->link);
	}
	pthread_mutex_unlock(&f->core->lock);
}

uint64_t flight_count(struct flight *f)
{
	pthread_mutex_lock(&f->core->lock);
	uint64_t n = f->count;
	pthread_mutex_unlock(&f->core->lock);
	return n;
}

/* Those of this worker that wait: all, or all but the leader. */
static void tell_members(struct flight *f, struct capture *c, enum reason refusal, unsigned retry_after_s, enum coalesce_result r,
	bool leader_too)
{
	list_each(l, &f->members) {
		struct member *m = member_of(l);
		if (m->state != MEMBER_WAITING || (m == f->leader && !leader_too))
			continue;
		member_note(f->core, m, r);
		if (!c) {
			link_remove(l);
			m->flight = NULL;
			pthread_mutex_lock(&f->core->lock);
			f->count--;
			pthread_mutex_unlock(&f->core->lock);
			if (m == f->leader)
				f->leader = NULL;
		}
		member_answer(m, c, refusal, retry_after_s);
	}
}

/* ── the child's head: for all? ── */

static bool may_try_again(enum reason why)
{
	return why == REASON_connection_refused || why == REASON_connection_timeout || why == REASON_upstream_reset
		|| why == REASON_upstream_timeout || why == REASON_upstream_protocol_error;
}

/* In the name of one of its members; what is true of that one only stays behind. */
bool flight_spawn_for(struct flight *f, struct member *m)
{
	static const char *const conditions[] = { "if-none-match", "if-modified-since", "if-match", "if-unmodified-since" };
	f->child = exchange_spawn(m->ex, m->ex->route, exchange_door(m->ex, m->slot) + 1, &child_ops, f);
	if (!f->child)
		return false;
	for (unsigned i = 0; i < sizeof(conditions) / sizeof(*conditions); i++)
		fields_drop_name(&f->child->request.fields, span_of(conditions[i]));
	f->child->deadline_us = TIMER_NEVER;      /* each member has its own */
	f->leader = m;
	return true;
}

static bool elect(struct flight *f)
{
	f->leader = NULL;
	return !f->elections++ && !list_empty(&f->members) && flight_spawn_for(f, member_of(list_first(&f->members)));
}

static void take_failure(struct flight *f, const struct exchange *child)
{
	enum reason why = child->reason;
	unsigned retry_after_s = child->answer.retry_after_s;
	if (f->leader)
		exchange_credit(f->leader->ex, child);
	if (may_try_again(why) && !f->elections)
		return;                           /* child_done elects: this one has to be over first */
	pthread_mutex_lock(&f->core->lock);
	flight_unlist(f);
	pthread_mutex_unlock(&f->core->lock);
	flight_tell_away(f, NULL, why, retry_after_s, COALESCE_failed);
	tell_members(f, NULL, why, retry_after_s, COALESCE_failed, true);
	f->state = OVER;
}

static void nobody_left(struct flight *f)
{
	if (f->child && !f->give_up && flight_count(f) == 0)
		flight_give_up(f, false);
}

static void take_private(struct flight *f)
{
	pthread_mutex_lock(&f->core->lock);
	flight_unlist(f);
	known_note(&f->core->private, f->entry.hash, f->worker->now_us);
	pthread_mutex_unlock(&f->core->lock);
	flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_private);
	tell_members(f, NULL, REASON_NONE, 0, COALESCE_private, false);
	if (f->leader)
		tell_members(f, f->capture, REASON_NONE, 0, COALESCE_private, true);
	else if (!f->give_up)
		flight_give_up(f, false);                /* it was for the one who left, and is for nobody else */
}

static void take_shared(struct flight *f)
{
	tell_members(f, f->capture, REASON_NONE, 0, COALESCE_shared, true);
	if (f->capture->reply.has_length && f->capture->reply.content_length > f->limits.buffer)
		flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_full);      /* it will not be kept whole for them */
}

static void child_head(void *client, struct exchange *child)
{
	struct flight *f = client;
	f->busy = true;
	if (f->give_up)
		f->state = OVER;
	else if (child->local)
		take_failure(f, child);
	else if (!(f->capture = capture_new(&child->reply))) {
		flight_tell_away(f, NULL, REASON_internal_error, 0, COALESCE_failed);
		tell_members(f, NULL, REASON_internal_error, 0, COALESCE_failed, true);
		f->state = OVER;
	} else {
		if (f->leader)
			exchange_credit(f->leader->ex, child);
		f->capture->call.set = true;
		memcpy(f->capture->call.trace_id, child->trace.trace_id, sizeof(child->trace.trace_id));
		trace_try_id(&child->trace, exchange_last_try(child).number, f->capture->call.span_id);
		f->state = SHARED;
		if (reply_is_shareable(&child->reply) && flight_take_variant(f))
			take_shared(f);
		else
			take_private(f);
		nobody_left(f);
	}
	f->busy = false;
}

/* ── its body ── */

static size_t slowest(const struct flight *f)
{
	size_t least = capture_total(f->capture);
	list_each(l, &f->members) {
		const struct member *m = member_of(l);
		if (m->state == MEMBER_WAITING || !m->reading.ex)
			least = f->capture->base;         /* told, and not begun */
		else if (m->reading.sent < least)
			least = m->reading.sent;
	}
	return least;
}

/* Who has been a whole buffer behind for so long, while others have read all, is cut off: they wait for it. */
static void cut_the_slow(struct timer *t)
{
	struct flight *f = container_of(t, struct flight, stall);
	size_t total = capture_total(f->capture);
	bool anyone = false;
	list_each(l, &f->members)
		anyone |= member_of(l)->reading.sent == total;
	if (!anyone)
		return;
	f->busy = true;
	list_each(l, &f->members) {
		struct member *m = member_of(l);
		if (m->reading.ex && m->reading.sent == f->capture->base && f->capture->len >= f->limits.buffer) {
			struct exchange *ex = m->ex;
			m->reading.over = true;
			exchange_upstream_failed(ex, REASON_upstream_reset);
		}
	}
	f->busy = false;
	flight_make_room(f);
}

static void cut_all(struct flight *f)
{
	flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_failed);     /* they have seen nothing of it */
	list_each(l, &f->members) {
		struct member *m = member_of(l);
		if (m->state != MEMBER_READING || m->reading.over)
			continue;
		m->reading.over = true;
		if (m->reading.ex)
			exchange_upstream_failed(m->ex, REASON_upstream_reset);
		else
			m->broken = true;         /* it was told, and has not begun */
	}
}

static void feed_all(struct flight *f)
{
	list_each(l, &f->members)
		if (member_of(l)->state == MEMBER_READING && member_of(l)->reading.ex)
			reading_feed(&member_of(l)->reading);
}

/* Beyond `buffer` it is only passed through: what all have read goes, and the sender waits for the slowest. */
void flight_make_room(struct flight *f)
{
	if (f->capture->base == 0 && f->capture->len <= f->limits.buffer) {
		if (f->owed && f->child)
			exchange_reply_taken(f->child, f->owed);
		f->owed = 0;
		return;
	}
	pthread_mutex_lock(&f->core->lock);
	flight_unlist(f);                                /* nobody can join any more */
	pthread_mutex_unlock(&f->core->lock);
	flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_full);
	capture_drop(f->capture, slowest(f));
	if (f->capture->len > f->limits.buffer) {
		if (!timer_armed(&f->stall))
			worker_arm(f->worker, &f->stall, STALL_US, cut_the_slow);
		return;
	}
	worker_disarm(f->worker, &f->stall);
	if (!f->owed || !f->child)
		return;
	size_t owed = f->owed;
	f->owed = 0;
	exchange_reply_taken(f->child, owed);
}

static void take_body(struct flight *f, struct span bytes, bool end)
{
	f->owed += bytes.len;
	if (!capture_add(f->capture, bytes)) {
		cut_all(f);
		flight_give_up(f, false);
		return;
	}
	f->capture->ended = end;
	if (end)
		worker_disarm(f->worker, &f->stall);      /* it is all there: nobody waits for the slow any more */
	feed_all(f);
	if (!end)
		flight_make_room(f);
	else if (f->capture->base == 0)
		flight_tell_away(f, f->capture, REASON_NONE, 0, COALESCE_shared);
	nobody_left(f);
}

static void child_body(void *client, struct exchange *child, struct slice bytes, bool end)
{
	struct flight *f = client;
	f->busy = true;
	if (f->state == SHARED && !f->give_up)
		take_body(f, slice_span(bytes), end);
	else if (bytes.len)
		exchange_reply_taken(child, bytes.len);
	f->busy = false;
	if (!end)
		return;
	if (f->state != FETCHING) {
		pthread_mutex_lock(&f->core->lock);
		flight_unlist(f);
		pthread_mutex_unlock(&f->core->lock);
	}
	exchange_client_done(child);              /* child_done comes from inside: it may be gone then */
}

static void child_abort(void *client, struct exchange *child)
{
	struct flight *f = client;
	(void)child;
	f->busy = true;
	f->child = NULL;
	pthread_mutex_lock(&f->core->lock);
	flight_unlist(f);
	pthread_mutex_unlock(&f->core->lock);
	cut_all(f);
	f->state = OVER;
	f->busy = false;
}

static void child_done(void *client, struct exchange *child)
{
	struct flight *f = client;
	(void)child;
	f->child = NULL;
	if (f->state == FETCHING && !f->give_up && !elect(f)) {
		/* nobody of this worker is left to lead */
		pthread_mutex_lock(&f->core->lock);
		flight_unlist(f);
		pthread_mutex_unlock(&f->core->lock);
		flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_failed);
		tell_members(f, NULL, REASON_NONE, 0, COALESCE_failed, true);
		f->state = OVER;
	}
	flight_free_if_done(f);
}

static void child_informs(void *client, struct exchange *child, const struct reply *r) { (void)client; (void)child; (void)r; }
static void child_wants(void *client, struct exchange *child, size_t n) { (void)client; (void)child; (void)n; }
static const struct client_ops child_ops = {
	.send_informational = child_informs, .send_head = child_head, .send_body = child_body, .want = child_wants, .abort = child_abort,
	.done = child_done,
};
