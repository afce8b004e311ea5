/* front_h1.c - one HTTP/1 client connection: reads requests, one at a time, and writes their replies in order.
 *
 * Reading and writing are two small machines:
 *
 *   reading   IDLE ─▶ HEAD ─▶ BODY ─▶ DONE ─▶ IDLE ...     TUNNEL after a 101     LINGER: we have answered, let it drain
 *   writing   bytes wait in stream.out; `reply_over` once the last body byte is queued
 *
 * Always true:
 *   - ex is set from the moment a whole head is read until the core says done(); a connection has one exchange at a time.
 *   - in DONE nothing is read from the socket: a pipelining client waits with at most one read's worth in `ahead`.
 *   - `timer` is armed no later than what front_due() says; firing early is harmless, so steady state never touches it.
 */
#include "edge/front_h1.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/must.h"
#include "core/exchange.h"
#include "edge/stream.h"
#include "http/h1_write.h"
#include "splice.h"

enum {
	OUT_MAX = PIPE_WINDOW_MAX + 2 * CHUNK_BODY,   /* the window bounds it; this only catches bugs          */
	AHEAD_MAX = CHUNK_BODY + CHUNK_HEAD,
	LINGER_US = 1000000, LINGER_BYTES = 64 * 1024,
	RATE_SECONDS = 5, SECOND_US = 1000000,
	LARGE_BODY = 128 * 1024,
};

enum reading { READ_IDLE, READ_HEAD, READ_BODY, READ_DONE, READ_TUNNEL, READ_LINGER };

struct front {
	struct stream    stream;
	struct h1_reader reader;
	struct listener *listener;
	struct doorstep *step;
	struct exchange *ex;
	struct link      on_fronts;
	struct timer     timer;
	struct buf       ahead;               /* read, but of a later request                                */
	uint64_t         since_us;            /* when the present state of reading began; BODY: the last byte */
	uint64_t         accepted_us;
	uint64_t         progress_us;         /* of writing, while blocked                                   */
	uint64_t         close_at_us;         /* drain; 0: no                                                */
	struct splice   *pipe;                /* while a long request body is spliced                        */
	size_t           unpaid;              /* body bytes queued, not yet paid back to the core            */
	uint32_t         lingered;            /* bytes thrown away in LINGER                                 */
	uint32_t         requests;
	uint32_t         rate[RATE_SECONDS];  /* body bytes of the last seconds                              */
	uint64_t         rate_at_us;          /* when the present one began                                  */
	uint64_t         body_began_us;
	uint8_t          rate_seconds;        /* whole ones measured                                         */
	uint8_t          reading;
	bool             keep, chunked, until_close, reply_over, aborted, dying, trusted, withheld;
	bool             last;                /* this reply is the last one, and the client may still be sending */
	uint8_t          address_len;
	char             address[INET6_ADDRSTRLEN];
	struct sockaddr_storage *peer;        /* for the gate, when it counts per address                    */
};

static const struct client_ops front_ops;
static void serve_next(struct front *f);

static uint64_t now_of(const struct front *f) { return f->stream.loop->worker.now_us; }

/* ── time ── */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t front_due(const struct front *f)
{
	const struct conf_client *c = f->step->limits;
	uint64_t due = f->close_at_us ? f->close_at_us : TIMER_NEVER;
	if (f->dying)
		return 0;
	if (f->reading == READ_LINGER)
		return f->since_us + LINGER_US;
	if (f->stream.out.len && !f->stream.writable && c->write_idle_timeout_us)
		return f->progress_us + c->write_idle_timeout_us;
	switch ((enum reading)f->reading) {
	case READ_IDLE:
		due = earlier(due, f->since_us + (f->requests ? c->keepalive_timeout_us : c->first_byte_timeout_us));
		return f->requests && c->max_connection_age_us ? earlier(due, f->accepted_us + c->max_connection_age_us) : due;
	case READ_HEAD:
		return f->since_us + c->header_timeout_us;
	case READ_BODY:
		if (f->withheld)
			return TIMER_NEVER;
		return earlier(c->body.idle_timeout_us ? f->since_us + c->body.idle_timeout_us : TIMER_NEVER,
			c->body.min_rate ? f->rate_at_us + SECOND_US : TIMER_NEVER);
	default:
		return TIMER_NEVER;
	}
}

