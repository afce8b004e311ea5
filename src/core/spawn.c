/* spawn.c - a policy's own requests, and calls that a policy serves itself. */
#include "base/must.h"
#include "core/claims.h"
#include "core/exchange.h"
#include "local.h"
#include "walk.h"

void exchange_divert(struct exchange *ex, const struct upstream_ops *ops, void *self)
{
	if (ex->walk.way < 0) {
		exchange_drop_try(ex);
		ex->walk.replaced = true;
	}
	must(!ex->diverted);
	ex->diverted = true;
	ex->ops = ops;
	ex->ops_self = self;
}

static void take_endpoint(struct exchange *ex, const struct exchange *from)
{
	if (from->endpoint == ex->endpoint)
		return;
	if (ex->endpoint)
		endpoint_unref(ex->endpoint);
	ex->endpoint = from->endpoint ? endpoint_ref(from->endpoint) : NULL;
}

static void take_credit(struct exchange *ex, const struct exchange *from)
{
	ex->attempt = from->attempt;
	ex->credited = exchange_last_try(from);
	ex->credited.endpoint = SPAN_NONE;        /* it is ex->endpoint */
	if (!from->timing.call_end_us)
		ex->credited.us = 0;              /* it still runs */
	take_endpoint(ex, from);
}

void exchange_take_over(struct exchange *ex, void *slot, const struct exchange *winner, const struct upstream_ops *ops, void *self)
{
	walk_again_from(ex, exchange_door(ex, slot));
	exchange_divert(ex, ops, self);
	take_credit(ex, winner);                  /* balance has taken its count back from the other endpoint */
}

void exchange_take_way(struct exchange *ex, const struct route *way)
{
	must(way->router == ex->route->router && way->index == ex->route->index && !ex->committed);
	if (ex->walk.way < 0)
		exchange_drop_try(ex);
	must(ex->walk.let_in == (unsigned)ex->walk.at + 1 && ex->walk.let_in == way->fork);
	ex->route = way;
	if (ex->endpoint)
		endpoint_unref(ex->endpoint);             /* of the other way */
	ex->endpoint = NULL;
}

static bool copy_claims(struct exchange *ex, const struct claims *from)
{
	struct claims *claims = arena_take(&ex->arena, sizeof(*claims));
	struct claim *at = arena_take(&ex->arena, from->count * sizeof(*at) + 1);
	if (!claims || !at)
		return false;
	for (unsigned i = 0; i < from->count; i++) {
		at[i] = (struct claim){ arena_copy(&ex->arena, from->at[i].name), arena_copy(&ex->arena, from->at[i].value) };
		if (!at[i].name.at || !at[i].value.at)
			return false;
	}
	*claims = (struct claims){ at, from->count };
	ex->claims = claims;
	return true;
}

static bool copy_facts(struct exchange *ex, const struct exchange *model)
{
	ex->trace = model->trace;
	ex->flags = model->flags ? flag_set_ref(model->flags) : NULL;
	ex->client_trusted = model->client_trusted;
	ex->max_request_body = model->max_request_body;
	ex->listener_port = model->listener_port;
	ex->deadline_us = model->deadline_us;
	ex->timeout_field = model->timeout_field;
	ex->patience_us = model->patience_us;
	ex->priority = model->priority;
	ex->client_address = arena_copy(&ex->arena, model->client_address);
	ex->scheme = arena_copy(&ex->arena, model->scheme);
	ex->slots = arena_take(&ex->arena, ex->route->slot_bytes + 1);
	return ex->slots && (!model->own.count || fields_copy(&ex->own, &model->own, &ex->arena, 0))
		&& (!model->claims || copy_claims(ex, model->claims)) && request_copy(&ex->request, &model->request, &ex->arena);
}

static void say_nothing(void *client, struct exchange *ex) { (void)client; (void)ex; }
static const struct client_ops nobody_ops = { .done = say_nothing };

struct exchange *exchange_spawn(const struct exchange *model, const struct route *route, unsigned from, const struct client_ops *ops, void *client)
{
	must(route->router == model->route->router && from <= route->depth);
	struct exchange *ex = exchange_new(model->worker, model->route->router, ops, client);
	if (!ex)
		return NULL;
	ex->spawned = true;
	ex->route = route;
	if (!copy_facts(ex, model)) {
		ex->client_ops = &nobody_ops;     /* done() is for those who got a pointer */
		exchange_client_gone(ex);
		return NULL;
	}
	ex->walk.state = WALK_OWED;
	ex->walk.from = ex->walk.let_in = from;
	ex->walk.at = (int)from - 1;
	ex->walk.way = +1;
	exchange_answer(ex, PASS);
	if (ex->request.framing == BODY_NONE)
		exchange_request_body(ex, slice_of(SPAN_NONE), true);
	return ex;
}

void exchange_refuse_like(struct exchange *ex, const struct exchange *from)
{
	unsigned retry_after_s = from->answer.retry_after_s;
	struct span detail = from->answer.detail;

	exchange_refuse(ex, from->reason, retry_after_s, NULL);
	if (detail.len)
		ex->answer.detail = arena_copy(&ex->arena, detail);
}

struct attempt exchange_last_try(const struct exchange *ex)
{
	const struct timing *t = &ex->timing;
	bool noted = ex->tried_count && ex->tried[ex->tried_count - 1].number == ex->calling;
	if (ex->credited.number || !ex->calling || noted)
		return ex->credited;
	uint64_t end_us = t->call_end_us ? t->call_end_us : ex->worker->now_us;
	struct attempt a = {
		.status = ex->upstream_status, .us = end_us - t->call_us, .number = ex->calling, .at_us = t->call_us, .connect_us = t->connect_us,
		.reply_us = t->reply_us,
		.reason = ex->failure != REASON_NONE ? ex->failure
			: !t->reply_us || ex->reason == REASON_response_truncated ? ex->reason : REASON_NONE,
	};
	if (ex->endpoint) {
		a.endpoint_id = ex->endpoint->id;
		a.endpoint = ex->endpoint->name;
	}
	return a;
}

void exchange_credit(struct exchange *ex, const struct exchange *from)
{
	if (ex->walk.let_in <= from->route->fork)
		ex->route = from->route;          /* the way that it went; up to the fork they are the same */
	take_credit(ex, from);
	if (!from->tried_count || !(ex->tried = arena_take(&ex->arena, ATTEMPTS_MAX * sizeof(*ex->tried))))
		return;
	ex->tried_count = from->tried_count;
	for (unsigned i = 0; i < from->tried_count; i++) {
		ex->tried[i] = from->tried[i];
		ex->tried[i].endpoint = arena_copy(&ex->arena, from->tried[i].endpoint);
	}
}

static struct exchange *any_spawned(struct worker *w)
{
	list_each(l, &w->live)
		if (container_of(l, struct exchange, on_live)->spawned)
			return container_of(l, struct exchange, on_live);
	return NULL;
}

void exchanges_leave(struct worker *w)
{
	for (struct exchange *ex; (ex = any_spawned(w)); )
		exchange_client_gone(ex);
}
