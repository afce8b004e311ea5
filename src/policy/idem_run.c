/* idem_run.c - see idem_run.h. */
#include "idem_run.h"

#include "base/must.h"

enum {
	LAST_US = 300000000,                  /* where a route has no timeout: so long may it run on without a client */
	AHEAD = 256 * 1024,                   /* of an answer that is not kept, before its reader */
};

static const struct upstream_ops run_ops;
static const struct client_ops child_ops;

/* ── the end ── */

static void free_if_done(struct idem_run *r)
{
	if (r->parent || r->child || r->busy)
		return;
	must(r->told && !timer_armed(&r->end));
	capture_unref(r->capture);
	r->free(r);
}

static void tell(struct idem_run *r, enum idem_outcome outcome)
{
	if (r->told)
		return;
	r->told = true;
	r->settled |= r->over(r, outcome);
}

/* What it comes to when it ends here. */
static void tell_broken(struct idem_run *r) { tell(r, r->done_by_service ? IDEM_GONE : IDEM_RELEASE); }

static void end_now(struct timer *t)
{
	struct idem_run *r = container_of(t, struct idem_run, end);
	if (!r->child)
		return;
	if (r->timed_out)
		exchange_client_fault(r->child, REASON_deadline_exceeded, NULL);      /* so that a breaker hears of it */
	else
		exchange_client_gone(r->child);
}

static void last_moment(struct timer *t)
{
	container_of(t, struct idem_run, end)->timed_out = true;
	end_now(t);
}

static void give_up(struct idem_run *r, bool timed_out)
{
	r->timed_out = timed_out;
	if (r->busy || timed_out)
		worker_arm(r->worker, &r->end, 0, end_now);
	else
		end_now(&r->end);
}

void idem_run_let_go(struct idem_run *r)
{
	r->settled = true;
	if (!r->held)
		return;
	r->held = false;
	exchange_client_done(r->child);           /* child_done comes from inside */
}

/* ── the client's side ── */

void idem_run_begin(struct idem_run *r, struct exchange *parent)
{
	r->worker = parent->worker;
	r->parent = parent;
	r->until_us = parent->timing.start_us + (parent->patience_us ? parent->patience_us : LAST_US);
	exchange_divert(parent, &run_ops, r);
}

static void fail_parent(struct idem_run *r, enum reason why)
{
	if (!r->parent || r->reading.over)
		return;
	r->reading.over = true;
	exchange_upstream_failed(r->parent, why);
}

void idem_run_judge(struct idem_run *r)
{
	if (r->refusal == REASON_NONE || r->parent->local)
		return;
	exchange_refuse(r->parent, r->refusal, r->retry_after_s, NULL);
	r->parent->answer.detail = r->detail;
}

/* An answer that is kept is taken in as it comes; another one is only passed through, as fast as it is read. */
static void make_room(struct idem_run *r)
{
	if (!r->child || r->held)
		return;
	if (r->unkept && r->capture) {
		bool is_read = r->parent && !r->reading.over;
		capture_drop(r->capture, is_read ? r->reading.sent : capture_total(r->capture));
		if (r->capture->len > AHEAD)
			return;
	}
	size_t owed = r->owed_reply;
	r->owed_reply = 0;
	if (owed && r->child->reply_body.state != PIPE_ENDED)
		exchange_reply_taken(r->child, owed);
}

static bool timed_out_for_all(const struct idem_run *r, const struct exchange *parent)
{
	uint64_t begun_us = parent->timing.start_us, waited_us = parent->worker->now_us - begun_us;
	return parent->cut_by == REASON_deadline_exceeded && waited_us >= (r->until_us - begun_us) / 10 * 9;
}

void idem_run_leave(struct idem_run *r, enum ending how)
{
	struct exchange *parent = r->parent;
	bool whole = r->capture && r->capture->ended;

	r->parent = NULL;
	r->reading.over = true;
	r->busy++;
	if (r->child && !r->held && !whole) {
		if (!r->request_whole)
			give_up(r, false);
		else if (how == END_CUT && !r->capture && timed_out_for_all(r, parent))
			give_up(r, true);
		else if (!timer_armed(&r->end))
			worker_arm(r->worker, &r->end, r->until_us > r->worker->now_us ? r->until_us - r->worker->now_us : 0, last_moment);
		make_room(r);
	}
	if (!r->child)
		tell_broken(r);
	r->busy--;
	free_if_done(r);
}

static void *run_start(void *self, struct exchange *ex)
{
	struct idem_run *r = self;
	r->child = exchange_spawn(ex, ex->route, exchange_door(ex, r->slot) + 1, &child_ops, r);
	if (!r->child) {
		r->reading.over = true;
		exchange_upstream_failed(ex, REASON_internal_error);
		return NULL;
	}
	r->child->timing.start_us = ex->timing.start_us;          /* of its patience a part is spent */
	r->request_whole = ex->request.framing == BODY_NONE;
	fields_drop(&r->child->request.fields, FIELD_EXPECT);     /* its client has been told to go on */
	r->child->request.expect_continue = false;
	return r;
}

static void pay_request(struct idem_run *r)
{
	size_t owed = r->owed_request;
	r->owed_request = 0;
	if (owed && r->parent && !r->reading.over)
		exchange_request_taken(r->parent, owed);
}

