/* body.c - two byte pipes with credit, and the bounded copy of the request body that makes another try possible.
 *
 *   client ──▶ request_body ──▶ call          held: bytes from offset 0 (keeping), or bytes that wait for a call
 *   client ◀── reply_body   ◀── call          held: bytes that wait for the head's commit
 *
 * Always true:
 *   - a sender was granted `window` bytes more than the receiver has taken, minus what is still owed; credit is what is left.
 *   - bytes reach the running call in order and once; with `keeping`, held has every byte since offset 0 and so a new call gets
 *     them all again. Credit for a byte is paid back to the client once, whatever number of calls took it.
 *   - held is empty once the reply is committed (reply_body) or once keeping is over and a call runs (request_body).
 */
#include "body.h"

#include "base/must.h"
#include "farewell.h"
#include "local.h"
#include "walk.h"

/* The most that can be held: what is kept for another try (retry.buffer's limit), a full window that came while no call ran, and one
 * read beyond its credit. */
enum { HELD_MAX = PIPE_WINDOW_MAX + PIPE_WINDOW_MAX + CHUNK_BODY };

static void pipe_init(struct pipe *p, struct chunk_pool *pool)
{
	*p = (struct pipe){ .state = PIPE_IDLE, .window = PIPE_WINDOW, .credit = PIPE_WINDOW };
	buf_init(&p->held, pool, HELD_MAX);
}

/* The receiver took n bytes. Returns how much credit is due to the sender now; 0: not worth telling yet. */
static size_t pipe_pay(struct pipe *p, size_t n)
{
	p->owed += n;
	if (p->credit > 0 && p->owed < p->window / 2)
		return 0;
	if (p->credit + (ptrdiff_t)p->owed <= 0)  /* its last read went far beyond the window: it would read on, and beyond every bound */
		return 0;
	/* The receiver keeps up (nothing is on the way): let the sender run further ahead. */
	if (p->window < PIPE_WINDOW_MAX && p->total > p->window && p->credit + (ptrdiff_t)p->owed == (ptrdiff_t)p->window) {
		p->owed += p->window;
		p->window *= 2;
	}
	n = p->owed;
	p->owed = 0;
	p->credit += (ptrdiff_t)n;
	return n;
}

void body_init(struct exchange *ex)
{
	pipe_init(&ex->request_body, &ex->worker->chunks);
	pipe_init(&ex->reply_body, &ex->worker->chunks);
	ex->keeping = true;
}

void body_fini(struct exchange *ex)
{
	farewell_fini(ex);
	buf_fini(&ex->request_body.held);
	buf_fini(&ex->reply_body.held);
}

/* ── request: client to call ── */

static void stop_keeping(struct exchange *ex)
{
	ex->keeping = false;
	buf_clear(&ex->request_body.held);
}

/* A body that is too long to be kept whole need not be kept at all once the endpoint has seen a part of it. */
static bool keeps_in_vain(const struct exchange *ex)
{
	return ex->request.framing == BODY_LENGTH && ex->request.content_length > ex->replay_bytes && ex->request_reached;
}

/* Passes bytes to the running call and, while a retry may want them, keeps them. */
static void give(struct exchange *ex, struct slice bytes, bool end)
{
	struct pipe *p = &ex->request_body;
	if (ex->keeping && bytes.len && (keeps_in_vain(ex) || p->held.len + bytes.len > ex->replay_bytes || !buf_keep(&p->held, bytes)))
		stop_keeping(ex);
	ex->ops->body(ex->call, bytes, end);
}

static bool has_come(const struct exchange *ex, size_t bytes)
{
	return ex->request_body.state == PIPE_ENDED || ex->request_body.held.len >= bytes;
}

static void tap_request(struct exchange *ex, const struct slice *bytes, bool end)
{
	for (unsigned i = ex->walk.from; i < ex->walk.let_in; i++)
		if (ex->route->chain[i]->type->request_tap)
			ex->route->chain[i]->type->request_tap(ex->route->chain[i], ex, exchange_slot(ex, i), bytes, end);
}