static void timed_out(struct timer *t);

static void rearm(struct front *f)
{
	uint64_t due = front_due(f);
	if (due != TIMER_NEVER && (!timer_armed(&f->timer) || due < f->timer.due_us))
		timer_arm(&f->stream.loop->worker.timers, &f->timer, due, timed_out);
}

/* ── the end of a connection ── */

static void close_front(struct front *f, bool reset)
{
	if (f->stream.closed)
		return;
	f->dying = true;
	if (f->ex)
		exchange_client_gone(f->ex);      /* comes back through done() */
	if (f->stream.closed)
		return;
	worker_disarm(&f->stream.loop->worker, &f->timer);
	buf_fini(&f->ahead);
	link_remove(&f->on_fronts);
	f->step->front_count--;
	counter_add(&f->listener->closed, 1);
	gate_leave(f->step->gate, (struct sockaddr *)f->peer);
	if (reset)
		stream_reset(&f->stream);
	else
		stream_close(&f->stream);
}

static void free_front(struct stream *s)
{
	struct front *f = container_of(s, struct front, stream);
	splice_done(&f->pipe);
	h1_reader_fini(&f->reader);
	free(f->peer);
	free(f);
}

/* Inside a call from the core nothing may be closed: the timer does it next. */
static void doom(struct front *f)
{
	f->dying = true;
	f->keep = false;
	timer_arm(&f->stream.loop->worker.timers, &f->timer, 0, timed_out);
}

/* We have said our last word, and the client may still be sending: closing now would reset the connection and take our answer
 * with it. So end our side and throw away what comes, for a second or 64 KiB. */
static void linger(struct front *f)
{
	f->reading = READ_LINGER;
	f->since_us = now_of(f);
	f->lingered = 0;
	buf_clear(&f->ahead);
	stream_end(&f->stream);
	stream_want_input(&f->stream, true);
	rearm(f);
}

/* ── requests in ── */

static void fill_facts(struct front *f, struct exchange *ex)
{
	ex->client_address = (struct span){ f->address, f->address_len };
	ex->client_trusted = f->trusted;
	ex->scheme = SPAN("http");
	ex->listener_port = f->listener->port;
	ex->timing.first_byte_us = f->reading == READ_HEAD ? f->since_us : now_of(f);
}

static struct exchange *new_exchange(struct front *f)
{
	struct exchange *ex = exchange_new(&f->stream.loop->worker, f->step->router, &front_ops, f);
	if (!ex) {
		close_front(f, true);             /* no memory even for an error page */
		return NULL;
	}
	f->ex = ex;
	f->reply_over = f->aborted = f->chunked = f->until_close = false;
	f->unpaid = 0;
	fill_facts(f, ex);
	return ex;
}

static void refuse_request(struct front *f, enum reason why, int status, const char *detail)
{
	struct exchange *ex = f->ex ? f->ex : new_exchange(f);
	if (!ex)
		return;
	f->reading = READ_DONE;
	f->keep = false;
	f->last = true;
	stream_want_input(&f->stream, false);
	exchange_start_refused(ex, why, status, detail);
}

static void refuse_fault(struct front *f)
{
	const char *text = h1_fault_text(f->reader.fault);
	switch (f->reader.fault) {
	case H1_FAULT_HEAD_TOO_LARGE:
	case H1_FAULT_TOO_MANY_FIELDS:  refuse_request(f, REASON_request_header_too_large, 0, text); break;
	case H1_FAULT_TARGET_TOO_LARGE: refuse_request(f, REASON_request_header_too_large, 414, text); break;
	case H1_FAULT_NO_MEMORY:        refuse_request(f, REASON_internal_error, 0, NULL); break;
	default:                        refuse_request(f, REASON_request_invalid, 0, text);
	}
}

/* A body that turned out bad: the exchange walks already. */
static void fault_in_body(struct front *f)
{
	struct exchange *ex = f->ex;
	f->reading = READ_DONE;
	f->last = true;
	stream_want_input(&f->stream, false);
	exchange_client_fault(ex, REASON_request_invalid, h1_fault_text(f->reader.fault));
}