static void run_body(void *call, struct slice bytes, bool end)
{
	struct idem_run *r = call;
	struct exchange *child = r->child;

	r->busy++;
	r->request_whole |= end;
	r->owed_request += bytes.len;
	if (child && !r->held && child->request.framing != BODY_NONE) {
		if (end && r->parent->request_trailers.count
				&& !fields_copy(&child->request_trailers, &r->parent->request_trailers, &child->arena, 0))
			child->request_trailers.count = 0;
		exchange_request_body(child, bytes, end);
	}
	if (!r->child || exchange_request_open(r->child))
		pay_request(r);
	r->busy--;
	free_if_done(r);
}

static void run_want(void *call, size_t n)
{
	struct idem_run *r = call;
	(void)n;
	r->busy++;
	reading_feed(&r->reading);
	make_room(r);
	r->busy--;
	free_if_done(r);
}

static void run_cancel(void *call)
{
	struct idem_run *r = call;
	r->reading.over = true;
	r->busy++;
	if (r->child && !r->held && !r->request_whole)
		give_up(r, false);                /* what is left of its body comes to nobody */
	make_room(r);
	r->busy--;
	free_if_done(r);
}

static const struct upstream_ops run_ops = { .start = run_start, .body = run_body, .want = run_want, .cancel = run_cancel };

/* ── the child's side ── */

/* What a service has answered with these is its word about this request, and said again. */
static bool is_final(int status)
{
	return status < 500 && status != 408 && status != 409 && status != 425 && status != 429;
}

static bool is_unkept(const struct idem_run *r, const struct reply *reply)
{
	return (reply->has_length && reply->content_length > r->max_answer && !reply_has_no_body(r->child->request.method, reply->status))
		|| span_starts_nocase(fields_value(&reply->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
}

static void take_refusal(struct idem_run *r, const struct exchange *child)
{
	r->refusal = child->reason;
	r->retry_after_s = child->answer.retry_after_s;
	if (r->parent && child->answer.detail.len)
		r->detail = arena_copy(&r->parent->arena, child->answer.detail);
	fail_parent(r, r->refusal);
}

static void child_head(void *client, struct exchange *child)
{
	struct idem_run *r = client;
	r->busy++;
	if (r->parent)
		exchange_credit(r->parent, child);
	r->done_by_service = !child->local && is_final(child->reply.status);
	if (child->local)
		take_refusal(r, child);
	else if (!(r->capture = capture_new(&child->reply))) {
		r->unkept = true;
		fail_parent(r, REASON_internal_error);
	} else {
		r->unkept = is_unkept(r, &child->reply);
		if (r->parent && !r->reading.over)
			reading_start(&r->reading, r->parent, r->capture);
	}
	if (r->done_by_service && r->unkept)
		tell(r, IDEM_GONE);               /* nobody need wait for its end */
	r->busy--;
}

static void take_body(struct idem_run *r, struct exchange *child, struct slice bytes, bool end)
{
	struct capture *c = r->capture;
	if (!capture_add(c, slice_span(bytes))) {
		r->unkept = true;
		fail_parent(r, REASON_upstream_reset);
		return;
	}
	if (end && child->reply_trailers.count && !fields_copy(&c->trailers, &child->reply_trailers, &c->arena, 0))
		c->trailers.count = 0;
	c->ended = end;
	if (!r->unkept && capture_total(c) > r->max_answer) {
		r->unkept = true;
		if (r->done_by_service)
			tell(r, IDEM_GONE);
	}
	if (r->parent && !r->reading.over)
		reading_feed(&r->reading);
}

static void child_body(void *client, struct exchange *child, struct slice bytes, bool end)
{
	struct idem_run *r = client;
	r->busy++;
	r->owed_reply += bytes.len;
	if (r->capture)
		take_body(r, child, bytes, end);
	if (end) {
		worker_disarm(r->worker, &r->end);
		if (r->capture && r->capture->ended && !r->unkept && r->done_by_service)
			tell(r, IDEM_KEEP);
		else
			tell_broken(r);
		r->held = !r->settled;
		if (r->settled)
			exchange_client_done(child);
	} else
		make_room(r);
	r->busy--;
	free_if_done(r);
}

static void child_abort(void *client, struct exchange *child)
{
	struct idem_run *r = client;
	(void)child;
	r->busy++;
	tell_broken(r);
	fail_parent(r, REASON_upstream_reset);
	r->busy--;
}

/* Also when it was given up. */
static void child_done(void *client, struct exchange *child)
{
	struct idem_run *r = client;
	(void)child;
	worker_disarm(r->worker, &r->end);
	r->busy++;
	r->child = NULL;
	r->held = false;
	tell_broken(r);
	if (!r->capture || !r->capture->ended)
		fail_parent(r, REASON_upstream_reset);
	r->busy--;
	free_if_done(r);
}

static void child_informs(void *client, struct exchange *child, const struct reply *reply)
{
	struct idem_run *r = client;
	(void)child;
	if (r->parent && !r->reading.over && reply->status != 100)
		exchange_upstream_informational(r->parent, reply);
}

static void child_wants(void *client, struct exchange *child, size_t n)
{
	(void)child; (void)n;
	pay_request(client);
}

static const struct client_ops child_ops = {
	.send_informational = child_informs, .send_head = child_head, .send_body = child_body, .want = child_wants, .abort = child_abort,
	.done = child_done,
};
