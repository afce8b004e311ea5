/* exchange.c - the life of one exchange: birth, start, what the two ends report, the grave. Moving it is walk.c's. */
#include "core/exchange.h"

#include "base/must.h"
#include "body.h"
#include "local.h"
#include "walk.h"

struct exchange *exchange_new(struct worker *w, struct router *router, const struct client_ops *ops, void *client)
{
	struct arena arena;
	arena_init(&arena, &w->arenas, EXCHANGE_ARENA_MAX);
	struct exchange *ex = arena_take(&arena, sizeof(*ex));
	if (!ex)
		return NULL;
	memset(ex, 0, sizeof(*ex));
	ex->arena = arena;
	ex->worker = w;
	ex->route = &router_ref(router)->none;
	ex->client_ops = ops;
	ex->client = client;
	ex->deadline_us = ex->try_deadline_us = TIMER_NEVER;
	ex->max_request_body = router->conf->client.max_request_body;
	ex->timing.start_us = ex->timing.first_byte_us = w->now_us;
	ex->served_by = SERVED_BY_upstream;
	ex->priority = 1;
	body_init(ex);
	link_init(&ex->on_list);
	list_append(&w->live, &ex->on_live);
	worker_count_live(w, +1);
	return ex;
}

void exchange_free(struct exchange *ex)
{
	struct arena arena = ex->arena;   /* the exchange lives in its own arena */
	struct router *router = ex->route->router;
	body_fini(ex);
	if (ex->endpoint)
		endpoint_unref(ex->endpoint);
	flag_set_unref(ex->flags);
	arena_fini(&arena);
	router_unref(router);
}

void *exchange_slot(const struct exchange *ex, unsigned door) { return ex->slots + ex->route->slot_at[door]; }

unsigned exchange_door(const struct exchange *ex, const void *slot)
{
	unsigned door = ex->walk.from;
	while (exchange_slot(ex, door) != slot)
		must(++door < ex->route->depth);
	return door;
}

/* NULL: `respond`, no route, or no try. */
static struct upstream_stats *upstream_stats_of(const struct exchange *ex)
{
	return ex->route->upstream && !ex->diverted ? ex->route->router->upstream_stats[ex->route->upstream->index] : NULL;
}

static void begin(struct exchange *ex)
{
	counter_add(&ex->route->stats->started, 1);
	if (ex->worker->on_begin)
		ex->worker->on_begin(ex->worker, ex);
}

void exchange_call_ended(struct exchange *ex)
{
	ex->timing.call_end_us = ex->worker->now_us;
	ex->timing.upstream_us += ex->worker->now_us - ex->timing.call_us;
}

void exchange_count_try(struct exchange *ex, enum reason why)
{
	struct upstream_stats *s = upstream_stats_of(ex);
	if (!s)
		return;
	hist_add(&s->duration, ex->worker->now_us - ex->timing.call_us);
	if (why != REASON_NONE)
		counter_add(&s->errors[why], 1);
}

static void post_refusal(struct exchange *ex, enum reason why, const char *detail)
{
	local_refuse(ex, why, 0, detail);
	ex->walk.state = WALK_OWED;
	ex->walk.way = -1;
	ex->walk.at = 0;                  /* no door was asked: the first step outward is the commit */
	exchange_answer(ex, PASS);
}

/* Who begins a trace decides whether it is kept; the others go along. */
static void begin_trace(struct exchange *ex)
{
	const struct conf_tracing *conf = &ex->route->router->conf->tracing;
	trace_begin(&ex->trace, &ex->request, &ex->worker->rand, ex->worker->wall_ms);
	if (!ex->trace.continued && conf->otlp.len)
		ex->trace.sampled = rand_unit(&ex->worker->rand) < conf->sample;
}

void exchange_start_refused(struct exchange *ex, enum reason why, int status, const char *detail)
{
	begin_trace(ex);
	begin(ex);
	post_refusal(ex, why, detail);
	if (status)
		ex->reply.status = status;
}

/* Finds the route. REASON_NONE: found, and laid out. */
static enum reason find_route(struct exchange *ex)
{
	struct router *router = ex->route->router;
	const struct route *route;

