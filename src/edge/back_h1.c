/* back_h1.c - one HTTP/1 connection to an endpoint, and the calls that run on it.
 *
 *   call   one try of one exchange; lives in the exchange's arena; waits for a connection or runs on one
 *   back   one connection: CONNECTING or BUSY with a call, or IDLE in its pool
 *
 * Always true:
 *   - call->back and back->call point at each other or are both NULL; a call that ended or was cancelled is on neither.
 *   - a connection goes back to the pool only when its request was written whole, its reply was read whole, nothing came behind it, and both
 *     sides want to go on. Everything else closes it: never another client's bytes.
 *   - what happens before the first byte of a reply on a reused connection is the keep-alive race: ex->reused_dead, and retry repairs it.
 */
#include "edge/back_h1.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/must.h"
#include "core/exchange.h"
#include "edge/stream.h"
#include "http/h1_write.h"
#include "pool.h"
#include "splice.h"

enum {
	OUT_MAX = 2 * PIPE_WINDOW_MAX + 2 * CHUNK_BODY,
	LARGE_BODY = 128 * 1024,
	STALE_US = 100000,                        /* an unrepeatable request looks twice at a connection that idled longer */
};

enum back_state { BACK_CONNECTING, BACK_BUSY, BACK_IDLE };

struct call {
	struct exchange *ex;
	struct pool     *pool;
	struct back     *back;
	struct link      waiting;
	struct buf       body;                    /* came while waiting                               */
	bool             body_ended, body_lost;
	unsigned         addresses_tried;
};

struct back {
	struct stream    stream;
	struct h1_reader reader;
	struct pool     *pool;
	struct call     *call;
	struct link      on_idle, on_backs;
	struct timer     timer;                   /* connect, or idle; lazy                           */
	uint64_t         since_us;                /* connecting: began; idle: since                   */
	size_t           unpaid;
	struct splice   *pipe;                    /* while a long reply body is spliced               */
	uint64_t         served;
	enum back_state  state;
	bool reused, got_bytes;
	bool in_head, head_read;                  /* a head is due; the head that counts was read (1xx do not) */
	bool chunked;                             /* our request body                                 */
	bool request_ended, reply_ended, keep, tunnel;
	bool broken;                              /* out of memory inside a call of the core: the timer ends it */
};

static const struct stream_events back_events;
static void timed_out(struct timer *t);
static enum reason open_back(struct call *call);

static uint64_t now_of(const struct back *b) { return b->stream.loop->worker.now_us; }
static struct upstream_stats *stats_of(const struct exchange *ex)
{
	return &ex->route->router->upstream_stats[ex->route->upstream->index];
}

/* ── ends ── */

