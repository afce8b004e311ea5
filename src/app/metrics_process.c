/* metrics_process.c - the process (names as in Prometheus' client libraries), its life, and who is connected to it. */
#include <sys/resource.h>

#include "app/reload.h"
#include "app/version.h"
#include "metrics_parts.h"
#include "resources.h"
#include "totals.h"

static uint64_t cpu_us(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) != 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void print_gauge(struct prom *out, const char *name, const char *help, uint64_t value)
{
	prom_family(out, name, "gauge", help);
	prom_u64(out, name, NULL, 0, value);
}

static void print_build(struct prom *out)
{
	const struct label labels[] = {
		{ "version", span_of(version_number()) }, { "revision", span_of(version_revision()) }, { "llhttp", span_of(version_llhttp()) },
		{ "openssl", span_of(version_openssl()) }, { "libuv", span_of(version_libuv()) },
	};
	prom_family(out, "outrigger_build_info", "gauge", "What is running; always 1.");
	prom_u64(out, "outrigger_build_info", labels, sizeof(labels) / sizeof(*labels), 1);
}

static void print_reloads(const struct server *s, struct prom *out)
{
	const struct label ok = { "result", SPAN("ok") }, refused = { "result", SPAN("refused") };
	print_gauge(out, "outrigger_config_last_reload_successful", "0: what is on disk was refused, the one before is in force.",
		!s->reload->refused);
	prom_family(out, "outrigger_config_last_reload_success_timestamp_seconds", "gauge",
		"When the configuration in force was loaded, since 1970.");
	prom_seconds(out, "outrigger_config_last_reload_success_timestamp_seconds", NULL, 0, s->reload->last_wall_ms * 1000);
	prom_family(out, "outrigger_config_reloads_total", "counter", "Reloads since the start.");
	prom_u64(out, "outrigger_config_reloads_total", &ok, 1, s->reload->succeeded);
	prom_u64(out, "outrigger_config_reloads_total", &refused, 1, s->reload->failures);
}

static void print_restarts(const struct server *s, struct prom *out)
{
	print_gauge(out, "outrigger_supervised", "1: a parent process replaces this one when it crashes.", s->estate != NULL);
	prom_family(out, "outrigger_restarts_total", "counter", "Servers that were replaced since the supervisor started, by what ended them.");
	for (unsigned c = 0; c < RESTART_CAUSE_COUNT; c++) {
		const struct label cause = { "cause", span_of(restart_cause_name((enum restart_cause)c)) };
		prom_u64(out, "outrigger_restarts_total", &cause, 1, s->estate ? s->estate->restarts[c] : 0);
	}
}

void metrics_of_process(const struct server *s, struct prom *out)
{
	uint64_t virtual_bytes, resident_bytes, max_descriptors = resources_descriptor_limit();

	print_build(out);
	print_gauge(out, "outrigger_ready", "1: new requests are welcome (without what /readyz asks of upstreams).", server_is_ready(s));
	print_gauge(out, "outrigger_draining", "1: asked to drain, or stopping.", s->asked_to_drain || s->life > LIFE_serving);
	print_reloads(s, out);
	print_restarts(s, out);
	prom_family(out, "process_cpu_seconds_total", "counter", "Processor time, user and system.");
	prom_seconds(out, "process_cpu_seconds_total", NULL, 0, cpu_us());
	resources_memory(&virtual_bytes, &resident_bytes);
	print_gauge(out, "process_virtual_memory_bytes", "Virtual memory.", virtual_bytes);
	print_gauge(out, "process_resident_memory_bytes", "Resident memory.", resident_bytes);
	print_gauge(out, "process_open_fds", "Open descriptors.", resources_descriptors());
	if (max_descriptors)
		print_gauge(out, "process_max_fds", "How many descriptors may be open.", max_descriptors);
	prom_family(out, "process_start_time_seconds", "gauge", "When the process started, since 1970.");
	prom_seconds(out, "process_start_time_seconds", NULL, 0, s->started_wall_ms * 1000);
}

/* ── listeners ── */

static struct label listener_label(const struct server *s, unsigned i) { return (struct label){ "listener", s->conf->listeners[i].address }; }

static void print_refused(const struct server *s, struct prom *out)
{
	static const char *const causes[] = {
#define X(word) #word,
		REFUSED_CAUSES(X)
#undef X
	};
	prom_family(out, "outrigger_connections_refused_total", "counter", "Client connections that were turned away at once.");
	for (unsigned i = 0; i < s->conf->listener_count; i++)
		for (unsigned c = 0; c < REFUSED_CAUSE_COUNT; c++) {
			uint64_t n = 0;
			for (unsigned t = 0; t < s->thread_count; t++)
				n += counter_get(&s->threads[t].shown_listeners->at[i]->refused[c]);
			const struct label labels[] = { listener_label(s, i), { "cause", span_of(causes[c]) } };
			prom_u64(out, "outrigger_connections_refused_total", labels, 2, n);
		}
}

void metrics_of_listeners(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_connections", "gauge", "Client connections that are open.");
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		const struct label labels[] = { listener_label(s, i), { "protocol", SPAN("http1") } };
		prom_u64(out, "outrigger_connections", labels, 2, server_connections(s, i));
	}
	prom_family(out, "outrigger_connections_accepted_total", "counter", "Client connections that were let in.");
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		uint64_t n = 0;
		for (unsigned t = 0; t < s->thread_count; t++)
			n += counter_get(&s->threads[t].shown_listeners->at[i]->accepted);
		const struct label label = listener_label(s, i);
		prom_u64(out, "outrigger_connections_accepted_total", &label, 1, n);
	}
	print_refused(s, out);
}