	if (!request_normalise_path(&ex->request, &ex->arena))
		return REASON_request_invalid;
	if (!router->origin && forward_is_loop(&ex->request, router->instance))
		return REASON_loop_detected;
	switch (router_match(router, &ex->request, ex, &ex->arena, &route, &ex->answer.allow)) {
	case ROUTE_NOT_FOUND: return REASON_route_not_found;
	case ROUTE_METHOD:    return REASON_method_not_allowed;
	case ROUTE_FOUND:     break;
	}
	ex->route = route;
	ex->max_request_body = route->conf->max_request_body;
	if (router->conf->flags.forward.count)
		exchange_forward_flags(ex, &router->conf->flags.forward);
	ex->slots = arena_take(&ex->arena, route->slot_bytes + 1);
	if (!ex->slots)
		return REASON_internal_error;
	if (ex->request.framing == BODY_LENGTH && ex->request.content_length > ex->max_request_body)
		return REASON_request_body_too_large;
	return REASON_NONE;
}

void exchange_start(struct exchange *ex)
{
	must(ex->walk.state == WALK_NEW);
	begin_trace(ex);
	enum reason why = find_route(ex);
	begin(ex);
	if (why != REASON_NONE) {
		struct span allow = ex->answer.allow;
		post_refusal(ex, why, NULL);
		ex->answer.allow = allow;
		return;
	}
	ex->walk.state = WALK_OWED;
	ex->walk.at = -1;
	ex->walk.way = +1;
	exchange_answer(ex, PASS);
}

/* ── what the client reports ── */

void exchange_client_done(struct exchange *ex)
{
	must(ex->committed && ex->reply_body.state == PIPE_ENDED && !ex->reply_written);
	ex->reply_written = true;
	if (!ex->tunnel || ex->request_body.state == PIPE_ENDED)
		walk_finish(ex, END_SENT);
}

void exchange_client_gone(struct exchange *ex)
{
	ex->reason = REASON_client_closed;
	walk_finish(ex, END_GONE);
}

void exchange_client_fault(struct exchange *ex, enum reason why, const char *detail)
{
	bool committed = ex->committed;
	walk_cut(ex, -1, why);
	if (!committed && detail)
		ex->answer.detail = arena_copy(&ex->arena, span_of(detail));
}

/* ── what the upstream reports ── */

void exchange_upstream_informational(struct exchange *ex, const struct reply *r)
{
	struct reply clean = *r;
	if (!ex->committed && ex->request.minor >= 1 && forward_reply(&clean, &ex->trace, NULL, NULL, 0, &ex->arena))
		ex->client_ops->send_informational(ex->client, ex, &clean);
}

void exchange_upstream_head(struct exchange *ex)
{
	must(ex->reply.status >= 200 || ex->reply.status == 101);
	struct upstream_stats *s = upstream_stats_of(ex);
	if (s && ex->reply.status <= STATUS_LAST)
		counter_add(&s->replies[ex->reply.status - STATUS_FIRST], 1);
	ex->timing.reply_us = ex->worker->now_us;
	if (!ex->diverted)
		ex->upstream_status = ex->reply.status;
	exchange_answer(ex, PASS);
}

void exchange_upstream_failed(struct exchange *ex, enum reason why)
{
	bool had_head = ex->reply.status != 0;

	exchange_call_ended(ex);
	exchange_count_try(ex, why);
	ex->call = NULL;                  /* there is nothing left to cancel */
	if (ex->committed) {
		ex->reason = ex->tunnel ? why : REASON_response_truncated;
		ex->client_ops->abort(ex->client, ex);
		walk_finish(ex, END_FAILED);
		return;
	}
	body_drop_reply(ex);
	ex->failure = why;
	if (!had_head)
		exchange_answer(ex, PASS);
	/* else: the head's answer is posted, or a judge ponders; what they find now is a failure */
}

void exchange_note_attempt_of(struct exchange *ex, const struct exchange *of, enum reason why)
{
	if (ex->attempt < of->attempt)
		ex->attempt = of->attempt;
	if (!ex->tried)
		ex->tried = arena_take(&ex->arena, ATTEMPTS_MAX * sizeof(*ex->tried));
	if (!ex->tried || ex->tried_count == ATTEMPTS_MAX)
		return;
	struct attempt *a = &ex->tried[ex->tried_count++];
	*a = (struct attempt){
		.reason = why, .status = of->local ? 0 : of->reply.status, .us = of->worker->now_us - of->timing.call_us, .number = of->calling,
		.at_us = of->timing.call_us, .connect_us = of->timing.connect_us, .reply_us = of->timing.reply_us,
	};
	if (of->endpoint) {
		a->endpoint_id = of->endpoint->id;
		a->endpoint = arena_copy(&ex->arena, of->endpoint->name);
	}
}

void exchange_note_attempt(struct exchange *ex, enum reason why) { exchange_note_attempt_of(ex, ex, why); }
