/* back_h1.c - the life of a connection to an endpoint: opened for a call, given back to its pool, closed; and the table of upstream_ops. */
#include "edge/back_h1.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "back.h"
#include "base/must.h"
#include "splice.h"

enum {
	BODY_MAX = 2 * PIPE_WINDOW_MAX + 2 * CHUNK_BODY,
	OUT_MAX = 6 * BODY_MAX,                   /* a body in chunks of one byte is six times as long on the wire */
	STALE_US = 100000,                        /* an unrepeatable request looks twice at a connection that idled longer */
};

static const struct stream_events back_events;
static void timed_out(struct timer *t);
static enum reason open_back(struct call *call);

struct call *back_detach(struct back *b)
{
	struct call *call = b->call;
	if (call)
		call->back = NULL;
	b->call = NULL;
	return call;
}

void back_leave(struct back *b)
{
	back_detach(b);
	b->state = BACK_LEAVING;
	b->pool->backend->leaving++;
	b->since_us = back_now(b);
	stream_poke(&b->stream);
}

/* A connection is gone: somebody who waits for one may open another. */
static void serve_waiting(struct pool *pool)
{
	while (pool->open < pool->max_open && !list_empty(&pool->waiting)) {
		struct call *call = container_of(list_shift(&pool->waiting), struct call, waiting);
		enum reason why = open_back(call);
		if (why != REASON_NONE) {
			buf_fini(&call->body);
			exchange_upstream_failed(call->ex, why);
		}
	}
	pool_forget_if_empty(pool);
}

void back_close(struct back *b)
{
	struct pool *pool = b->pool;
	if (b->stream.closed)
		return;
	must(!b->call);
	if (b->state == BACK_LEAVING)
		b->pool->backend->leaving--;
	worker_disarm(&b->stream.loop->worker, &b->timer);
	link_remove(&b->on_idle);
	link_remove(&b->on_backs);
	stream_close(&b->stream);
	pool->open--;
	__atomic_fetch_sub(&pool->endpoint->connections, 1, __ATOMIC_RELAXED);
	serve_waiting(pool);
}

static void free_back(struct stream *s)
{
	struct back *b = container_of(s, struct back, stream);
	splice_done(&b->pipe);
	h1_reader_fini(&b->reader);
	free(b);
}

/* The try is over, badly. */
void back_fail(struct back *b, enum reason why)
{
	struct call *call = back_detach(b);
	if (call) {
		struct exchange *ex = call->ex;
		if (!b->head_read)
			ex->reply = (struct reply){ 0 };  /* a refused head may have left a half of itself */
		ex->reused_dead = b->reused && !b->got_bytes && why == REASON_upstream_reset;
		exchange_upstream_failed(ex, why);
	}
	back_close(b);
}

static void go_idle(struct back *b)
{
	struct call *next = NULL;
	b->served++;
	h1_reader_next(&b->reader);
	b->state = BACK_IDLE;
	b->since_us = back_now(b);
	if (!list_empty(&b->pool->waiting))
		next = container_of(list_shift(&b->pool->waiting), struct call, waiting);
	else
		list_push(&b->pool->idle, &b->on_idle);
	stream_want_input(&b->stream, true);      /* an idle connection that becomes readable is over */
	if (!timer_armed(&b->timer))
		worker_arm(&b->stream.loop->worker, &b->timer, b->pool->conf->idle_timeout_us, timed_out);
	if (next) {
		counter_add(&back_stats(next->ex)->reused, 1);
		back_begin_call(b, next);
	}
}

void back_reply_over(struct back *b, bool more_bytes)
{
	const struct conf_pool *conf = b->pool->conf;
	bool keep = b->keep && b->request_ended && b->stream.out.len == 0 && !b->stream.hup && !more_bytes && !b->tunnel
		&& (!conf->max_requests || b->served + 1 < conf->max_requests);
	struct exchange *ex = back_detach(b)->ex;
	splice_done(&b->pipe);
	exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
	if (keep)
		go_idle(b);
	else
		back_close(b);
}


void back_break_off(struct back *b)
{
	b->broken = true;
	timer_arm(&b->stream.loop->worker.timers, &b->timer, 0, timed_out);
}

static enum reason reason_of_connect(int error)
{
	return error == ETIMEDOUT ? REASON_connection_timeout : error == ENOMEM || error == EMFILE || error == ENFILE ? REASON_internal_error
		: REASON_connection_refused;
}

static struct back *back_new(struct pool *pool)
{
	struct back *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->pool = pool;
	link_init(&b->on_idle);
	link_init(&b->on_backs);
	h1_reader_init(&b->reader, false, &pool->backend->limits, &pool->backend->loop->worker.chunks);
	return b;
}

/* Opens a connection for this call, to the next of the endpoint's addresses that can be tried at all. */
static enum reason open_back(struct call *call)
{
	struct pool *pool = call->pool;
	struct backend *backend = pool->backend;
	struct address address;
	enum reason why;
	int error;

