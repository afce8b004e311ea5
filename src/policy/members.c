/* members.c - who joins a flight, leaves it, and reads it: see flight.h. */
#include <stdlib.h>

#include "flight_parts.h"
#include "vary.h"

/* ── by message ── */

void flight_tell_members(struct list *parcels)
{
	for (struct link *l; (l = list_shift(parcels)); ) {
		struct member *m = member_of(l);
		struct capture *c = m->capture;
		m->capture = NULL;
		if (m->varies) {
			m->varies = false;
			m->state = MEMBER_NONE;
			m->again(m);
			continue;
		}
		member_answer(m, c, m->refusal, m->retry_after_s);
		capture_unref(c);
	}
}

void flight_call_back(struct list *parcels)
{
	for (struct link *l; (l = list_first(parcels)); ) {
		struct flight *f = container_of(l, struct flight, look);
		pthread_mutex_lock(&f->core->lock);       /* others look whether it is sent already */
		link_remove(l);
		pthread_mutex_unlock(&f->core->lock);
		if (f->child && !f->give_up && flight_count(f) == 0)
			flight_give_up(f, f->timed_out);
		else
			flight_free_if_done(f);
	}
}

/* ── members come and go ── */

/* Takes off in the name of its first member. */
static enum joined take_off(struct flight *f, struct member *m)
{
	if (flight_spawn_for(f, m))
		return JOINED_WAIT;
	link_remove(&m->link);
	m->state = MEMBER_NONE;
	m->flight = NULL;
	pthread_mutex_lock(&f->core->lock);
	f->count--;
	flight_unlist(f);
	pthread_mutex_unlock(&f->core->lock);
	flight_tell_away(f, NULL, REASON_NONE, 0, COALESCE_failed);
	flight_free_if_done(f);
	return JOINED_NONE;
}

/* What is known of the key: with which fields of the request it goes on. false: answers to it are not for all. */
static bool complete_key(const struct coalesce_core *core, struct text *key, const struct exchange *ex)
{
	uint64_t now_us = ex->worker->now_us;
	const struct known *varies = known_find(&core->varying, span_hash(text_span(key), core->flights.seed), now_us);
	if (varies)
		vary_add(key, span_of(varies->names), ex);
	return !key->cut && !known_find(&core->private, span_hash(text_span(key), core->flights.seed), now_us);
}

/* The one that is on its way; or a new one, in *opened too. */
static struct flight *find_or_open(struct coalesce_core *core, const struct flight_limits *limits, struct text *key, struct member *m,
	struct flight **opened)
{
	size_t base = key->len;
	if (!complete_key(core, key, m->ex))
		return NULL;
	struct map_entry *found = map_find(&core->flights, text_span(key));
	if (found)
		return container_of(found, struct flight, entry);
	if ((*opened = flight_new(core, limits, text_span(key), m)))
		(*opened)->base = base;
	return *opened;
}

enum joined flight_join(struct coalesce_core *core, const struct flight_limits *limits, struct text *key, struct member *m)
{
	enum joined how = JOINED_WAIT;
	struct flight *opened = NULL;
	bool own = false;

	link_init(&m->link);
	pthread_mutex_lock(&core->lock);
	struct flight *f = find_or_open(core, limits, key, m, &opened);
	if (!f)
		how = JOINED_NONE;
	else if (f->count >= limits->max_members)
		how = JOINED_FULL;
	else {
		own = f->worker == m->ex->worker;
		f->count++;
		m->flight = f;
		m->state = own ? MEMBER_WAITING : MEMBER_AWAY;
		m->leads = opened != NULL;
		list_append(own ? &f->members : &f->away, &m->link);
	}
	pthread_mutex_unlock(&core->lock);
	if (how == JOINED_FULL)
		__atomic_fetch_add(&core->followed[COALESCE_full], 1, __ATOMIC_RELAXED);
	if (how != JOINED_WAIT)
		return how;
	if (opened)
		return take_off(f, m);
	if (own && f->state == SHARED) {          /* it has begun: from the beginning, as far as it has come */
		member_note(core, m, COALESCE_shared);
		member_reads(m, f->capture);
		return JOINED_READ;
	}
	return JOINED_WAIT;
}

static void leave_own(struct member *m, bool timed_out)
{
	struct flight *f = m->flight;
	link_remove(&m->link);
	m->flight = NULL;
	m->reading.over = true;
	if (f->leader == m)
		f->leader = NULL;
	pthread_mutex_lock(&f->core->lock);
	bool last = --f->count == 0;
	pthread_mutex_unlock(&f->core->lock);
	if (last && f->child && !f->give_up)
		flight_give_up(f, timed_out);
	else if (!f->busy && f->capture && !f->capture->ended && f->child) {
		f->busy = true;                   /* the slowest may have left */
		flight_make_room(f);
		f->busy = false;
	} else if (last)
		flight_free_if_done(f);
}

void flight_leave(struct coalesce_core *core, struct member *m, bool timed_out)
{
	pthread_mutex_lock(&core->lock);
	enum member_state state = m->state;
	struct flight *f = m->flight;
	if (state == MEMBER_AWAY) {
		link_remove(&m->link);
		if (--f->count == 0 && !link_on_list(&f->look)) {
			f->timed_out = timed_out;
			crossing_send(f->callback, &f->look);
		}
	} else if (state == MEMBER_TOLD)
		link_remove(&m->link);
	pthread_mutex_unlock(&core->lock);
	m->state = MEMBER_NONE;
	if ((state == MEMBER_WAITING || state == MEMBER_READING) && f)
		leave_own(m, timed_out);
	m->reading.over = true;
	capture_unref(m->capture);
	m->capture = NULL;
}

bool flight_tires(struct coalesce_core *core, struct member *m)
{
	pthread_mutex_lock(&core->lock);
	bool waits = m->state == MEMBER_WAITING || m->state == MEMBER_AWAY;
	pthread_mutex_unlock(&core->lock);
	if (!waits)
		return false;
	/* an AWAY one may be told right now: then leaving takes the message back */
	flight_leave(core, m, false);
	member_note(core, m, COALESCE_timeout);
	return true;
}

/* ── a member's reply ── */

static void *member_start(void *self, struct exchange *ex)
{
	struct member *m = self;
	ex->served_by = m->leads ? SERVED_BY_upstream : SERVED_BY_coalesced;
	if (!m->told)                             /* RFC 9211; a cache further out tells it itself */
		exchange_add_reply_field(ex, SPAN("cache-status"), m->leads ? SPAN("outrigger; fwd=miss") : SPAN("outrigger; fwd=miss; collapsed"));
	if (!m->leads)
		ex->link = m->capture->call;
	if (m->broken) {
		exchange_upstream_failed(ex, REASON_upstream_reset);
		return NULL;
	}
	return reading_start(&m->reading, ex, m->capture) && reading_feed(&m->reading) ? m : NULL;
}

static void member_body(void *call, struct slice bytes, bool end) { (void)call; (void)bytes; (void)end; }

static void member_want(void *call, size_t n)
{
	struct member *m = call;
	struct flight *f = m->flight;
	(void)n;
	if (!reading_feed(&m->reading) || !f || f->busy || !f->child)
		return;
	f->busy = true;
	flight_make_room(f);
	f->busy = false;
}

static void member_cancel(void *call) { ((struct member *)call)->reading.over = true; }

const struct upstream_ops flight_ops = { .start = member_start, .body = member_body, .want = member_want, .cancel = member_cancel };
