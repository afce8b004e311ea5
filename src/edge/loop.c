/* loop.c - see loop.h for the order of a turn. Invariant: chores and exchanges that are pending keep the loop from sleeping. */
#include "edge/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "core/exchange.h"
#include "splice.h"

enum { EVENTS_PER_TURN = 256, TURN_MAX_MS = 1000 };

uint64_t clock_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void take_time(struct loop *loop)
{
	loop->worker.now_us = clock_now_us();
	loop->worker.wall_ms = clock_wall_ms();
	__atomic_store_n(loop->pulse_us, loop->worker.now_us, __ATOMIC_RELAXED);
}

/* ── messages from other threads ── */

static void bell_rang(uv_async_t *bell)
{
	struct loop *loop = bell->data;
	pthread_mutex_lock(&loop->inbox_lock);
	struct message *m = loop->inbox_first;
	loop->inbox_first = NULL;
	loop->inbox_last = &loop->inbox_first;
	pthread_mutex_unlock(&loop->inbox_lock);
	while (m) {
		struct message *next = m->next;
		m->run(m);
		m = next;
	}
}

void loop_post(struct loop *loop, struct message *m)
{
	m->next = NULL;
	pthread_mutex_lock(&loop->inbox_lock);
	*loop->inbox_last = m;
	loop->inbox_last = &m->next;
	pthread_mutex_unlock(&loop->inbox_lock);
	uv_async_send(&loop->bell);
}

static void post(struct worker *w, struct message *m) { loop_post(loop_of(w), m); }

/* ── watches ── */

static void uv_is_ready(struct watch *w, uint32_t events)
{
	(void)events;
	container_of(w, struct loop, uv_watch)->uv_ready = true;
}

bool loop_watch(struct loop *loop, struct watch *w, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	w->fd = fd;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

bool loop_watch_room(struct loop *loop, struct watch *w, int fd) { return loop_watch(loop, w, fd, EPOLLOUT | EPOLLONESHOT); }

void loop_unwatch(struct loop *loop, struct watch *w)
{
	struct epoll_event none = { 0 };
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, w->fd, &none);
}

/* ── life ── */

bool loop_init(struct loop *loop, unsigned index, uint64_t seed)
{
	memset(loop, 0, sizeof(*loop));
	worker_init(&loop->worker, index, seed);
	loop->worker.post = post;
	list_init(&loop->again);
	list_init(&loop->flush);
	list_init(&loop->dead);
	pthread_mutex_init(&loop->inbox_lock, NULL);
	loop->inbox_last = &loop->inbox_first;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->uv_watch.ready = uv_is_ready;
	if (loop->epoll_fd < 0 || uv_loop_init(&loop->uv) != 0)
		return false;
	loop->bell.data = loop;
	loop->pulse_us = &loop->own_pulse_us;
	take_time(loop);
	return uv_async_init(&loop->uv, &loop->bell, bell_rang) == 0
		&& loop_watch(loop, &loop->uv_watch, uv_backend_fd(&loop->uv), EPOLLIN);
}

void loop_fini(struct loop *loop)
{
	uv_close((uv_handle_t *)&loop->bell, NULL);
	while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
		;
	must(uv_loop_close(&loop->uv) == 0);
	splice_pool_fini(loop);
	chunk_unref(loop->read_chunk);
	chunk_unref(loop->body_chunk);
	close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->inbox_lock);
	worker_fini(&loop->worker);
}

void loop_stop(struct loop *loop) { loop->stop = true; }

void loop_halt(struct loop *loop)
{
	__atomic_store_n(&loop->halted, true, __ATOMIC_RELEASE);
	uv_async_send(&loop->bell);               /* may be called from signal handlers, says its manual */
}

/* ── a turn ── */

static void run_chores(struct list *list)
{
	struct list now;
	list_init(&now);
	list_join(&now, list);
	for (struct link *l; (l = list_shift(&now)); ) {
		struct chore *c = container_of(l, struct chore, link);
		c->run(c);
	}
}

void loop_bury(struct loop *loop)
{
	bell_rang(&loop->bell);                   /* what was posted too late: its sender counts on its being run */
	exchanges_run(&loop->worker);
	while (!list_empty(&loop->dead))
		run_chores(&loop->dead);
}

static int sleep_ms(const struct loop *loop)
{
	if (!list_empty(&loop->again) || !list_empty(&loop->flush) || loop->worker.ready_count || loop->stop)
		return 0;
	int wait = uv_backend_timeout(&loop->uv), ours = TURN_MAX_MS;   /* its clock may lag: then it is asked again, not overslept */
	uint64_t due = timers_next(&loop->worker.timers), now = loop->worker.now_us;
	if (due <= now)
		return 0;
	if (due - now < (uint64_t)TURN_MAX_MS * 1000)
		ours = (int)((due - now + 999) / 1000);   /* never early: a timer that is not due would only spin */
	return wait >= 0 && wait < ours ? wait : ours;
}

static void walk_and_flush(struct loop *loop)
{
	/* A write may complete an exchange, and its connection then begins with the next request: a few rounds without sleeping
	 * serve those at once; what still remains keeps sleep_ms at 0. */
	for (int round = 0; round < 4; round++) {
		bool more = exchanges_run(&loop->worker);
		run_chores(&loop->flush);
		if (!more && loop->worker.ready_count == 0 && list_empty(&loop->worker.graveyard) && list_empty(&loop->flush))
			break;
	}
}

/* libuv looks at its clock only when it runs; a data thread has no uv timers, and pays nothing here. */
static bool uv_is_due(uv_loop_t *uv)
{
	if (uv_backend_timeout(uv) > 0)
		uv_update_time(uv);
	return uv_backend_timeout(uv) == 0;
}

static void turn(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, sleep_ms(loop));
	must(n >= 0 || errno == EINTR);
	if (__atomic_load_n(&loop->halted, __ATOMIC_ACQUIRE))
		loop->on_halt(loop->halt_self);

	take_time(loop);
	if (uv_backend_timeout(&loop->uv) > 0)
		uv_update_time(&loop->uv);        /* its timers fall due by a time that otherwise only uv_run moves */
	uint64_t began = loop->worker.now_us;
	run_chores(&loop->again);                 /* of the turn before: who comes back has let the others go first, and the walker too */
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;
		w->ready(w, events[i].events);
	}
	timers_run(&loop->worker.timers, loop->worker.now_us);
	if (loop->uv_ready || uv_is_due(&loop->uv)) {
		loop->uv_ready = false;
		uv_run(&loop->uv, UV_RUN_NOWAIT);
	}
	walk_and_flush(loop);
	run_chores(&loop->dead);

	uint64_t took = clock_now_us() - began;
	__atomic_store_n(&loop->timers_armed, loop->worker.timers.armed, __ATOMIC_RELAXED);
	counter_add(&loop->turns, 1);
	counter_add(&loop->busy_us, took);
	if (took > counter_get(&loop->lag_us))
		__atomic_store_n(&loop->lag_us, took, __ATOMIC_RELAXED);
}

void loop_run(struct loop *loop)
{
	loop->stop = false;
	while (!loop->stop)
		turn(loop);
}