void exchange_request_body(struct exchange *ex, struct slice bytes, bool end)
{
	struct pipe *p = &ex->request_body;
	must(p->state != PIPE_ENDED && ex->walk.state != WALK_OVER);
	p->state = end ? PIPE_ENDED : PIPE_FLOWING;
	p->total += bytes.len;
	p->credit -= (ptrdiff_t)bytes.len;
	ex->last_byte_us = ex->worker->now_us;
	if (p->total > ex->max_request_body && !ex->tunnel && (ex->call || !ex->committed)) {
		exchange_client_fault(ex, REASON_request_body_too_large, NULL);
		return;
	}
	if (ex->request_tapped && !ex->tunnel)
		tap_request(ex, &bytes, end);
	if (ex->call) {
		bool over = ex->tunnel && end && ex->reply_body.state == PIPE_ENDED;
		void *call = ex->call;
		if (over)
			ex->call = NULL;  /* the second direction of a tunnel has ended, and with it the call */
		if (over)
			ex->ops->body(call, bytes, end);
		else
			give(ex, bytes, end);
		if (over && ex->reply_written)
			walk_finish(ex, END_SENT);
		return;
	}
	if (ex->committed)
		return;                   /* the answer did not wait for the rest of the request: nobody wants it */
	if (bytes.len && !buf_keep(&p->held, bytes))
		exchange_client_fault(ex, REASON_internal_error, NULL);
	else if (ex->awaited.here && has_come(ex, ex->awaited.bytes)) {
		void (*here)(struct exchange *, void *) = ex->awaited.here;
		ex->awaited.here = NULL;
		here(ex, ex->awaited.slot);
	}
}

bool exchange_await_body(struct exchange *ex, size_t bytes, void (*here)(struct exchange *, void *slot), void *slot)
{
	must(bytes <= PIPE_WINDOW && (!here || !ex->call));
	if (here && has_come(ex, bytes))
		return true;
	ex->awaited.here = here;
	ex->awaited.slot = slot;
	ex->awaited.bytes = bytes;
	return false;
}

void body_call_begins(struct exchange *ex) { ex->request_taken = 0; }

void body_give_held(struct exchange *ex)
{
	struct pipe *p = &ex->request_body;
	bool end = p->state == PIPE_ENDED;
	void *call = ex->call;

	must(ex->keeping);
	for (const struct buf_piece *piece = buf_first(&p->held); piece; piece = piece->next) {
		ex->ops->body(call, piece->slice, end && !piece->next);
		if (ex->call != call)     /* it failed under our hands: the next try gets the bytes */
			return;
	}
	if (end && buf_empty(&p->held))
		ex->ops->body(call, slice_of(SPAN_NONE), true);
	if (p->held.len > ex->replay_bytes)
		stop_keeping(ex);
}

void exchange_request_taken(struct exchange *ex, size_t n)
{
	ex->request_taken += n;
	if (ex->request_taken <= ex->request_paid)
		return;                   /* bytes of a second try: paid for already */
	size_t grant = pipe_pay(&ex->request_body, (size_t)(ex->request_taken - ex->request_paid));
	ex->request_paid = ex->request_taken;
	if (grant && ex->request_body.state != PIPE_ENDED)
		ex->client_ops->want(ex->client, ex, grant);
}

bool exchange_may_splice_request(const struct exchange *ex)
{
	return ex->call && (!ex->keeping || keeps_in_vain(ex)) && !ex->tunnel && !ex->request_tapped && ex->ops->splices;
}

bool exchange_may_splice_reply(const struct exchange *ex)
{
	return ex->committed && !ex->local && !ex->tunnel && !ex->farewell && !ex->route->tapped && ex->client_ops->splices;
}

bool exchange_can_replay(const struct exchange *ex) { return ex->keeping && !ex->tunnel; }

/* ── reply: call to client ── */

