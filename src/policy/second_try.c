/* second_try.c - see second_try.h.
 *
 * Always true:
 *   - child: set until its last word. ex: set until the slot leaves.
 *   - WON: ex is, or is about to be, served by serve_ops; what came before it asked is in `held`, which is bounded by the child's credit.
 *   - busy: in one of the child's reports, or handing on to ex: the child cannot be ended there, a timer does it a moment later.
 */
#include "second_try.h"

#include <stdlib.h>

#include "base/must.h"

enum { HELD_MAX = PIPE_WINDOW_MAX + CHUNK_BODY };

struct second_try {
	struct exchange *ex, *child;
	void            *slot;
	void           (*told)(void *slot);
	struct worker   *worker;
	struct timer     end;                 /* of the child, from outside its reports */
	struct reply     reply;               /* WON: in ex's arena */
	struct buf       held;
	enum second_state state;
	bool             busy, sent;
	bool             serving;             /* ex has called for it, and it has not ended */
	bool             ended, broken;       /* all of its body is here; no more will come */
};

static const struct client_ops child_ops;
static const struct upstream_ops serve_ops;

/* ── birth and death ── */

static void free_if_done(struct second_try *s)
{
	if (s->ex || s->child || s->busy)
		return;
	worker_disarm(s->worker, &s->end);
	buf_fini(&s->held);
	free(s);
}

static void end_now(struct timer *t)
{
	struct second_try *s = container_of(t, struct second_try, end);
	if (s->child)
		exchange_client_gone(s->child);   /* child_done frees */
	else
		free_if_done(s);
}

/* Afterwards it may be gone. */
static void end_child(struct second_try *s)
{
	if (!s->child)
		free_if_done(s);
	else if (s->busy)
		worker_arm(s->worker, &s->end, 0, end_now);
	else
		end_now(&s->end);
}

/* The request's body is here as a whole: the child gets all of it at once. */
static void give_body(struct exchange *child, const struct exchange *ex)
{
	if (ex->request.framing == BODY_NONE)
		return;
	if (buf_empty(&ex->request_body.held))
		exchange_request_body(child, slice_of(SPAN_NONE), true);
	for (const struct buf_piece *p = buf_first(&ex->request_body.held); p && !child->local; p = p->next)
		exchange_request_body(child, p->slice, !p->next);
}

struct second_try *second_try_begin(struct exchange *ex, void *slot, void (*told)(void *slot))
{
	struct second_try *s = calloc(1, sizeof(*s));
	must(exchange_can_replay(ex) && exchange_request_ended(ex));
	if (!s)
		return NULL;
	s->child = exchange_spawn(ex, ex->route, exchange_door(ex, slot) + 1, &child_ops, s);
	if (!s->child) {
		free(s);
		return NULL;
	}
	s->ex = ex;
	s->slot = slot;
	s->told = told;
	s->worker = ex->worker;
	buf_init(&s->held, &ex->worker->chunks, HELD_MAX);
	s->child->expendable = true;
	exchange_note_attempt_of(s->child, ex, REASON_NONE);      /* so that it goes elsewhere, and tells its number */
	give_body(s->child, ex);
	return s;
}

enum second_state second_try_state(const struct second_try *s) { return s->state; }

bool second_try_was_sent(const struct second_try *s) { return s->sent || (s->child && s->child->attempt > s->ex->attempt); }

void second_try_call_off(struct second_try *s)
{
	must(s->state == SECOND_RUNNING && s->child);
	s->sent = second_try_was_sent(s);
	s->state = SECOND_LOST;
	if (s->sent) {
		exchange_note_attempt_of(s->ex, s->child, REASON_NONE);
		if (s->ex->tried_count)
			s->ex->tried[s->ex->tried_count - 1].status = 0;  /* whatever it may have said already: nobody looked */
	}
	end_child(s);
}

void second_try_leave(struct second_try *s)
{
	s->ex = NULL;
	s->serving = false;
	end_child(s);
}

bool reply_is_acceptable(const struct exchange *ex)
{
	return !ex->local && ex->reply.status && ex->reply.status < 500 && ex->reply.status != 429;
}

/* ── what the child reports ── */

static enum reason failure_of(const struct exchange *ex)
{
	return ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
}

static void child_wins(struct second_try *s)
{
	struct exchange *ex = s->ex;
	s->state = SECOND_WON;
	exchange_note_attempt(ex, failure_of(ex));
	exchange_take_over(ex, s->slot, s->child, &serve_ops, s);
}

