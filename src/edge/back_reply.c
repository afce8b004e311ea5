/* back_reply.c - replies in: heads, informational ones, bodies (spliced when long), and every way in which an endpoint may end. */
#include <stdlib.h>

#include "back.h"
#include "splice.h"

enum { LARGE_BODY = 128 * 1024 };

/* What a head that was just read means. false: the connection is no longer this call's. */
static bool take_head(struct back *b)
{
	struct exchange *ex = b->call->ex;
	int status = ex->reply.status;

	b->in_head = false;
	if (status == 101 && !span_eq_nocase(fields_value(&ex->reply.fields, FIELD_UPGRADE), ex->request.upgrade)) {
		back_fail(b, REASON_upgrade_failed);      /* that it was asked for at all, and named once, the reader has seen to */
		return false;
	}
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
			back_reply_over(b, in.len > 0);
			return;
		case H1_BAD:
			back_fail(b, reason_of_fault(b->reader.fault));
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
			back_leave(b);
		exchange_upstream_body(ex, slice_of(SPAN_NONE), true);
		return;
	}
	switch (by_error ? H1_BAD : h1_read_eof(&b->reader)) {
	case H1_END:
		b->keep = false;
		back_reply_over(b, false);
		break;
	default:
		back_fail(b, REASON_upstream_reset);
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

void back_input(struct stream *s)
{
	struct back *b = container_of(s, struct back, stream);
	struct slice got;

	if (!b->call) {                           /* idle, and yet something came: bytes nobody asked for, or the end */
		if (b->state != BACK_IDLE || stream_read(s, false, &got) != GOT_NOTHING)
			back_close(b);
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

void back_want(void *handle, size_t n)
{
	struct call *call = handle;
	(void)n;
	if (call->back && !call->back->reply_ended)
		stream_want_input(&call->back->stream, true);
}

/* A write failed, or the endpoint hung up while we were not reading. What it sent before is still true: an early 413, for example. */
void back_gone(struct stream *s, bool reset)
{
	struct back *b = container_of(s, struct back, stream);
	if (!reset && (b->call || b->state == BACK_LEAVING))
		return;                           /* the end will be read in its turn, or was read long ago */
	if (!b->call) {
		back_close(b);
		return;
	}
	while (!s->closed && b->call && s->readable)
		back_input(s);
	if (!s->closed && b->call)
		endpoint_ended(b, true);
	else if (!s->closed && !b->call)
		back_close(b);
}