static void request_over(struct front *f)
{
	struct exchange *ex = f->ex;
	f->reading = READ_DONE;
	splice_done(&f->pipe);
	stream_want_input(&f->stream, false);
	if (f->reader.trailers.count)
		ex->request_trailers = f->reader.trailers;
	exchange_request_body(ex, slice_of(SPAN_NONE), true);
}

static void body_bytes(struct front *f, struct slice bytes)
{
	struct exchange *ex = f->ex;
	f->since_us = now_of(f);
	f->rate[0] += (uint32_t)bytes.len;
	exchange_request_body(ex, bytes, false);
	if (f->ex == ex && !exchange_request_open(ex)) {
		f->withheld = true;
		stream_want_input(&f->stream, false);
	}
}

static void body_begins(struct front *f)
{
	f->reading = READ_BODY;
	f->since_us = f->rate_at_us = f->body_began_us = now_of(f);
	f->rate_seconds = 0;
	f->withheld = false;
	memset(f->rate, 0, sizeof(f->rate));
}

/* Is a head at hand? Then there is an exchange for it, unless memory is short. */
static bool begin_request(struct front *f, struct span *in)
{
	struct span none;
	if (!h1_reader_head_ready(&f->reader, *in)) {
		h1_read(&f->reader, in, &none);   /* gathers it */
		if (f->reader.head_begun && f->reading == READ_IDLE) {
			f->reading = READ_HEAD;
			f->since_us = now_of(f);
		}
		return false;
	}
	struct exchange *ex = new_exchange(f);
	if (!ex)
		return false;
	f->reader.arena = &ex->arena;
	f->reader.request = &ex->request;
	return true;
}

/* Takes in what was read. Stops, and keeps the rest for later, where a request ends. */
static void take_in(struct front *f, struct slice got)
{
	struct span in = slice_span(got), data;
	for (;;) {
		if (f->reading == READ_DONE) {
			if (in.len && !buf_keep(&f->ahead, slice_in(got.chunk, in)))
				close_front(f, true);
			return;
		}
		if (f->reading <= READ_HEAD && !f->ex && !begin_request(f, &in))
			return;
		switch (h1_read(&f->reader, &in, &data)) {
		case H1_MORE:
			return;
		case H1_HEAD:
			body_begins(f);
			f->ex->timing.start_us = now_of(f);
			f->requests++;
			exchange_start(f->ex);
			break;
		case H1_DATA:
			body_bytes(f, slice_in(got.chunk, data));
			break;
		case H1_END:
			request_over(f);
			break;
		case H1_BAD:
			if (f->reading == READ_BODY)
				fault_in_body(f);
			else
				refuse_fault(f);
			return;
		}
		if (f->stream.closed || f->reading == READ_LINGER || !f->ex)
			return;
	}
}

static bool wants_large_read(const struct front *f)
{
	const struct exchange *ex = f->ex;
	if (!ex || (f->reading != READ_BODY && f->reading != READ_TUNNEL))
		return false;
	return ex->request_body.window > PIPE_WINDOW
		|| (ex->request.framing == BODY_LENGTH && ex->request.content_length - ex->request_body.total >= LARGE_BODY);
}

static void client_ended(struct front *f);

/* A long body that nobody needs to look at. false: read it as usual. */
static bool splice_in(struct front *f)
{
	uint64_t left = f->reading == READ_BODY ? h1_reader_left(&f->reader) : 0;
	struct slice got;

	if (left < (f->pipe ? 1 : SPLICE_MIN) || !f->ex || !exchange_may_splice_request(f->ex))
		return false;
	switch (stream_splice(&f->stream, &f->pipe, left, &got)) {
	case GOT_NOTHING: return true;
	case GOT_END:     client_ended(f); return true;
	case GOT_ERROR:
		if (f->stream.error != EINVAL)
			close_front(f, true);
		return f->stream.error != EINVAL;
	case GOT_BYTES:   break;
	}
	h1_reader_skip(&f->reader, got.len);
	body_bytes(f, got);
	if (f->ex && f->reading == READ_BODY && left == got.len)
		take_in(f, slice_of(SPAN_NONE));  /* the end */
	if (!f->stream.closed)
		rearm(f);
	return true;
}

