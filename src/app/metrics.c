/* metrics.c - the page, and what belongs to no route or upstream: life, loops, logs. */
#include "app/metrics.h"

#include <stdlib.h>

#include "app/access_log.h"
#include "app/flags.h"
#include "app/tracing.h"
#include "base/log.h"
#include "metrics_parts.h"

struct metrics {
	const struct server *server;
	uint64_t since_us;                    /* the last scrape */
	uint64_t busy_us;                     /* of all data threads, then */
};

struct metrics *metrics_new(const struct server *s)
{
	struct metrics *m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->server = s;
	m->since_us = clock_now_us();
	return m;
}

void metrics_free(struct metrics *m) { free(m); }

/* The longest turn since the last scrape. A turn that ends between our reading and our zero is lost: it will not have been the only one. */
static uint64_t longest_turn_us(const struct server *s)
{
	uint64_t longest = 0;
	for (unsigned i = 0; i < s->thread_count; i++) {
		uint64_t lag = __atomic_exchange_n(&s->threads[i].loop.lag_us, 0, __ATOMIC_RELAXED);
		if (lag > longest)
			longest = lag;
	}
	return longest;
}

/* 1: all data threads were busy all the time since the last scrape. */
static double busy_ratio(struct metrics *m)
{
	uint64_t now = clock_now_us(), busy = 0, before = m->busy_us;
	uint64_t had = (now - m->since_us) * m->server->thread_count;
	for (unsigned i = 0; i < m->server->thread_count; i++)
		busy += counter_get(&m->server->threads[i].loop.busy_us);
	m->since_us = now;
	m->busy_us = busy;
	double ratio = had ? (double)(busy - before) / (double)had : 0;
	return ratio < 1 ? ratio : 1;
}

static uint64_t buffer_bytes(const struct server *s)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < s->thread_count; i++)
		sum += __atomic_load_n(&s->threads[i].loop.worker.chunks.bytes_out, __ATOMIC_RELAXED);
	return sum;
}

static void print_loops(struct metrics *m, struct prom *out)
{
	const struct server *s = m->server;
	prom_family(out, "outrigger_loop_lag_seconds", "gauge", "The longest turn of a data thread's loop since the last scrape.");
	prom_seconds(out, "outrigger_loop_lag_seconds", NULL, 0, longest_turn_us(s));
	prom_family(out, "outrigger_loop_busy_ratio", "gauge", "Share of the time since the last scrape in which the data threads were busy.");
	prom_real(out, "outrigger_loop_busy_ratio", NULL, 0, busy_ratio(m));
	prom_family(out, "outrigger_buffer_bytes", "gauge", "Memory that holds bytes on their way.");
	prom_u64(out, "outrigger_buffer_bytes", NULL, 0, buffer_bytes(s));
	prom_family(out, "outrigger_log_lines_dropped_total", "counter", "Lines that were lost because nobody took them in time.");
	prom_u64(out, "outrigger_log_lines_dropped_total", &(struct label){ "log", SPAN("event") }, 1, log_dropped());
	prom_u64(out, "outrigger_log_lines_dropped_total", &(struct label){ "log", SPAN("access") }, 1, access_log_dropped(s->access_log));
}

static void print_exports(const struct tracing_counts *n, struct prom *out)
{
	const struct { const char *result; uint64_t count; } exports[] = { { "ok", n->ok }, { "retried", n->retried }, { "failed", n->failed } };
	const struct { const char *cause; uint64_t count; } drops[] = { { "buffer_full", n->dropped_full }, { "export_failed", n->dropped_failed } };
	prom_family(out, "outrigger_otlp_exports_total", "counter", "Batches for the collector: taken, to be sent again, given up.");
	for (unsigned i = 0; i < sizeof(exports) / sizeof(*exports); i++) {
		const struct label labels[] = { { "signal", SPAN("traces") }, { "result", span_of(exports[i].result) } };
		prom_u64(out, "outrigger_otlp_exports_total", labels, 2, exports[i].count);
	}
	prom_family(out, "outrigger_otlp_dropped_requests_total", "counter", "Requests whose spans never reached the collector.");
	for (unsigned i = 0; i < sizeof(drops) / sizeof(*drops); i++) {
		const struct label labels[] = { { "signal", SPAN("traces") }, { "cause", span_of(drops[i].cause) } };
		prom_u64(out, "outrigger_otlp_dropped_requests_total", labels, 2, drops[i].count);
	}
}

void metrics_print(struct metrics *m, bool openmetrics, struct text *out)
{
	const struct conf_metrics *conf = &m->server->conf->metrics;
	const struct tracing_counts exports = tracing_counts(m->server->tracing);
	struct prom page;
	prom_begin(&page, out, openmetrics, conf->bucket_us, conf->bucket_count);
	metrics_of_process(m->server, &page);
	print_loops(m, &page);
	print_exports(&exports, &page);
	overload_metrics(m->server, &page);
	flags_metrics(m->server, &page);
	metrics_of_listeners(m->server, &page);
	metrics_of_routes(m->server, &page);
	metrics_of_upstreams(m->server, &page);
	metrics_of_policies(m->server, &page);
	prom_end(&page);
}