static void child_head(void *client, struct exchange *child)
{
	struct second_try *s = client;
	if (!s->ex || s->state != SECOND_RUNNING)
		return;                           /* it is called off, and about to be ended */
	s->busy = true;
	s->sent = second_try_was_sent(s);
	if (reply_is_acceptable(child) && reply_copy(&s->reply, &child->reply, &s->ex->arena))
		child_wins(s);
	else {
		s->state = SECOND_LOST;
		if (s->sent)
			exchange_note_attempt_of(s->ex, child, failure_of(child));
		end_child(s);
	}
	s->told(s->slot);
	s->busy = false;
}

static void copy_trailers(struct second_try *s, const struct exchange *child)
{
	if (child->reply_trailers.count && !fields_copy(&s->ex->reply_trailers, &child->reply_trailers, &s->ex->arena, 0))
		s->ex->reply_trailers.count = 0;
}

static void take_body(struct second_try *s, struct exchange *child, struct slice bytes, bool end)
{
	s->ended = end;
	if (end)
		copy_trailers(s, child);
	if (s->serving) {
		s->serving = !end;
		exchange_upstream_body(s->ex, bytes, end);
	} else if (bytes.len && !buf_keep(&s->held, bytes)) {
		s->broken = true;
		end_child(s);
	}
}

static void child_body(void *client, struct exchange *child, struct slice bytes, bool end)
{
	struct second_try *s = client;
	s->busy = true;
	if (s->ex && s->state == SECOND_WON && !s->broken)
		take_body(s, child, bytes, end);
	else if (bytes.len)
		exchange_reply_taken(child, bytes.len);
	s->busy = false;
	if (end)
		exchange_client_done(child);      /* child_done comes from inside: both may be gone then */
}

static void child_abort(void *client, struct exchange *child)
{
	struct second_try *s = client;
	(void)child;
	s->child = NULL;                          /* it is over: only its last word is to come */
	s->busy = true;
	s->broken = true;
	if (s->serving) {
		s->serving = false;
		exchange_upstream_failed(s->ex, REASON_upstream_reset);
	}
	s->busy = false;
}

/* The worker goes, and its spawned requests with it. */
static void ended_from_outside(struct second_try *s)
{
	s->broken = true;
	if (s->serving) {
		s->serving = false;
		exchange_upstream_failed(s->ex, REASON_upstream_reset);
		return;
	}
	s->state = SECOND_LOST;
	s->told(s->slot);
}

static void child_done(void *client, struct exchange *child)
{
	struct second_try *s = client;
	(void)child;
	s->child = NULL;
	if (s->ex && (s->serving || s->state == SECOND_RUNNING))
		ended_from_outside(s);
	free_if_done(s);
}

static void child_informs(void *client, struct exchange *child, const struct reply *r) { (void)client; (void)child; (void)r; }
static void child_wants(void *client, struct exchange *child, size_t n) { (void)client; (void)child; (void)n; }
static const struct client_ops child_ops = {
	.send_informational = child_informs, .send_head = child_head, .send_body = child_body, .want = child_wants, .abort = child_abort,
	.done = child_done,
};

/* ── as the upstream of the client's exchange ── */

static void give_held(struct second_try *s, struct exchange *ex)
{
	do {
		struct slice piece = buf_empty(&s->held) ? slice_of(SPAN_NONE) : s->held.first->slice;
		if (piece.chunk)
			chunk_ref(piece.chunk);
		buf_drop(&s->held, piece.len);
		bool end = s->ended && buf_empty(&s->held);
		if (end)
			s->serving = false;
		if (piece.len || end)
			exchange_upstream_body(ex, piece, end);
		chunk_unref(piece.chunk);
	} while (s->ex && !buf_empty(&s->held));
}

static void *serve_start(void *self, struct exchange *ex)
{
	struct second_try *s = self;
	ex->request_reached = true;
	if (s->broken) {
		exchange_upstream_failed(ex, REASON_upstream_reset);
		return NULL;
	}
	ex->reply = s->reply;
	exchange_upstream_head(ex);
	s->busy = s->serving = true;              /* without memory for it ex is cut, and settled, in the midst of this */
	give_held(s, ex);
	s->busy = false;
	if (s->serving)
		return s;
	free_if_done(s);
	return NULL;
}

static void serve_body(void *call, struct slice bytes, bool end) { (void)call; (void)bytes; (void)end; }

static void serve_want(void *call, size_t n)
{
	struct second_try *s = call;
	if (s->child)
		exchange_reply_taken(s->child, n);
}

static void serve_cancel(void *call)
{
	struct second_try *s = call;
	s->serving = false;
	s->broken = true;
	end_child(s);                             /* it stays as long as the slot holds it */
}

static const struct upstream_ops serve_ops = { .start = serve_start, .body = serve_body, .want = serve_want, .cancel = serve_cancel };
