/* data_thread.c - one data thread. Built and torn down by the control thread while the thread does not run. */
#include "app/data_thread.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/access_log.h"
#include "app/crash.h"
#include "app/flags.h"
#include "app/observe.h"
#include "app/reload.h"
#include "app/server.h"
#include "base/log.h"
#include "edge/front_h1.h"
#include "policy/registry.h"

enum { DRAIN_POLL_US = 10000, DRAIN_SPREAD_US = 1000000 };

static struct upstream_server server_of(void *self, struct upstream *u)
{
	(void)u;
	return backend_server(self);
}

static struct router *make_router(struct data_thread *t, struct conf *conf, struct upstream **upstreams, const struct worker_stores *stores)
{
	struct server *s = t->server;
	struct router_parts parts = {
		.conf = conf, .worker = &t->loop.worker, .upstreams = upstreams, .shared = s->shared,
		.server_of = server_of, .self = t->backend, .instance = { s->instance, sizeof(s->instance) }, .book = t->book,
		.stores = stores->at, .store_count = stores->count,
	};
	parts.types = policy_types(&parts.type_count);
	return router_new(&parts);
}

static bool make_stores(struct data_thread *t, const struct stores *stores, struct worker_stores *out)
{
	struct server *s = t->server;
	const struct redis_parts where = { .loop = &t->loop, .shared = s->shared, .instance = { s->instance, sizeof(s->instance) } };
	return worker_stores_make(out, &t->stores, stores, &where);
}

/* ── listeners ── */

static struct listener *listener_at(const struct listeners *from, struct span address)
{
	for (unsigned i = 0; from && i < from->count; i++)
		if (span_eq(from->at[i]->address, address))
			return from->at[i];
	return NULL;
}

static bool listens(const struct listeners *in, const struct listener *l)
{
	for (unsigned i = 0; in && i < in->count; i++)
		if (in->at[i] == l)
			return true;
	return false;
}

static struct listener *take_over(struct sockets *from, struct span address, unsigned thread)
{
	struct socket_row *row = sockets_row(from, address);
	struct listener *l = row && row->fds[thread] >= 0 ? listener_new(row->fds[thread], address) : NULL;
	if (l)
		row->fds[thread] = -1;
	return l;
}

static void drop(struct listeners *what, const struct listeners *stay)
{
	for (unsigned i = 0; what && i < what->count; i++)
		if (!listens(stay, what->at[i]))
			listener_free(what->at[i]);
	free(what);
}

bool data_thread_prepare_listeners(struct data_thread *t, const struct conf *conf, struct sockets *added)
{
	struct listeners *next = calloc(1, sizeof(*next) + conf->listener_count * sizeof(*next->at));
	for (unsigned i = 0; next && i < conf->listener_count; i++) {
		struct span address = conf->listeners[i].address;
		struct listener *l = listener_at(t->shown_listeners, address);
		if (!l && !(l = take_over(added, address, t->loop.worker.index))) {
			drop(next, t->shown_listeners);
			return false;
		}
		next->at[next->count++] = l;
	}
	t->next_listeners = next;
	return next != NULL;
}

void data_thread_drop_listeners(struct data_thread *t)
{
	drop(t->next_listeners, t->shown_listeners);
	t->next_listeners = NULL;
}

static void switch_listeners(struct data_thread *t)
{
	struct listeners *old = t->listeners;
	t->listeners = t->next_listeners;
	t->next_listeners = NULL;
	for (unsigned i = 0; i < t->listeners->count; i++)
		if (!listens(old, t->listeners->at[i])) {
			listener_start(t->listeners->at[i], &t->step);
			if (t->loop.worker.leaving)       /* TERM came while the reload was on its way */
				listener_drain(t->listeners->at[i]);
		}
	for (unsigned i = 0; old && i < old->count; i++)
		if (!listens(t->listeners, old->at[i]))
			listener_leave(old->at[i]);
	free(old);
}

static void free_listeners(struct data_thread *t)
{
	drop(t->next_listeners, t->listeners);    /* told to adopt it, the thread has ended first */
	drop(t->listeners, NULL);
	list_each(l, &t->step.leaving)
		listener_free(container_of(l, struct listener, on_leaving));
}

/* ── life ── */

static struct h1_limits h1_limits_of(const struct conf_client *c)
{
	return (struct h1_limits){ (unsigned)c->max_header_size, (unsigned)c->max_headers, (unsigned)c->max_target_size };
}

