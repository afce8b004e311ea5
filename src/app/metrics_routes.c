/* metrics_routes.c - what is told per route, the route "none" of unmatched requests included. */
#include "metrics_parts.h"
#include "totals.h"

static const char *const classes[STATUS_CLASSES] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };

static unsigned count_of(const struct server *s) { return s->conf->route_count + 1; }
static struct label route_label(const struct server *s, unsigned i) { return (struct label){ "route", route_name(s, i) }; }

static void print_requests(const struct server *s, struct prom *out)
{
	uint64_t by_status[STATUS_SLOTS];
	prom_family(out, "outrigger_http_requests_total", "counter", "Requests that are over, by the status that the client got (499: it left).");
	for (unsigned i = 0; i < count_of(s); i++)
		for (unsigned m = 0; m < METHOD_COUNT; m++) {
			if (route_statuses(s, i, (enum method)m, by_status) == 0)
				continue;
			for (unsigned k = 0; k < STATUS_SLOTS; k++) {
				if (!by_status[k])
					continue;
				char code[4] = { (char)('0' + (k + STATUS_FIRST) / 100), (char)('0' + k / 10 % 10), (char)('0' + k % 10), 0 };
				const struct label labels[] = {
					route_label(s, i), { "method", span_of(method_name((enum method)m)) }, { "code", { code, 3 } },
				};
				prom_u64(out, "outrigger_http_requests_total", labels, 3, by_status[k]);
			}
		}
}

static void print_durations(const struct server *s, struct prom *out)
{
	const char *name = "outrigger_http_request_duration_seconds";
	prom_family(out, name, "histogram", "From the first byte of the request to the last of the reply, by class of the status.");
	for (unsigned i = 0; i < count_of(s); i++)
		for (unsigned class = 0; class < STATUS_CLASSES; class++) {
			struct hist h = { 0 };
			struct exemplars examples = { 0 };
			const struct label labels[] = { route_label(s, i), { "class", span_of(classes[class]) } };
			route_hist(s, i, offsetof(struct route_stats, duration) + class * sizeof(h), &h);
			if (out->openmetrics && h.count)
				route_examples(s, i, class, &examples);
			if (class >= 2 || h.count)        /* most routes never know a 101, or a request without any status */
				prom_hist(out, name, labels, 2, &h, &examples);
		}
}

static void print_hist(const struct server *s, struct prom *out, const char *name, const char *help, size_t field)
{
	prom_family(out, name, "histogram", help);
	for (unsigned i = 0; i < count_of(s); i++) {
		struct hist h = { 0 };
		const struct label label = route_label(s, i);
		route_hist(s, i, field, &h);
		prom_hist(out, name, &label, 1, &h, NULL);
	}
}

static void print_counter(const struct server *s, struct prom *out, const char *name, const char *help, size_t field)
{
	prom_family(out, name, "counter", help);
	for (unsigned i = 0; i < count_of(s); i++) {
		const struct label label = route_label(s, i);
		prom_u64(out, name, &label, 1, route_total(s, i, field));
	}
}

static void print_in_flight(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_http_requests_in_flight", "gauge", "Requests that have begun and are not over.");
	for (unsigned i = 0; i < count_of(s); i++) {
		const struct label label = route_label(s, i);
		uint64_t over = route_total(s, i, offsetof(struct route_stats, over));
		uint64_t started = route_total(s, i, offsetof(struct route_stats, started));
		prom_u64(out, "outrigger_http_requests_in_flight", &label, 1, started > over ? started - over : 0);
	}
}

static void print_reasons(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_proxy_responses_total", "counter", "Answers that outrigger made or changed itself, and why.");
	for (unsigned i = 0; i < count_of(s); i++)
		for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
			const struct label labels[] = { route_label(s, i), { "reason", span_of(reason_name((enum reason)r)) } };
			prom_u64(out, "outrigger_proxy_responses_total", labels, 2,
				route_total(s, i, offsetof(struct route_stats, reasons) + r * sizeof(uint64_t)));
		}
}