static void client_ended(struct front *f)
{
	if (f->reading == READ_TUNNEL) {
		f->reading = READ_DONE;           /* half-closed: the other direction goes on */
		exchange_request_body(f->ex, slice_of(SPAN_NONE), true);
		return;
	}
	close_front(f, false);
}

static void front_input(struct stream *s)
{
	struct front *f = container_of(s, struct front, stream);
	struct slice got;

	if (f->reading == READ_TUNNEL && !buf_empty(&f->ahead))
		serve_next(f);
	if (splice_in(f))
		return;
	switch (stream_read(s, wants_large_read(f), &got)) {
	case GOT_NOTHING: return;
	case GOT_END:     client_ended(f); return;
	case GOT_ERROR:   close_front(f, true); return;
	case GOT_BYTES:   break;
	}
	if (f->reading == READ_LINGER) {
		f->lingered += (uint32_t)got.len;
		if (f->lingered > LINGER_BYTES)
			close_front(f, true);
		return;
	}
	take_in(f, got);
	if (!s->closed)
		rearm(f);
}

static void front_gone(struct stream *s, bool reset)
{
	struct front *f = container_of(s, struct front, stream);
	if (!reset && f->ex && f->ex->tunnel)
		return;                           /* half-closed, and we do not read just now: the end will be read in its turn */
	if (!reset && f->withheld)
		return;
	close_front(f, reset);
}

/* ── replies out ── */

/* May this connection carry another request after this reply? */
static bool may_keep(const struct front *f, const struct exchange *ex)
{
	const struct conf_client *c = f->step->limits;
	return ex->request.keep_alive && exchange_request_ended(ex) && !f->last && !f->close_at_us && !ex->worker->draining
		&& !(ex->reply.framing == BODY_STREAM && ex->request.minor == 0)
		&& (!c->max_requests_per_connection || f->requests < c->max_requests_per_connection)
		&& (!c->max_connection_age_us || now_of(f) - f->accepted_us < c->max_connection_age_us);
}

static void front_send_head(void *client, struct exchange *ex)
{
	struct front *f = client;
	const struct reply *r = &ex->reply;
	bool tunnel = r->status == 101, bodyless = reply_has_no_body(ex->request.method, r->status);
	f->keep = may_keep(f, ex) && !tunnel;
	f->chunked = r->framing == BODY_STREAM && !bodyless && ex->request.minor >= 1 && !tunnel;
	f->until_close = r->framing == BODY_STREAM && !bodyless && !f->chunked && !tunnel;
	char *at = stream_room(&f->stream, h1_reply_size(r));
	if (!at) {
		doom(f);
		return;
	}
	stream_grew(&f->stream, h1_write_reply(at, r, &ex->request, tunnel ? H1_UPGRADE : f->keep ? H1_KEEP_ALIVE : H1_CLOSE));
	f->progress_us = now_of(f);
	if (!tunnel)
		return;
	h1_reader_tunnel(&f->reader);
	f->reading = READ_TUNNEL;
	f->stream.readable |= !buf_empty(&f->ahead);  /* what came behind the upgrade request belongs to the tunnel: next turn */
	stream_want_input(&f->stream, true);
}

static void front_send_informational(void *client, struct exchange *ex, const struct reply *r)
{
	struct front *f = client;
	char *at = stream_room(&f->stream, h1_reply_size(r));
	(void)ex;
	if (at)
		stream_grew(&f->stream, h1_write_informational(at, r));
}

static bool send_chunk(struct front *f, struct slice bytes)
{
	char *at = stream_room(&f->stream, H1_CHUNK_OVERHEAD);
	if (!at)
		return false;
	stream_grew(&f->stream, h1_write_chunk_head(at, bytes.len));
	return stream_send(&f->stream, bytes) && stream_send(&f->stream, slice_of(SPAN("\r\n")));
}

static bool send_last_chunk(struct front *f, const struct fields *trailers)
{
	char *at = stream_room(&f->stream, h1_trailers_size(trailers));
	if (at)
		stream_grew(&f->stream, h1_write_last_chunk(at, trailers));
	return at != NULL;
}

