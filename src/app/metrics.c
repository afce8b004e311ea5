/* metrics.c - the page, and what belongs to no route or upstream: life, loops, logs. */
#include "app/metrics.h"

#include <stdlib.h>

#include "app/access_log.h"
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

static void print_loops(struct metrics *m, struct text *out)
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
	if (s->access_log)
		prom_u64(out, "outrigger_log_lines_dropped_total", &(struct label){ "log", SPAN("access") }, 1, access_log_dropped(s->access_log));
}

void metrics_print(struct metrics *m, struct text *out)
{
	metrics_of_process(m->server, out);
	print_loops(m, out);
	overload_metrics(m->server, out);
	metrics_of_listeners(m->server, out);
	metrics_of_routes(m->server, out);
	metrics_of_upstreams(m->server, out);
	metrics_of_policies(m->server, out);
}