static struct call *detach(struct back *b)
{
	struct call *call = b->call;
	if (call)
		call->back = NULL;
	b->call = NULL;
	return call;
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

static void close_back(struct back *b)
{
	struct pool *pool = b->pool;
	if (b->stream.closed)
		return;
	must(!b->call);
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
static void fail(struct back *b, enum reason why)
{
	struct call *call = detach(b);
	if (call) {
		struct exchange *ex = call->ex;
		if (!b->head_read)
			ex->reply = (struct reply){ 0 };  /* a refused head may have left a half of itself */
		ex->reused_dead = b->reused && !b->got_bytes && why == REASON_upstream_reset;
		exchange_upstream_failed(ex, why);
	}
	close_back(b);
}

static void begin_call(struct back *b, struct call *call);

static void go_idle(struct back *b)
{
	struct call *next = NULL;
	b->served++;
	h1_reader_next(&b->reader);
	b->state = BACK_IDLE;
	b->since_us = now_of(b);
	if (!list_empty(&b->pool->waiting))
		next = container_of(list_shift(&b->pool->waiting), struct call, waiting);
	else
		list_push(&b->pool->idle, &b->on_idle);
	stream_want_input(&b->stream, true);      /* an idle connection that becomes readable is over */
	if (!timer_armed(&b->timer))
		worker_arm(&b->stream.loop->worker, &b->timer, b->pool->conf->idle_timeout_us, timed_out);
	if (next) {
		counter_add(&stats_of(next->ex)->reused, 1);
		begin_call(b, next);
	}
}

static void reply_over(struct back *b, bool more_bytes)
{
	const struct conf_pool *conf = b->pool->conf;
	bool keep = b->keep && b->request_ended && b->stream.out.len == 0 && !b->stream.hup && !more_bytes && !b->tunnel
		&& (!conf->max_requests || b->served + 1 < conf->max_requests);
	struct exchange *ex = detach(b)->ex;
	splice_done(&b->pipe);
	exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
	if (keep)
		go_idle(b);
	else
		close_back(b);
}

/* ── the request out ── */

static void break_off(struct back *b)
{
	b->broken = true;
	timer_arm(&b->stream.loop->worker.timers, &b->timer, 0, timed_out);
}

static void send_body_bytes(struct back *b, struct slice bytes, bool end)
{
	struct stream *s = &b->stream;
	char *at;
	bool ok = true;
	if (bytes.len) {
		b->unpaid += bytes.len;
		if (b->chunked) {
			at = stream_room(s, H1_CHUNK_OVERHEAD);
			ok = at != NULL;
			if (ok)
				stream_grew(s, h1_write_chunk_head(at, bytes.len));
		}
		ok = ok && stream_send(s, bytes) && (!b->chunked || stream_send(s, slice_of(SPAN("\r\n"))));
	}
	if (end && b->chunked && ok) {
		const struct fields *trailers = &b->call->ex->request_trailers;
		at = stream_room(s, h1_trailers_size(trailers));
		ok = at != NULL;
		if (ok)
			stream_grew(s, h1_write_last_chunk(at, trailers));
	}
	b->request_ended |= end;
	if (!ok)
		break_off(b);
}

static bool send_request(struct back *b)
{
	struct request out;
	struct exchange *ex = b->call->ex;
	if (!exchange_outbound(ex, &out))
		return false;
	char *at = stream_room(&b->stream, h1_request_size(&out));
	if (!at)
		return false;
	stream_grew(&b->stream, h1_write_request(at, &out, out.upgrade.len ? H1_UPGRADE : H1_KEEP_ALIVE));
	b->chunked = out.framing == BODY_STREAM;
	b->reader.asked = ex->request.method;
	b->reader.asked_upgrade = out.upgrade.len > 0;
	return true;
}

/* The connection is the call's from here on (it may still be connecting). */
static void begin_call(struct back *b, struct call *call)
{
	b->call = call;
	call->back = b;
	if (b->state != BACK_CONNECTING)
		b->state = BACK_BUSY;
	b->reused = b->served > 0;
	b->in_head = true;
	b->got_bytes = b->head_read = b->request_ended = b->reply_ended = b->keep = b->tunnel = false;
	b->unpaid = 0;
	b->reader.arena = &call->ex->arena;
	b->reader.reply = &call->ex->reply;
	stream_want_input(&b->stream, true);
	if (call->body_lost || !send_request(b)) {
		break_off(b);
		return;
	}
	for (const struct buf_piece *p = buf_first(&call->body); p; p = p->next)
		send_body_bytes(b, p->slice, false);
	if (call->body_ended)
		send_body_bytes(b, slice_of(SPAN_NONE), true);
	buf_fini(&call->body);
}

static void back_body(void *handle, struct slice bytes, bool end)
{
	struct call *call = handle;
	struct back *b = call->back;
	if (!b) {                                 /* still waiting for a connection */
		call->body_ended |= end;
		call->body_lost |= !buf_keep(&call->body, bytes);
		return;
	}
	send_body_bytes(b, bytes, end);
	if (!b->tunnel || !end)
		return;
	stream_end(&b->stream);
	if (b->reply_ended) {                     /* the second direction has ended: the core is done with this call */
		detach(b);
		stream_poke(&b->stream);          /* closes once everything is written */
	}
}

static void back_wrote(struct stream *s, size_t n)
{
	struct back *b = container_of(s, struct back, stream);
	if (!b->call) {
		if (b->tunnel && s->out.len == 0)
			close_back(b);
		return;
	}
	if (n && !b->call->ex->request_reached) {
		b->call->ex->request_reached = true;
		b->call->ex->timing.lag_us += clock_now_us() - now_of(b);
	}
	if (b->unpaid > s->out.len) {
		size_t paid = b->unpaid - s->out.len;
		b->unpaid -= paid;
		exchange_request_taken(b->call->ex, paid);
	}
}

/* ── the reply in ── */

/* What a head that was just read means. false: the connection is no longer this call's. */
static bool take_head(struct back *b)
{
	struct exchange *ex = b->call->ex;
	int status = ex->reply.status;

	b->in_head = false;
	if (status >= 200 || status == 101) {
		b->head_read = true;
		b->keep = ex->reply.keep_alive;
		b->tunnel = status == 101;
		if (b->tunnel) {
			h1_reader_tunnel(&b->reader);
			b->request_ended = false;
		}
		exchange_upstream_head(ex);
		return true;
	}
	struct reply informational = ex->reply;   /* 1xx: a head of its own, and the real one is still to come */
	ex->reply = (struct reply){ 0 };
	exchange_upstream_informational(ex, &informational);
	return b->call != NULL;
}

static enum reason reason_of_fault(enum h1_fault fault)
{
	switch (fault) {
	case H1_FAULT_HEAD_TOO_LARGE:
	case H1_FAULT_TOO_MANY_FIELDS:    return REASON_response_header_too_large;
	case H1_FAULT_UNEXPECTED_UPGRADE: return REASON_upgrade_failed;
	case H1_FAULT_NO_MEMORY:          return REASON_internal_error;
	default:                          return REASON_upstream_protocol_error;
	}
}

static void take_in(struct back *b, struct slice got)
{
	struct span in = slice_span(got), data;
	b->got_bytes = true;
	for (;;) {
		if (b->in_head && !h1_reader_head_ready(&b->reader, in)) {
			h1_read(&b->reader, &in, &data);
			return;
		}
		switch (h1_read(&b->reader, &in, &data)) {
		case H1_MORE:
			return;
		case H1_HEAD:
			if (!take_head(b))
				return;
			break;
		case H1_DATA:
			exchange_upstream_body(b->call->ex, slice_in(got.chunk, data), false);
			if (b->call && !exchange_reply_open(b->call->ex))
				stream_want_input(&b->stream, false);
			break;
		case H1_END:
			if (!b->head_read) {      /* of a 1xx */
				h1_reader_next(&b->reader);
				b->in_head = true;
				break;
			}
			if (b->reader.trailers.count)
				b->call->ex->reply_trailers = b->reader.trailers;
			reply_over(b, in.len > 0);
			return;
		case H1_BAD:
			fail(b, reason_of_fault(b->reader.fault));
			return;
		}
		if (!b->call || b->stream.closed) /* the core has dropped the call meanwhile */
			return;
	}
}

static void endpoint_ended(struct back *b, bool by_error)
{
	if (b->tunnel && !by_error) {
		bool over = b->request_ended;
		struct exchange *ex = b->call->ex;
		b->reply_ended = true;
		stream_want_input(&b->stream, false);
		if (over)
			detach(b);
		exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
		if (over)
			stream_poke(&b->stream);
		return;
	}
	switch (by_error ? H1_BAD : h1_read_eof(&b->reader)) {
	case H1_END:
		b->keep = false;
		reply_over(b, false);
		break;
	default:
		fail(b, REASON_upstream_reset);
	}
}

static bool wants_large_read(const struct back *b)
{
	const struct exchange *ex = b->call->ex;
	if (!b->head_read)
		return false;
	return ex->reply_body.window > PIPE_WINDOW
		|| (ex->reply.framing == BODY_LENGTH && ex->reply.content_length - ex->reply_body.total >= LARGE_BODY);
}

/* A long body that nobody needs to look at. false: read it as usual. */
static bool splice_in(struct back *b)
{
	struct exchange *ex = b->call->ex;
	uint64_t left = h1_reader_left(&b->reader);
	struct slice got;

	if (left < (b->pipe ? 1 : SPLICE_MIN) || !b->head_read || !exchange_may_splice_reply(ex))
		return false;
	switch (stream_splice(&b->stream, &b->pipe, left, &got)) {
	case GOT_NOTHING: return true;
	case GOT_END:     endpoint_ended(b, false); return true;
	case GOT_ERROR:
		if (b->stream.error != EINVAL)
			endpoint_ended(b, true);
		return b->stream.error != EINVAL;
	case GOT_BYTES:   break;
	}
	h1_reader_skip(&b->reader, got.len);
	exchange_upstream_body(ex, got, false);
	if (b->call && left == got.len)
		take_in(b, slice_of(SPAN_NONE));  /* the end */
	else if (b->call && !exchange_reply_open(ex))
		stream_want_input(&b->stream, false);
	return true;
}

static void back_input(struct stream *s)
{
	struct back *b = container_of(s, struct back, stream);
	struct slice got;

	if (!b->call) {                           /* idle, and yet something came: bytes nobody asked for, or the end */
		if (b->state != BACK_IDLE || stream_read(s, false, &got) != GOT_NOTHING)
			close_back(b);
		return;
	}
	if (splice_in(b))
		return;
	switch (stream_read(s, wants_large_read(b), &got)) {
	case GOT_NOTHING: return;
	case GOT_END:     endpoint_ended(b, false); return;
	case GOT_ERROR:   endpoint_ended(b, true); return;
	case GOT_BYTES:   take_in(b, got); return;
	}
}

static void back_want(void *handle, size_t n)
{
	struct call *call = handle;
	(void)n;
	if (call->back && !call->back->reply_ended)
		stream_want_input(&call->back->stream, true);
}

/* A write failed, or the endpoint hung up while we were not reading. What it sent before is still true: an early 413, for example. */
static void back_gone(struct stream *s, bool reset)
{
	struct back *b = container_of(s, struct back, stream);
	if (!b->call) {
		close_back(b);
		return;
	}
	if (!reset)
		return;                           /* the end will be read in its turn */
	while (!s->closed && b->call && s->readable)
		back_input(s);
	if (!s->closed && b->call)
		endpoint_ended(b, true);
	else if (!s->closed && !b->call)
		close_back(b);
}

/* ── connecting ── */

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
	b->since_us = now_of(b);
	worker_arm(&backend->loop->worker, &b->timer, pool->endpoint->upstream->conf->connect_timeout_us, timed_out);
	counter_add(&stats_of(call->ex)->opened, 1);
	begin_call(b, call);
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
	fail(b, why);
}

static void back_connected(struct stream *s, int error)
{
	struct back *b = container_of(s, struct back, stream);
	if (error) {
		connect_failed(b, reason_of_connect(error));
		return;
	}
	b->state = BACK_BUSY;
	b->call->ex->timing.connect_us = now_of(b) - b->since_us + 1;
	hist_add(&stats_of(b->call->ex)->connect, now_of(b) - b->since_us);
}

static void timed_out(struct timer *t)
{
	struct back *b = container_of(t, struct back, timer);
	uint64_t idle_us = b->pool->conf->idle_timeout_us;
	if (b->broken) {
		fail(b, REASON_internal_error);
	} else if (b->state == BACK_CONNECTING) {
		counter_add(&b->call->ex->route->stats->timeouts[TIMEOUT_connect], 1);
		connect_failed(b, REASON_connection_timeout);
	} else if (b->state == BACK_BUSY) {
		worker_arm(&b->stream.loop->worker, t, idle_us, timed_out);
	} else if (now_of(b) >= b->since_us + idle_us) {
		close_back(b);
	} else
		timer_arm(&b->stream.loop->worker.timers, t, b->since_us + idle_us, timed_out);
}

/* ── the table ── */

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
		if (method_is_idempotent(ex->request.method) || now_of(b) < b->since_us + STALE_US || !is_stale(b))
			return b;
		close_back(b);
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
	buf_init(&call->body, &ex->worker->chunks, OUT_MAX);
	pool->holds++;
	struct back *b = take_idle(pool, ex);
	enum reason why = REASON_NONE;
	if (b) {
		counter_add(&stats_of(ex)->reused, 1);
		begin_call(b, call);
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
		detach(b);
		close_back(b);                    /* half a request, or half a reply: of no use to anybody else */
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

void backend_free(struct backend *backend)
{
	list_each(l, &backend->backs)
		close_back(container_of(l, struct back, on_backs));
	map_fini(&backend->pools);
	free(backend);
}