bool data_thread_init(struct data_thread *t, struct server *s, unsigned index)
{
	const struct conf_client *c = &s->conf->client;
	t->server = s;
	if (!loop_init(&t->loop, index, clock_now_us() * 31 + index + 1))
		return false;
	estate_desk_init(&t->desk, s->estate, index);
	t->backend = backend_new(&t->loop, s->thread_count);
	t->step = (struct doorstep){
		.loop = &t->loop, .limits = c, .gate = s->gate, .trust = s->trust,
		.h1 = h1_limits_of(c),
	};
	list_init(&t->step.fronts);
	list_init(&t->step.leaving);
	t->book = stats_book_new();
	if (!t->backend || !t->book || !make_stores(t, s->stores, &t->stores)
			|| !(t->step.router = make_router(t, s->conf, s->upstreams, &t->stores)))
		return false;
	t->shown = t->step.router;
	t->loop.worker.flag_book = flags_book(s->flags);
	observe_worker(s, &t->loop.worker);
	if (!data_thread_prepare_listeners(t, s->conf, &s->sockets))
		return false;
	t->shown_listeners = t->next_listeners;
	switch_listeners(t);
	return true;
}

static void *thread_main(void *self)
{
	struct data_thread *t = self;
	crash_thread_begins(t);
	loop_run(&t->loop);
	__atomic_store_n(t->loop.pulse_us, 0, __ATOMIC_RELAXED);
	return NULL;
}

bool data_thread_start(struct data_thread *t)
{
	sigset_t all, before;
	if (t->server->estate)
		t->loop.pulse_us = &t->server->estate->worker[t->loop.worker.index].pulse_us;
	__atomic_store_n(t->loop.pulse_us, clock_now_us(), __ATOMIC_RELAXED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);      /* signals are the control thread's */
	t->running = pthread_create(&t->thread, NULL, thread_main, t) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return t->running;
}

/* ── on the thread ── */

static void look_if_empty(struct timer *timer)
{
	struct data_thread *t = container_of(timer, struct data_thread, drain_poll);
	if (t->step.front_count == 0 && t->loop.worker.live_count == 0 && !backend_still_writes(t->backend))
		server_thread_drained(t->server);
	else
		worker_arm(&t->loop.worker, timer, DRAIN_POLL_US, look_if_empty);
}

void data_thread_keep_alive_off(struct data_thread *t) { t->loop.worker.draining = true; }
void data_thread_keep_alive_on(struct data_thread *t) { t->loop.worker.draining = false; }
void data_thread_hurry_on(struct data_thread *t) { front_h1_hurry(&t->step, true); }
void data_thread_hurry_off(struct data_thread *t) { front_h1_hurry(&t->step, false); }

void data_thread_build(struct data_thread *t)
{
	const struct reload *r = t->server->reload;
	t->next = make_stores(t, r->stores, &t->next_stores) ? make_router(t, r->conf, r->upstreams, &t->next_stores) : NULL;
	t->built = t->next != NULL;
	t->report.run = reload_built;
	loop_post(&t->server->control, &t->report);
}

/* Exchanges that run keep the router that they began with. Limits of the client side hold from now on, also for connections that are there. */
void data_thread_adopt(struct data_thread *t)
{
	const struct reload *r = t->server->reload;
	const struct conf_client *c = &r->conf->client;
	router_unref(t->step.router);
	t->step.router = t->next;
	t->next = NULL;
	worker_stores_give(&t->stores);
	t->stores = t->next_stores;
	t->next_stores.count = 0;
	worker_stores_adopt(&t->stores, t->server->stores);
	t->step.limits = c;
	t->step.trust = r->trust;
	t->step.h1 = h1_limits_of(c);
	access_log_adopt(t->server->access_log, &t->loop.worker);
	switch_listeners(t);
	t->report.run = reload_adopted;
	loop_post(&t->server->control, &t->report);
}

void data_thread_discard(struct data_thread *t)
{
	router_unref(t->next);
	t->next = NULL;
	worker_stores_give(&t->next_stores);
	t->report.run = reload_adopted;
	loop_post(&t->server->control, &t->report);
}

