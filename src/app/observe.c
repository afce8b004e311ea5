/* observe.c - the end of an exchange, on its data thread: a few counters. */
#include "app/observe.h"

#include "app/access_log.h"
#include "app/server.h"
#include "app/tracing.h"
#include "rows.h"

struct measured measure(const struct exchange *ex, uint64_t clock_us)
{
	const struct timing *t = &ex->timing;
	uint64_t lag = clock_us > t->over_us ? clock_us - t->over_us : 0, waits = t->waited_us + t->queue_us + t->pause_us;
	struct measured m = {
		.status = ex->reason == REASON_client_closed ? reason_status(REASON_client_closed) : ex->reply.status,
		.duration_us = t->over_us + lag - t->first_byte_us,
		.bytes_out = ex->local ? ex->answer.body.len : ex->reply_body.total,
		.replied = t->commit_us != 0,
	};
	if (!m.replied)
		return m;
	uint64_t ours = t->commit_us - t->start_us;
	m.first_byte_us = t->commit_us - t->first_byte_us;
	m.overhead_us = (ours > waits ? ours - waits : 0) + t->lag_us;
	if (t->commit_us == t->over_us) {         /* head and end in one turn: the usual case */
		m.first_byte_us += lag;
		m.overhead_us += lag;
	}
	return m;
}

static void count(const struct exchange *ex, const struct measured *m)
{
	struct route_stats *s = ex->route->stats;
	uint64_t *by_status = route_stats_statuses(s, ex->request.method);
	bool known = m->status >= STATUS_FIRST && m->status <= STATUS_LAST;

	counter_add(&s->over, 1);
	if (by_status && known)
		counter_add(&by_status[m->status - STATUS_FIRST], 1);
	route_stats_duration(s, known ? (unsigned)m->status / 100 : 0, m->duration_us, ex->worker->wall_ms, ex->trace.trace_id, ex->trace.sampled);
	if (m->replied) {
		hist_add(&s->first_byte, m->first_byte_us);
		hist_add(&s->overhead, m->overhead_us);
	}
	counter_add(&s->request_bytes, ex->request_body.total);
	counter_add(&s->reply_bytes, m->bytes_out);
	if (ex->reason != REASON_NONE)
		counter_add(&s->reasons[ex->reason], 1);
}

static void begin(struct worker *w, struct exchange *ex)
{
	struct server *s = w->observer;
	estate_begin(&s->threads[w->index].desk, ex);
}

static void over(struct worker *w, const struct exchange *ex)
{
	struct server *s = w->observer;
	struct measured m = measure(ex, clock_now_us());
	count(ex, &m);
	if (rows_wanted(s->rows, ex))
		rows_note(s->rows, w->index, ex, &m);
	if (s->estate)
		estate_over(&s->threads[w->index].desk, ex);
	access_log_write(s->access_log, w, ex, &m);
	tracing_note(s->tracing, w, ex, &m);
}

void observe_worker(struct server *s, struct worker *w)
{
	w->observer = s;
	w->on_over = over;
	w->on_begin = s->estate ? begin : NULL;
}
