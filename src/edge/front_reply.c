/* front_reply.c - replies out: what the core asks of a client (client_ops), and what a write that went out means. */
#include "front.h"
#include "http/h1_write.h"

/* May this connection carry another request after this reply? */
static bool may_keep(const struct front *f, const struct exchange *ex)
{
	const struct conf_client *c = f->step->limits;
	return ex->request.keep_alive && exchange_request_ended(ex) && !f->last && !f->close_at_us && !ex->worker->draining
		&& !(ex->reply.framing == BODY_STREAM && ex->request.minor == 0)
		&& (!c->max_requests_per_connection || f->requests < c->max_requests_per_connection)
		&& (!c->max_connection_age_us || front_now(f) - f->accepted_us < c->max_connection_age_us);
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
		front_doom(f);
		return;
	}
	stream_grew(&f->stream, h1_write_reply(at, r, &ex->request, tunnel ? H1_UPGRADE : f->keep ? H1_KEEP_ALIVE : H1_CLOSE));
	f->progress_us = front_now(f);
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
			f->progress_us = front_now(f);
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
		front_doom(f);
}

static void front_want(void *client, struct exchange *ex, size_t n)
{
	struct front *f = client;
	(void)ex; (void)n;
	if (f->reading != READ_BODY && f->reading != READ_TUNNEL)
		return;
	if (f->withheld) {
		f->withheld = false;
		f->since_us = f->rate_at_us = front_now(f);  /* the pause was ours */
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
			front_close(f, f->until_close);
		else
			stream_poke(&f->stream);  /* what is queued is true as far as it goes */
		return;
	}
	if (f->reading == READ_DONE && buf_empty(&f->ahead) && !f->stream.readable && f->stream.out.len == 0 && !f->last)
		front_close(f, false);
	else
		front_linger(f);
}

static void front_done(void *client, struct exchange *ex)
{
	struct front *f = client;
	(void)ex;
	f->ex = NULL;
	f->reader.arena = NULL;
	f->reader.request = NULL;
	if (f->dying) {                           /* it is closed in a moment, and what still comes belongs to nobody */
		f->reading = READ_DONE;
		stream_want_input(&f->stream, false);
		return;
	}
	if (f->aborted || !f->keep || f->reading != READ_DONE) {
		end_connection(f);
		return;
	}
	h1_reader_next(&f->reader);
	f->reading = READ_IDLE;
	f->since_us = front_now(f);
	stream_want_input(&f->stream, true);
	if (!buf_empty(&f->ahead))
		front_serve_next(f);
	front_rearm(f);
}

void front_wrote(struct stream *s, size_t n)
{
	struct front *f = container_of(s, struct front, stream);
	struct exchange *ex = f->ex;
	if (n)
		f->progress_us = front_now(f);
	if (f->unpaid > s->out.len && ex) {
		size_t paid = f->unpaid - s->out.len;     /* framing bytes count as body bytes here: never too much */
		f->unpaid -= paid;
		exchange_reply_taken(ex, paid);
	}
	if (s->out.len) {
		front_rearm(f);
		return;
	}
	if (ex && f->reply_over && !ex->reply_written)
		exchange_client_done(ex);
	else if (!ex && f->aborted && !s->closed)
		front_close(f, f->until_close);
}

const struct client_ops front_ops = {
	.splices = true, .send_informational = front_send_informational, .send_head = front_send_head, .send_body = front_send_body,
	.want = front_want, .abort = front_abort, .done = front_done,
};
