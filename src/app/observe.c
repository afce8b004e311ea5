/* observe.c - the end of an exchange, on its data thread: a few counters. */
#include "app/observe.h"

#include <stdlib.h>

#include "app/access_log.h"
#include "app/server.h"
#include "core/exchange.h"

/* Counters by status are made when a route first sees a method: most routes know two or three. */
static uint64_t *statuses_of(struct route_stats *s, enum method m)
{
	if (!s->requests[m]) {
		uint64_t *fresh = calloc(STATUS_SLOTS, sizeof(*fresh));
		__atomic_store_n(&s->requests[m], fresh, __ATOMIC_RELEASE);
	}
	return s->requests[m];
}

static int status_of(const struct exchange *ex)
{
	return ex->reason == REASON_client_closed ? reason_status(REASON_client_closed) : ex->reply.status;
}

static void count(const struct exchange *ex)
{
	struct route_stats *s = ex->route->stats;
	const struct timing *t = &ex->timing;
	int status = status_of(ex);
	uint64_t *by_status = statuses_of(s, ex->request.method), took = t->over_us - t->first_byte_us;

	counter_add(&s->over, 1);
	if (by_status && status >= STATUS_FIRST && status <= STATUS_LAST)
		counter_add(&by_status[status - STATUS_FIRST], 1);
	hist_add(&s->duration[status >= STATUS_FIRST && status <= STATUS_LAST ? status / 100 : 0], took);
	if (t->commit_us) {
		uint64_t first = t->commit_us - t->first_byte_us, others = t->upstream_us + t->queue_us;
		hist_add(&s->first_byte, first);
		hist_add(&s->overhead, first > others ? first - others : 0);
	}
	counter_add(&s->request_bytes, ex->request_body.total);
	counter_add(&s->reply_bytes, ex->reply_body.total);
	if (ex->reason != REASON_NONE)
		counter_add(&s->reasons[ex->reason], 1);
}

static void over(struct worker *w, const struct exchange *ex)
{
	struct server *s = w->observer;
	count(ex);
	if (s->access_log)
		access_log_write(s->access_log, w, ex);
}

void observe_worker(struct server *s, struct worker *w)
{
	w->observer = s;
	w->on_over = over;
}