static void front_send_body(void *client, struct exchange *ex, struct slice bytes, bool end)
{
	struct front *f = client;
	bool ok = true;
	if (bytes.len) {
		if (f->stream.out.len == 0)
			f->progress_us = now_of(f);
		f->unpaid += bytes.len;
		ok = f->chunked ? send_chunk(f, bytes) : stream_send(&f->stream, bytes);
	}
	if (end) {
		f->reply_over = true;
		if (ok && f->chunked)
			ok = send_last_chunk(f, &ex->reply_trailers);
		if (f->ex->tunnel)
			stream_end(&f->stream);
		stream_poke(&f->stream);          /* exchange_client_done comes from front_wrote, never from here */
	}
	if (!ok)
		doom(f);
}

static void front_want(void *client, struct exchange *ex, size_t n)
{
	struct front *f = client;
	(void)ex; (void)n;
	if (f->reading != READ_BODY && f->reading != READ_TUNNEL)
		return;
	if (f->withheld) {
		f->withheld = false;
		f->since_us = f->rate_at_us = now_of(f);  /* the pause was ours */
	}
	stream_want_input(&f->stream, true);
}

static void front_abort(void *client, struct exchange *ex)
{
	(void)ex;
	((struct front *)client)->aborted = true;
}

static void end_connection(struct front *f)
{
	if (f->aborted) {
		f->reading = READ_DONE;
		if (f->stream.out.len == 0)
			close_front(f, f->until_close);
		else
			stream_poke(&f->stream);  /* what is queued is true as far as it goes */
		return;
	}
	if (f->reading == READ_DONE && buf_empty(&f->ahead) && !f->stream.readable && f->stream.out.len == 0 && !f->last)
		close_front(f, false);
	else
		linger(f);
}

static void front_done(void *client, struct exchange *ex)
{
	struct front *f = client;
	(void)ex;
	f->ex = NULL;
	f->reader.arena = NULL;
	f->reader.request = NULL;
	if (f->dying)
		return;
	if (f->aborted || !f->keep || f->reading != READ_DONE) {
		end_connection(f);
		return;
	}
	h1_reader_next(&f->reader);
	f->reading = READ_IDLE;
	f->since_us = now_of(f);
	stream_want_input(&f->stream, true);
	if (!buf_empty(&f->ahead))
		serve_next(f);
	rearm(f);
}

/* What was read ahead is looked at again, as if it had come now. */
static void serve_next(struct front *f)
{
	struct buf now;
	buf_init(&now, f->ahead.pool, f->ahead.max);
	must(buf_move(&now, &f->ahead));
	while (!buf_empty(&now) && !f->stream.closed) {
		struct slice s = now.first->slice;
		if (f->reading == READ_DONE) {
			must(buf_move(&f->ahead, &now));
			break;
		}
		take_in(f, s);
		buf_drop(&now, s.len);
	}
	buf_fini(&now);
}

static void front_wrote(struct stream *s, size_t n)
{
	struct front *f = container_of(s, struct front, stream);
	struct exchange *ex = f->ex;
	if (n)
		f->progress_us = now_of(f);
	if (f->unpaid > s->out.len && ex) {
		size_t paid = f->unpaid - s->out.len;     /* framing bytes count as body bytes here: never too much */
		f->unpaid -= paid;
		exchange_reply_taken(ex, paid);
	}
	if (s->out.len) {
		rearm(f);
		return;
	}
	if (ex && f->reply_over && !ex->reply_written)
		exchange_client_done(ex);
	else if (!ex && f->aborted && !s->closed)
		close_front(f, f->until_close);
}

static const struct client_ops front_ops = {
	.splices = true, .send_informational = front_send_informational, .send_head = front_send_head, .send_body = front_send_body,
	.want = front_want, .abort = front_abort, .done = front_done,
};

/* ── too slow ── */

static bool rate_too_low(struct front *f)
{
	const struct conf_client *c = f->step->limits;
	uint64_t sum = 0;
	if (now_of(f) < f->rate_at_us + SECOND_US)
		return false;
	for (unsigned i = 0; i < RATE_SECONDS; i++)
		sum += f->rate[i];
	if (f->rate_seconds < RATE_SECONDS)
		f->rate_seconds++;
	bool slow = f->rate_seconds == RATE_SECONDS && now_of(f) >= f->body_began_us + c->body.grace_us && sum < c->body.min_rate * RATE_SECONDS;
	memmove(&f->rate[1], &f->rate[0], (RATE_SECONDS - 1) * sizeof(f->rate[0]));
	f->rate[0] = 0;
	f->rate_at_us = now_of(f);
	return slow;
}

