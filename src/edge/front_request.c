/* front_request.c - requests in: heads, bodies, pipelined ones, and the end of the client. */
#include "base/must.h"
#include "front.h"
#include "splice.h"

enum { LARGE_BODY = 128 * 1024, LINGER_BYTES = 64 * 1024 };

static void fill_facts(struct front *f, struct exchange *ex)
{
	ex->client_address = (struct span){ f->address, f->address_len };
	ex->client_trusted = f->trusted;
	ex->scheme = SPAN("http");
	ex->listener_port = f->listener->port;
	ex->timing.first_byte_us = f->reading == READ_HEAD ? f->since_us : front_now(f);
}

static struct exchange *new_exchange(struct front *f)
{
	struct exchange *ex = exchange_new(&f->stream.loop->worker, f->step->router, &front_ops, f);
	if (!ex) {
		front_close(f, true);             /* no memory even for an error page */
		return NULL;
	}
	f->ex = ex;
	f->reply_over = f->aborted = f->chunked = f->until_close = false;
	f->unpaid = 0;
	fill_facts(f, ex);
	return ex;
}

void front_refuse(struct front *f, enum reason why, int status, const char *detail)
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
	case H1_FAULT_TOO_MANY_FIELDS:  front_refuse(f, REASON_request_header_too_large, 0, text); break;
	case H1_FAULT_TARGET_TOO_LARGE: front_refuse(f, REASON_request_header_too_large, 414, text); break;
	case H1_FAULT_NO_MEMORY:        front_refuse(f, REASON_internal_error, 0, NULL); break;
	default:                        front_refuse(f, REASON_request_invalid, 0, text);
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
	f->since_us = front_now(f);
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
	f->since_us = f->rate_at_us = f->body_began_us = front_now(f);
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
			f->since_us = front_now(f);
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
				front_close(f, true);
			return;
		}
		if (f->reading <= READ_HEAD && !f->ex && !begin_request(f, &in))
			return;
		switch (h1_read(&f->reader, &in, &data)) {
		case H1_MORE:
			return;
		case H1_HEAD:
			body_begins(f);
			f->ex->timing.start_us = front_now(f);
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
			front_close(f, true);
		return f->stream.error != EINVAL;
	case GOT_BYTES:   break;
	}
	h1_reader_skip(&f->reader, got.len);
	body_bytes(f, got);
	if (f->ex && f->reading == READ_BODY && left == got.len)
		take_in(f, slice_of(SPAN_NONE));  /* the end */
	if (!f->stream.closed)
		front_rearm(f);
	return true;
}

static void client_ended(struct front *f)
{
	if (f->reading == READ_TUNNEL) {
		f->reading = READ_DONE;           /* half-closed: the other direction goes on, */
		stream_want_input(&f->stream, false); /* and an edge that tells of the end once more is no news */
		exchange_request_body(f->ex, slice_of(SPAN_NONE), true);
		return;
	}
	front_close(f, false);
}

static void read_input(struct front *f)
{
	struct stream *s = &f->stream;
	struct slice got;

	if (f->reading == READ_TUNNEL && !buf_empty(&f->ahead))
		front_serve_next(f);
	if (s->closed || splice_in(f))
		return;
	switch (stream_read(s, wants_large_read(f), &got)) {
	case GOT_NOTHING: return;
	case GOT_END:     client_ended(f); return;
	case GOT_ERROR:   front_close(f, true); return;
	case GOT_BYTES:   break;
	}
	if (f->reading == READ_LINGER) {
		f->lingered += (uint32_t)got.len;
		if (f->lingered > LINGER_BYTES)
			front_close(f, true);
		return;
	}
	take_in(f, got);
	if (!s->closed)
		front_rearm(f);
}

void front_input(struct stream *s)
{
	struct front *f = container_of(s, struct front, stream);
	struct doorstep *step = f->step;          /* f may be over when it has been read */
	step->in_hand = f;
	read_input(f);
	step->in_hand = NULL;
}

void front_gone(struct stream *s, bool reset)
{
	struct front *f = container_of(s, struct front, stream);
	if (!reset && f->ex && f->ex->tunnel)
		return;                           /* half-closed, and we do not read just now: the end will be read in its turn */
	if (!reset && f->withheld)
		return;
	front_close(f, reset);
}

void front_serve_next(struct front *f)
{
	struct doorstep *step = f->step;
	struct buf now;
	step->in_hand = f;
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
	step->in_hand = NULL;
}