void body_drop_reply(struct exchange *ex)
{
	struct pipe *p = &ex->reply_body;
	buf_clear(&p->held);
	p->state = PIPE_IDLE;
	p->window = p->credit = PIPE_WINDOW;
	p->owed = 0;
	p->total = 0;
	ex->reply = (struct reply){ 0 };
	ex->reply_trailers.count = 0;
}

static void tap(struct exchange *ex, struct slice bytes)
{
	for (unsigned i = ex->walk.from; i < ex->walk.let_in; i++)
		if (ex->route->chain[i]->type->tap)
			ex->route->chain[i]->type->tap(ex->route->chain[i], ex, exchange_slot(ex, i), slice_span(bytes));
}

static void send_on(struct exchange *ex, struct slice bytes, bool end)
{
	size_t came = bytes.len;
	if (bytes.len && !ex->local)
		tap(ex, bytes);
	if (ex->farewell)
		bytes = farewell_pass(ex, bytes);
	if (end && !ex->local && !ex->call)       /* the endpoint is done with us: its permits are free for the next one, */
		walk_settle_from(ex, ex->route->attempt_from, END_SENT);        /* however slowly this client reads        */
	if (bytes.len || end || !came)
		ex->client_ops->send_body(ex->client, ex, bytes, end);
	if (bytes.len < came && !end && ex->walk.state != WALK_OVER)
		exchange_reply_taken(ex, came - bytes.len);       /* dropped: nobody else will say so */
}

void body_commit(struct exchange *ex)
{
	struct pipe *p = &ex->reply_body;
	stop_keeping(ex);
	if (ex->local) {
		p->state = PIPE_ENDED;
		send_on(ex, slice_of(ex->answer.body), true);
		return;
	}
	ex->tunnel = ex->reply.status == 101;
	if (ex->tunnel) {                 /* the request's body was over; now bytes flow both ways */
		ex->request_body.state = PIPE_FLOWING;
		ex->last_byte_us = ex->worker->now_us;
	}
	farewell_begin(ex);
	/* The pieces leave the queue one by one. send_body may be the end of the exchange, or pay for what it took and so bring more, which then
	 * goes behind what is still here. */
	p->draining = true;
	while (ex->walk.state != WALK_OVER && !buf_empty(&p->held)) {
		struct slice s = p->held.first->slice;
		bool end = s.len == p->held.len && p->state == PIPE_ENDED;
		if (s.chunk)
			chunk_ref(s.chunk);
		buf_drop(&p->held, s.len);
		send_on(ex, s, end);
		chunk_unref(s.chunk);
		if (end)
			return;
	}
	p->draining = false;
	if (ex->walk.state != WALK_OVER && p->state == PIPE_ENDED)
		send_on(ex, slice_of(SPAN_NONE), true);
}

void exchange_upstream_body(struct exchange *ex, struct slice bytes, bool end)
{
	struct pipe *p = &ex->reply_body;
	must(ex->reply.status != 0 && p->state != PIPE_ENDED);
	p->state = end ? PIPE_ENDED : PIPE_FLOWING;
	p->total += bytes.len;
	p->credit -= (ptrdiff_t)bytes.len;
	ex->last_byte_us = ex->worker->now_us;
	/* a tunnel lives until both of its directions have ended (before the commit the other one has not even begun) */
	bool other_way_open = ex->tunnel ? ex->request_body.state != PIPE_ENDED : ex->reply.status == 101;
	if (end && !other_way_open) {
		exchange_call_ended(ex);
		exchange_count_try(ex, REASON_NONE);
		ex->call = NULL;
	}
	if (ex->committed && !p->draining)
		send_on(ex, bytes, end);
	else if (bytes.len && !buf_keep(&p->held, bytes))
		walk_cut(ex, -1, REASON_internal_error);
}

void exchange_reply_taken(struct exchange *ex, size_t n)
{
	size_t grant = pipe_pay(&ex->reply_body, n);
	ex->last_byte_us = ex->worker->now_us;
	if (grant && ex->call && ex->reply_body.state != PIPE_ENDED)
		ex->ops->want(ex->call, grant);
}