/* What a policy with a dry_run can say. */
static const enum reason refusals[] = {
	REASON_unauthorized, REASON_forbidden, REASON_keys_unavailable, REASON_rate_limited, REASON_overloaded,
	REASON_idempotency_conflict, REASON_idempotency_mismatch, REASON_idempotency_missing, REASON_store_unavailable,
	REASON_coalesce_full, REASON_circuit_open, REASON_concurrency_limited, REASON_queue_timeout, REASON_deadline_unreachable,
};

static void print_dry_runs(const struct server *s, struct prom *out)
{
	prom_family(out, "outrigger_dry_run_refusals_total", "counter", "Requests that a policy under dry_run would have refused, and why.");
	for (unsigned i = 0; i < s->conf->route_count; i++)
		for (unsigned r = 0; r < sizeof(refusals) / sizeof(*refusals); r++) {
			const struct label labels[] = { route_label(s, i), { "reason", span_of(reason_name(refusals[r])) } };
			prom_u64(out, "outrigger_dry_run_refusals_total", labels, 2,
				route_total(s, i, offsetof(struct route_stats, would_refuse) + refusals[r] * sizeof(uint64_t)));
		}
}

/* Only routes that have an upstream retry. */
static void print_retries(const struct server *s, struct prom *out)
{
	static const char *const results[] = {
#define X(word) #word,
		RETRY_RESULTS(X)
#undef X
	};
	prom_family(out, "outrigger_retries_total", "counter", "Requests of which another try was made, or would have been, and how that ended.");
	for (unsigned i = 0; i < s->conf->route_count; i++) {
		const struct conf_route *route = &s->conf->routes[i];
		for (unsigned n = 0; route->upstream && n < (route->other_count + 1) * RETRY_RESULT_COUNT; n++) {
			unsigned way = n / RETRY_RESULT_COUNT, r = n % RETRY_RESULT_COUNT;
			const struct conf_upstream *upstream = way ? route->others[way - 1].upstream : route->upstream;
			const struct label labels[] = { route_label(s, i), { "upstream", upstream->name }, { "result", span_of(results[r]) } };
			prom_u64(out, "outrigger_retries_total", labels, 3, route_retries(s, i, way, (enum retry_result)r));
		}
	}
}

static void print_timeouts(const struct server *s, struct prom *out)
{
	static const char *const kinds[] = {
#define X(word) #word,
		TIMEOUT_KINDS(X)
#undef X
	};
	prom_family(out, "outrigger_timeouts_total", "counter", "Limits of time that were used up.");
	for (unsigned i = 0; i < s->conf->route_count; i++)
		for (unsigned k = 0; k < TIMEOUT_KIND_COUNT; k++) {
			const struct label labels[] = { route_label(s, i), { "kind", span_of(kinds[k]) } };
			prom_u64(out, "outrigger_timeouts_total", labels, 2,
				route_total(s, i, offsetof(struct route_stats, timeouts) + k * sizeof(uint64_t)));
		}
}

void metrics_of_routes(const struct server *s, struct prom *out)
{
	print_requests(s, out);
	print_durations(s, out);
	print_hist(s, out, "outrigger_http_time_to_first_byte_seconds", "From the first byte of the request to the head of the reply.",
		offsetof(struct route_stats, first_byte));
	print_hist(s, out, "outrigger_http_overhead_seconds", "What outrigger added until the head of the reply: without upstream, queue and pauses.",
		offsetof(struct route_stats, overhead));
	print_in_flight(s, out);
	print_counter(s, out, "outrigger_http_request_body_bytes_total", "Bytes of request bodies.", offsetof(struct route_stats, request_bytes));
	print_counter(s, out, "outrigger_http_response_body_bytes_total", "Bytes of reply bodies.", offsetof(struct route_stats, reply_bytes));
	print_reasons(s, out);
	print_dry_runs(s, out);
	print_retries(s, out);
	print_timeouts(s, out);
	print_counter(s, out, "outrigger_fallbacks_total", "Answers that were the route's fallback.", offsetof(struct route_stats, fallbacks));
}