/* Each thread takes its share: the entries are its own, as is the descriptor in each. */
void data_thread_board(struct data_thread *t)
{
	struct survivors *all = t->server->survivors;
	for (unsigned i = t->loop.worker.index; i < all->count; i += t->server->thread_count) {
		struct survivor *one = &all->at[i];
		struct listener *l = listener_at(t->listeners, span_of(one->address));
		if (l)
			listener_let_in(l, one->fd);
		else
			close(one->fd);           /* a reload has taken it away; its connections were to leave anyway */
		one->fd = -1;
	}
}

void data_thread_drain(struct data_thread *t)
{
	uint64_t patience_us = t->step.router->conf->shutdown.timeout_us;
	t->loop.worker.draining = true;
	for (unsigned i = 0; i < t->listeners->count; i++)
		listener_drain(t->listeners->at[i]);
	front_h1_drain(&t->step, DRAIN_SPREAD_US);
	exchanges_farewell(&t->loop.worker, patience_us / 2 < DRAIN_SPREAD_US ? patience_us / 2 : DRAIN_SPREAD_US);
	worker_arm(&t->loop.worker, &t->drain_poll, LISTEN_LAST_LOOK_US + DRAIN_POLL_US, look_if_empty);
}

static void stop_as_told(struct message *m)
{
	struct data_thread *t = container_of(m, struct data_thread, stop);
	for (unsigned i = 0; i < t->listeners->count; i++)
		listener_stop(t->listeners->at[i]);
	list_each(l, &t->step.leaving)
		listener_stop(container_of(l, struct listener, on_leaving));
	worker_disarm(&t->loop.worker, &t->drain_poll);
	front_h1_close_all(&t->step);
	exchanges_leave(&t->loop.worker);
	loop_stop(&t->loop);
}

struct told { struct message message; struct data_thread *thread; void (*what)(struct data_thread *); };

static void do_as_told(struct message *m)
{
	struct told *told = container_of(m, struct told, message);
	told->what(told->thread);
	free(told);
}

static void probed(struct message *m)
{
	struct probe *p = container_of(m, struct probe, message);
	uint64_t now = clock_now_us();            /* not the turn's: what stood before it in this turn counts */
	__atomic_store_n(&p->lag_us, now > p->sent_us ? now - p->sent_us : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->under_way, false, __ATOMIC_RELEASE);
}

/* ── on the control thread ── */

uint64_t data_thread_lag_us(struct data_thread *t, uint64_t now_us)
{
	struct probe *p = &t->probe;
	if (__atomic_load_n(&p->under_way, __ATOMIC_ACQUIRE))
		return now_us > p->sent_us ? now_us - p->sent_us : 0;
	uint64_t lag = __atomic_exchange_n(&p->lag_us, 0, __ATOMIC_RELAXED);
	if (__atomic_load_n(&t->loop.worker.live_count, __ATOMIC_RELAXED) == 0)
		return lag;                       /* who has nothing to do is left asleep */
	p->under_way = true;
	p->sent_us = clock_now_us();
	p->message.run = probed;
	loop_post(&t->loop, &p->message);
	return lag;
}

bool data_thread_tell(struct data_thread *t, void (*what)(struct data_thread *))
{
	struct told *told = calloc(1, sizeof(*told));
	if (!told)
		return false;
	*told = (struct told){ .message.run = do_as_told, .thread = t, .what = what };
	loop_post(&t->loop, &told->message);
	return true;
}

static void carry_out(struct message *m)
{
	struct order *o = container_of(m, struct order, message);
	o->what(container_of(o, struct data_thread, order));
}

void data_thread_order(struct data_thread *t, void (*what)(struct data_thread *))
{
	t->order = (struct order){ .message.run = carry_out, .what = what };
	loop_post(&t->loop, &t->order.message);
}

void data_thread_stop(struct data_thread *t)
{
	t->stop.run = stop_as_told;
	loop_post(&t->loop, &t->stop);
}

void data_thread_join(struct data_thread *t)
{
	if (t->running)
		pthread_join(t->thread, NULL);
	t->running = false;
}

void data_thread_fini(struct data_thread *t)
{
	if (t->backend)
		backend_free(t->backend);
	loop_bury(&t->loop);
	router_unref(t->step.router);
	router_unref(t->next);
	worker_stores_give(&t->stores);
	worker_stores_give(&t->next_stores);
	loop_bury(&t->loop);
	free_listeners(t);
	stats_book_free(t->book);
	loop_fini(&t->loop);
}
