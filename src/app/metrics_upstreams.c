/* metrics_upstreams.c - what is told per upstream, and per endpoint. */
#include "app/health.h"
#include "metrics_parts.h"
#include "totals.h"

static struct label upstream_label(const struct server *s, unsigned i) { return (struct label){ "upstream", s->conf->upstreams[i].name }; }

static void print_replies(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_upstream_requests_total", "counter", "Tries that were answered, by status.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		for (unsigned k = 0; k < STATUS_SLOTS; k++) {
			uint64_t n = upstream_total(s, i, offsetof(struct upstream_stats, replies) + k * sizeof(uint64_t));
			if (!n)
				continue;
			char code[4] = { (char)('0' + (k + STATUS_FIRST) / 100), (char)('0' + k / 10 % 10), (char)('0' + k % 10), 0 };
			const struct label labels[] = { upstream_label(s, i), { "code", { code, 3 } } };
			prom_u64(out, "outrigger_upstream_requests_total", labels, 2, n);
		}
}

/* Only the reasons that an upstream can cause. */
static void print_errors(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_upstream_errors_total", "counter", "Tries that failed, and why.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
			const struct label labels[] = { upstream_label(s, i), { "reason", span_of(reason_name((enum reason)r)) } };
			uint64_t n = upstream_total(s, i, offsetof(struct upstream_stats, errors) + r * sizeof(uint64_t));
			if (n || reason_facts((enum reason)r)->by_upstream || r == REASON_deadline_exceeded)
				prom_u64(out, "outrigger_upstream_errors_total", labels, 2, n);
		}
}

static void print_hist(const struct server *s, struct prom *out, const char *name, const char *help, size_t field)
{
	prom_family(out, name, "histogram", help);
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		struct hist h = { 0 };
		const struct label label = upstream_label(s, i);
		upstream_hist(s, i, field, &h);
		prom_hist(out, name, &label, 1, &h, NULL);
	}
}

static void print_counter(const struct server *s, struct prom *out, const char *name, const char *help, size_t field)
{
	prom_family(out, name, "counter", help);
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		const struct label label = upstream_label(s, i);
		prom_u64(out, name, &label, 1, upstream_total(s, i, field));
	}
}

static void print_connections(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_upstream_connections", "gauge", "Open connections to endpoints: with a request on them, or waiting for one.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		struct upstream_summary sum;
		upstream_summary(s->upstreams[i], clock_now_us(), &sum);
		uint64_t active = sum.in_flight < sum.connections ? sum.in_flight : sum.connections;
		const struct label busy[] = { upstream_label(s, i), { "state", SPAN("active") } };
		const struct label idle[] = { upstream_label(s, i), { "state", SPAN("idle") } };
		prom_u64(out, "outrigger_upstream_connections", busy, 2, active);
		prom_u64(out, "outrigger_upstream_connections", idle, 2, sum.connections - active);
	}
}

static void print_states(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_upstream_endpoints", "gauge", "Endpoints by state.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		struct upstream_summary sum;
		upstream_summary(s->upstreams[i], clock_now_us(), &sum);
		for (unsigned k = 0; k < ENDPOINT_STATE_COUNT; k++) {
			const struct label labels[] = { upstream_label(s, i), { "state", span_of(endpoint_state_name((enum endpoint_state)k)) } };
			prom_u64(out, "outrigger_upstream_endpoints", labels, 2, sum.by_state[k]);
		}
	}
}

/* A set may hold one name twice (a list that repeats itself): a series must not stand twice on the page. */
static bool named_before(const struct endpoint_set *set, unsigned k)
{
	for (unsigned i = 0; i < k; i++)
		if (span_eq(set->at[i]->name, set->at[k]->name))
			return true;
	return false;
}

static void print_up(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_upstream_endpoint_up", "gauge", "1: the endpoint is healthy and gets requests.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		struct endpoint_set *set = upstream_endpoints(s->upstreams[i]);
		for (unsigned k = 0; k < set->count; k++) {
			const struct label labels[] = { upstream_label(s, i), { "endpoint", set->at[k]->name } };
			bool up = endpoint_state(set->at[k], clock_now_us()) == ENDPOINT_healthy;
			if (!named_before(set, k))
				prom_u64(out, "outrigger_upstream_endpoint_up", labels, 2, up);
		}
		endpoint_set_unref(set);
	}
}

static void print_checks(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_health_checks_total", "counter", "Active health checks.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		if (!s->health || !s->conf->upstreams[i].health_check.present)
			continue;
		struct health_counts n = health_counts(s->health, s->upstreams[i]);
		const struct label ok[] = { upstream_label(s, i), { "result", SPAN("ok") } };
		const struct label failed[] = { upstream_label(s, i), { "result", SPAN("failed") } };
		prom_u64(out, "outrigger_health_checks_total", ok, 2, n.ok);
		prom_u64(out, "outrigger_health_checks_total", failed, 2, n.failed);
	}
}

static void print_ejections(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_outlier_ejections_total", "counter", "Endpoints that were given a rest because they kept failing.");
	for (unsigned i = 0; i < s->conf->upstream_count; i++) {
		const struct label labels[] = { upstream_label(s, i), { "cause", SPAN("consecutive_errors") } };
		prom_u64(out, "outrigger_outlier_ejections_total", labels, 2, upstream_total(s, i, offsetof(struct upstream_stats, ejections)));
	}
}

void metrics_of_upstreams(const struct server *s, struct prom *out)
{
	print_replies(s, out);
	print_errors(s, out);
	print_hist(s, out, "outrigger_upstream_request_duration_seconds", "Tries, from when they could be sent to their last byte or failure.",
		offsetof(struct upstream_stats, duration));
	print_hist(s, out, "outrigger_upstream_connect_duration_seconds", "Connects that succeeded.", offsetof(struct upstream_stats, connect));
	print_connections(s, out);
	print_counter(s, out, "outrigger_upstream_connections_opened_total", "Connections begun.", offsetof(struct upstream_stats, opened));
	print_counter(s, out, "outrigger_upstream_connections_reused_total", "Tries that found an open connection.",
		offsetof(struct upstream_stats, reused));
	print_states(s, out);
	if (s->conf->metrics.per_endpoint)
		print_up(s, out);
	print_checks(s, out);
	print_ejections(s, out);
}
