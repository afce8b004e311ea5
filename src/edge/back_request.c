/* back_request.c - requests out: the head as outbound.c makes it, the body as it comes, and what was written. */
#include "back.h"
#include "http/h1_write.h"

static void send_body_bytes(struct back *b, struct slice bytes, bool end)
{
	struct stream *s = &b->stream;
	char *at;
	bool ok = true;
	if (b->broken)                            /* maybe before its head was written: a body would be taken for a request */
		return;
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
		back_break_off(b);
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
void back_begin_call(struct back *b, struct call *call)
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
		back_break_off(b);
		return;
	}
	for (const struct buf_piece *p = buf_first(&call->body); p; p = p->next)
		send_body_bytes(b, p->slice, false);
	if (call->body_ended)
		send_body_bytes(b, slice_of(SPAN_NONE), true);
	buf_fini(&call->body);
}

void back_body(void *handle, struct slice bytes, bool end)
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
	if (b->reply_ended)                       /* the second direction has ended: the core is done with this call */
		back_leave(b);
}

void back_wrote(struct stream *s, size_t n)
{
	struct back *b = container_of(s, struct back, stream);
	if (b->state == BACK_LEAVING) {
		b->since_us = back_now(b);
		if (s->out.len == 0)
			back_close(b);
		return;
	}
	if (!b->call)
		return;
	if (n && !b->call->ex->request_reached) {
		b->call->ex->request_reached = true;
		b->call->ex->timing.lag_us += clock_now_us() - back_now(b);
	}
	if (b->unpaid > s->out.len) {
		size_t paid = b->unpaid - s->out.len;
		b->unpaid -= paid;
		exchange_request_taken(b->call->ex, paid);
	}
}