	struct back *b = back_new(pool);
	if (!b)
		return REASON_internal_error;
	do {
		error = EHOSTUNREACH;
		if (!endpoint_address(pool->endpoint, &address, &why))
			break;
		call->addresses_tried++;
		error = stream_connect(&b->stream, backend->loop, (struct sockaddr *)&address.at, address.len, &back_events, OUT_MAX);
		why = reason_of_connect(error);
	} while (error && call->addresses_tried < endpoint_address_count(pool->endpoint));
	if (error) {
		h1_reader_fini(&b->reader);
		free(b);
		return why;
	}
	pool->open++;
	__atomic_fetch_add(&pool->endpoint->connections, 1, __ATOMIC_RELAXED);
	list_append(&backend->backs, &b->on_backs);
	b->state = BACK_CONNECTING;
	b->since_us = back_now(b);
	worker_arm(&backend->loop->worker, &b->timer, pool->endpoint->upstream->conf->connect_timeout_us, timed_out);
	counter_add(&back_stats(call->ex)->opened, 1);
	back_begin_call(b, call);
	return REASON_NONE;
}

/* Names like localhost have several addresses, and the app may listen on one of them only. Nothing of the request was written yet,
 * so what is queued goes to the next address as it is. */
static void connect_failed(struct back *b, enum reason why)
{
	struct call *call = b->call;
	struct address address;
	while (call->addresses_tried < endpoint_address_count(b->pool->endpoint)
			&& endpoint_address(b->pool->endpoint, &address, &why)) {
		call->addresses_tried++;
		int error = stream_reconnect(&b->stream, (struct sockaddr *)&address.at, address.len);
		why = reason_of_connect(error);
		if (error)
			continue;
		worker_arm(&b->stream.loop->worker, &b->timer, b->pool->endpoint->upstream->conf->connect_timeout_us, timed_out);
		return;
	}
	back_fail(b, why);
}

static void back_connected(struct stream *s, int error)
{
	struct back *b = container_of(s, struct back, stream);
	if (error) {
		connect_failed(b, reason_of_connect(error));
		return;
	}
	b->state = BACK_BUSY;
	b->call->ex->timing.connect_us = back_now(b) - b->since_us + 1;
	hist_add(&back_stats(b->call->ex)->connect, back_now(b) - b->since_us);
}

static void timed_out(struct timer *t)
{
	struct back *b = container_of(t, struct back, timer);
	uint64_t idle_us = b->pool->conf->idle_timeout_us;
	if (b->broken) {
		back_fail(b, REASON_internal_error);
	} else if (b->state == BACK_CONNECTING) {
		counter_add(&b->call->ex->route->stats->timeouts[TIMEOUT_connect], 1);
		connect_failed(b, REASON_connection_timeout);
	} else if (b->state == BACK_BUSY) {
		worker_arm(&b->stream.loop->worker, t, idle_us, timed_out);
	} else if (back_now(b) >= b->since_us + idle_us) {
		back_close(b);
	} else
		timer_arm(&b->stream.loop->worker.timers, t, b->since_us + idle_us, timed_out);
}

/* Has the endpoint closed this idle connection, and the news just not been looked at? */
static bool is_stale(const struct back *b)
{
	char byte;
	return recv(b->stream.watch.fd, &byte, 1, MSG_PEEK) >= 0 || errno != EAGAIN;
}

static struct back *take_idle(struct pool *pool, const struct exchange *ex)
{
	while (!list_empty(&pool->idle)) {
		struct back *b = container_of(list_shift(&pool->idle), struct back, on_idle);
		if (method_is_idempotent(ex->request.method) || back_now(b) < b->since_us + STALE_US || !is_stale(b))
			return b;
		back_close(b);
	}
	return NULL;
}

static void *back_start(void *self, struct exchange *ex)
{
	struct pool *pool = pool_of(self, ex->endpoint);
	struct call *call = arena_take_zeroed(&ex->arena, sizeof(*call));
	if (!pool || !call) {
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	call->ex = ex;
	call->pool = pool;
	link_init(&call->waiting);
	buf_init(&call->body, &ex->worker->chunks, BODY_MAX);
	pool->holds++;
	struct back *b = take_idle(pool, ex);
	enum reason why = REASON_NONE;
	if (b) {
		counter_add(&back_stats(ex)->reused, 1);
		back_begin_call(b, call);
	} else if (pool->open < pool->max_open)
		why = open_back(call);
	else
		list_append(&pool->waiting, &call->waiting);
	pool->holds--;
	if (why == REASON_NONE)
		return call;
	exchange_upstream_failed(ex, why);
	pool_forget_if_empty(pool);
	return NULL;
}

static void back_cancel(void *handle)
{
	struct call *call = handle;
	struct back *b = call->back;
	buf_fini(&call->body);
	if (b) {
		back_detach(b);
		back_close(b);                    /* half a request, or half a reply: of no use to anybody else */
		return;
	}
	link_remove(&call->waiting);
	pool_forget_if_empty(call->pool);
}

static const struct stream_events back_events = {
	.input = back_input, .wrote = back_wrote, .connected = back_connected, .gone = back_gone, .free = free_back,
};

static const struct upstream_ops back_ops = {
	.splices = true, .start = back_start, .body = back_body, .want = back_want, .cancel = back_cancel,
};

struct upstream_server backend_server(struct backend *backend) { return (struct upstream_server){ &back_ops, backend }; }

bool backend_still_writes(const struct backend *backend) { return backend->leaving > 0; }

void backend_free(struct backend *backend)
{
	list_each(l, &backend->backs)
		back_close(container_of(l, struct back, on_backs));
	map_fini(&backend->pools);
	free(backend);
}