static void body_tick(struct front *f)
{
	const struct conf_client *c = f->step->limits;
	bool silent = c->body.idle_timeout_us && now_of(f) >= f->since_us + c->body.idle_timeout_us;
	if (!silent && !(c->body.min_rate && rate_too_low(f))) {
		rearm(f);
		return;
	}
	f->reading = READ_DONE;
	f->last = true;
	stream_want_input(&f->stream, false);
	exchange_client_fault(f->ex, REASON_request_timeout, silent ? "No byte of the body came for too long." : "The body came too slowly.");
}

static void timed_out(struct timer *t)
{
	struct front *f = container_of(t, struct front, timer);
	uint64_t due = front_due(f);
	if (due > now_of(f)) {
		rearm(f);
		return;
	}
	if (f->dying || f->reading == READ_LINGER || f->reading == READ_IDLE)
		close_front(f, f->dying);
	else if (f->stream.out.len && !f->stream.writable) {
		if (f->ex)
			exchange_client_fault(f->ex, REASON_request_timeout, NULL);       /* comes back through abort and done */
		if (!f->stream.closed)
			close_front(f, true);
	} else if (f->reading == READ_HEAD)
		refuse_request(f, REASON_request_timeout, 0, "The head of the request was not complete in time.");
	else
		body_tick(f);
}

/* ── life ── */

static const struct stream_events front_events = {
	.input = front_input, .wrote = front_wrote, .gone = front_gone, .free = free_front,
};

static void name_peer(struct front *f, const struct sockaddr *peer)
{
	const void *at = NULL;
	if (peer->sa_family == AF_INET)
		at = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
	else if (peer->sa_family == AF_INET6) {
		const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(v6);
		at = mapped ? (const void *)&v6->s6_addr[12] : (const void *)v6;
		if (mapped) {
			inet_ntop(AF_INET, at, f->address, sizeof(f->address));
			at = NULL;
		}
	}
	if (at)
		inet_ntop(peer->sa_family, at, f->address, sizeof(f->address));
	f->address_len = (uint8_t)strlen(f->address);
}

void front_h1_open(struct listener *listener, int fd, const struct sockaddr *peer)
{
	struct doorstep *step = listener->step;
	struct front *f = calloc(1, sizeof(*f));
	if (!f || !stream_open(&f->stream, step->loop, fd, &front_events, OUT_MAX)) {
		counter_add(&listener->refused[REFUSED_memory], 1);
		counter_add(&listener->closed, 1);
		gate_leave(step->gate, peer);
		if (!f)
			close(fd);
		free(f);
		return;
	}
	f->listener = listener;
	f->step = step;
	f->accepted_us = f->since_us = now_of(f);
	f->trusted = trust_has(step->trust, peer);
	name_peer(f, peer);
	if (step->limits->max_connections_per_ip) {
		f->peer = malloc(sizeof(*f->peer));
		if (f->peer)
			memcpy(f->peer, peer, peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	}
	h1_reader_init(&f->reader, true, &step->h1, &step->loop->worker.chunks);
	buf_init(&f->ahead, &step->loop->worker.chunks, AHEAD_MAX);
	link_init(&f->on_fronts);
	list_append(&step->fronts, &f->on_fronts);
	step->front_count++;
	rearm(f);
	front_input(&f->stream);                  /* most clients have spoken already: saves a turn */
}

void front_h1_drain(struct doorstep *step, uint64_t spread_us)
{
	struct worker *w = &step->loop->worker;
	list_each(l, &step->fronts) {
		struct front *f = container_of(l, struct front, on_fronts);
		if (!f->close_at_us)
			f->close_at_us = w->now_us + 2 + rand_below(&w->rand, spread_us + 1);
		rearm(f);
	}
}

void front_h1_close_all(struct doorstep *step)
{
	list_each(l, &step->fronts)
		close_front(container_of(l, struct front, on_fronts), true);
}

void front_h1_reset(struct exchange *ex)
{
	must(ex->client_ops == &front_ops);
	close_front(ex->client, true);
}
