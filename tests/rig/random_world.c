/* random_world.c - see random_world.h. What must hold is checked by the neighbours while they play, and by world_close(). */
#include "random_world.h"

#include <stdio.h>

#include "base/must.h"

uint64_t dice_below(struct dice *d, uint64_t n)
{
	if (!d->bytes)
		return rand_below(&d->rand, n);
	uint64_t v = 0;
	for (unsigned i = 0; i < (n > 256 ? 2 : 1) && d->left; i++, d->left--)
		v = v << 8 | *d->bytes++;
	return v % n;
}

static bool chance(struct dice *d, unsigned percent) { return dice_below(d, 100) >= 100 - percent; }

#define PICK(d, list) (list)[dice_below((d), sizeof(list) / sizeof(*(list)))]

/* ── configuration ── */

/* A second upstream: a canary, or one that gets copies, or both. */
static void draw_second(struct dice *d, struct text *out)
{
	static const char *const settings[] = {
		"", ", circuit_breaker: {consecutive_failures: 1, open_for: 10ms}", ", retry: off, concurrency: {limit: 1, queue: 1}",
	};
	static const char *const uses[] = {
		"{app: 50%, v2: 50%}\n", "{app: 50%, v2: 50%}\n    guard: {min_requests: 1, window: 1s, max_p95_ratio: 1}\n",
		"{app: 50%, v2: 50%}\n    split: {key: 'header:x'}\n    mirror: {upstream: v2, methods: [HEAD, PUT, BREW], max_in_flight: 2}\n",
		"app\n    mirror: {upstream: v2, methods: [POST, PUT, HEAD, PATCH], max_in_flight: 2, buffer: 20KB, timeout: 30ms}\n",
	};
	const char *of_second = PICK(d, settings), *use = PICK(d, uses);
	if (chance(d, 30))
		text_f(out, ", v2: {endpoints: ['http://v2-1:80']%s}}\nroutes:\n  - path: /\n    upstream: %s", of_second, use);
	else
		text_f(out, "}\nroutes:\n  - path: /\n    upstream: app\n");
}

/* Of those that most routes do not have, some at a time. */
static void draw_policies(struct dice *d, struct text *out)
{
	static const char *const breakers[] = {
		"  circuit_breaker: {consecutive_failures: 1, open_for: 10ms, half_open_requests: 1}\n",
		"  circuit_breaker: {consecutive_failures: 2, open_for: 1s, max_open_for: 5m, probe_timeout: 3ms, slow_request: {over: 2ms, rate: 50%}}\n",
		"  circuit_breaker: {min_requests: 2, failure_rate: 50%, window: 1s, open_for: 10ms, recovery_ramp: 20ms}\n",
	};
	static const char *const limits[] = {
		"  concurrency: {limit: 1, queue: 2, queue_timeout: 5ms}\n", "  concurrency: {limit: 2, queue: 48, discipline: fifo, queue_timeout: 1s}\n",
		"  concurrency: {limit: 1, queue: 1, discipline: lifo}\n", "  concurrency: {limit: adaptive, queue: 4}\n",
		"  concurrency: {limit: 1, queue: 3, dry_run: true}\n",
	};
	static const char *const rates[] = {
		"  rate_limit: {rate: 3/s, key: route}\n", "  rate_limit: {rate: 2/s, key: route, algorithm: sliding_window}\n",
		"  rate_limit: {rate: 5/s, key: route, store: main}\n",
		"  rate_limit: [{rate: 2/m, key: route, store: main, on_store_error: deny}, {rate: 9/s, key: \"header:x\", max_keys: 1}]\n",
	};
	static const char *const shared[] = {
		"  coalesce: {}\n", "  coalesce: {max_waiters: 1, wait_timeout: 2ms, buffer: 4KiB}\n", "  coalesce: {buffer: 16KiB}\n",
	};
	static const char *const kept[] = {
		"  cache: {ttl: 10ms, stale_while_revalidate: 1h, max_size: 64KiB}\n", "  cache: {ttl: 1s, stale_if_error: 1h}\n",
		"  cache: {ttl: 5m, stale_while_revalidate: 10m, stale_if_error: 1h}\n",
	};
	static const char *const hedges[] = { "  hedge: {after: 1ms, max_extra: 100%}\n", "  hedge: {after: 7ms, max_extra: 50%}\n" };
	static const char *const once[] = {
		"  idempotency: {}\n", "  idempotency: {fingerprint: 0B, max_answer: 4KiB, max_keys: 1, methods: [POST, PUT, PATCH, HEAD]}\n",
		"  idempotency: {fingerprint: 1KiB, in_flight: conflict, ttl: 1s}\n", "  idempotency: {store: main, lease: 1s, methods: [POST, PUT, HEAD]}\n",
		"  idempotency: {store: main, fingerprint: 0B, on_store_error: allow, ttl: 1s, max_answer: 1KiB, methods: [POST, PUT, PATCH, HEAD]}\n",
	};
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, once));
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, breakers));
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, limits));
	if (chance(d, 20))
		text_f(out, "%s", PICK(d, rates));
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, shared));
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, kept));
	if (chance(d, 40))
		text_f(out, "%s", PICK(d, hedges));
	if (chance(d, 20))
		text_f(out, "  priority: %s\n", chance(d, 50) ? "sheddable" : "critical");
}

static void draw_config(struct dice *d, struct text *out)
{
	static const char *const timeouts[] = { "timeout: 1s", "timeout: 100ms", "timeout: 20ms", "timeout: 0s", "timeout: 3ms" };
	static const char *const tries[] = { "", "  per_try_timeout: 3ms\n", "  per_try_timeout: 1ms\n" };
	static const char *const idles[] = { "  idle_timeout: 50ms\n", "  idle_timeout: 2s\n" };
	static const char *const retries[] = {
		"", "  retry: off\n", "  retry: {max_retries: 3, retry_on: [connect_failure, reset, timeout, 5xx], backoff: {base: 5ms, max: 20ms}}\n",
		"  retry: {max_retries: 10, retry_on: [connect_failure, reset, 503], backoff: {base: 0s}, buffer: 0B}\n",
		"  retry: {max_retries: 2, retry_on: [reset, timeout, 429, 503], budget: 0%, min_retries_per_second: 0}\n",
		"  retry: {max_retries: 5, retry_on: [5xx, reset, connect_failure], buffer: 512KiB, backoff: {base: 1ms, max: 1ms}}\n",
	};
	static const char *const outliers[] = { "", "  outlier_detection: {consecutive_errors: 1, eject_for: 10ms}\n", "  outlier_detection: {consecutive_errors: 0}\n" };
	static const char *const balances[] = { "", "  balance: round_robin\n", "  balance: random\n", "  balance: ewma\n",
		"  balance: ring_hash\n  hash_key: header:idempotency-key\n" };
	static const char *const routes[] = {
		"", "    fallback: {status: 200, body: sorry}\n", "    fault: {delay: 4ms, share: 50%}\n",
		"    fault: {abort: 503, share: 30%}\n", "    fallback: {status: 503, body: sorry}\n    fault: {delay: 2ms, abort: 500, share: 50%}\n",
	};
	text_f(out, "listen: 127.0.0.1:8080\nredis: {main: {url: 'redis://127.0.0.1:6379'}}\nclient: {max_request_body: %s}\ndefaults:\n  ", chance(d, 80) ? "1MiB" : "50KiB");
	text_f(out, "%s\n", PICK(d, timeouts));
	if (span_starts(text_span(out), SPAN("listen")) && !strstr(out->at, "timeout: 3ms"))
		text_f(out, "%s", PICK(d, tries));
	text_f(out, "%s%s%s%s", PICK(d, idles), PICK(d, retries), PICK(d, outliers), PICK(d, balances));
	draw_policies(d, out);
	text_f(out, "upstreams: {app: {endpoints: ['http://app-1:80'%s%s]}", chance(d, 60) ? ", 'http://app-2:80'" : "",
		chance(d, 30) ? ", {url: 'http://app-3:80', weight: 5}" : "");
	const char *route = PICK(d, routes);
	draw_second(d, out);
	text_f(out, "%s", route);
}

/* ── upstreams ── */

static const uint64_t sizes[] = { 0, 1, 100, 5000, 20000, 70000, 200000, 600000 };
static const uint64_t pieces[] = { 0, 700, 3000, 16384 };
static const uint64_t pauses_us[] = { 0, 0, 10, 1000, 5000 };

static void draw_deed(struct dice *d, struct deed *deed)
{
	static const int statuses[] = { 200, 200, 200, 204, 304, 404, 429, 500, 502, 503, 101 };
	static const enum reason failures[] = {
		REASON_connection_refused, REASON_connection_timeout, REASON_upstream_reset, REASON_upstream_protocol_error, REASON_dns_error
	};
	static const char *const varies[] = { "x", "y", "x, y", "*" };
	deed->after_us = PICK(d, pauses_us);
	deed->early = chance(d, 20);
	deed->within = chance(d, 15);
	deed->eager = chance(d, 15);
	deed->end_apart = chance(d, 30);
	deed->take_by = PICK(d, pieces);
	deed->take_every_us = PICK(d, pauses_us);
	deed->takes_nothing = chance(d, 5);
	deed->silent = chance(d, 5);
	deed->chokes = chance(d, 5);
	deed->chokes_at = PICK(d, sizes);
	if (chance(d, 25)) {
		deed->status = 0;
		deed->failure = PICK(d, failures);
		deed->unseen = deed->failure != REASON_upstream_reset && deed->failure != REASON_upstream_protocol_error;
		deed->reused = deed->failure == REASON_upstream_reset && chance(d, 40);
		return;
	}
	deed->status = PICK(d, statuses);
	deed->body = PICK(d, sizes);
	deed->by = PICK(d, pieces);
	deed->every_us = PICK(d, pauses_us);
	deed->streams = chance(d, 40);
	deed->ends_first = chance(d, 50);
	deed->informational = chance(d, 10) ? 103 : 0;
	deed->breaks = chance(d, 15);
	deed->breaks_at = dice_below(d, deed->body + 1);
	deed->breaks_with = REASON_upstream_reset;
	if (deed->status == 503 && chance(d, 30))
		deed->fields[deed->field_count++] = (struct conf_pair){ SPAN("retry-after"), chance(d, 50) ? SPAN("0") : SPAN("1") };
	if (chance(d, 30))
		deed->fields[deed->field_count++] = (struct conf_pair){ SPAN("vary"), span_of(PICK(d, varies)) };
}

/* ── clients ── */

static void draw_guest(struct dice *d, struct world *w, uint64_t span_us)
{
	static const char *const methods[] = { "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "BREW" };
	struct guest *g = world_guest(w, dice_below(d, span_us), PICK(d, methods), "/a");
	bool has_body = g->method.at[0] == 'P' && chance(d, 80);
	if (has_body) {
		g->body = PICK(d, sizes);
		g->body_by = PICK(d, pieces);
		g->body_every_us = PICK(d, pauses_us);
		g->streams = chance(d, 40);
		g->fault = chance(d, 8);
		g->fault_at = dice_below(d, g->body + 1);
	} else if (span_eq(g->method, SPAN("GET")) && chance(d, 40)) {
		g->upgrade = SPAN("websocket");   /* so that a 101 is always welcome */
		g->tunnel = PICK(d, sizes);
		g->body_by = PICK(d, pieces);
		g->body_every_us = PICK(d, pauses_us);
	}
	g->read_by = PICK(d, pieces);
	g->read_every_us = PICK(d, pauses_us);
	g->eager = chance(d, 15);
	g->deaf = chance(d, 3);
	g->leave_us = chance(d, 20) ? dice_below(d, 30000) : g->deaf ? 5000000 : TIMER_NEVER;
	if (chance(d, 30))
		guest_field(g, "idempotency-key", chance(d, 70) ? "k1" : "k2");
	if (chance(d, 10)) {
		g->trusted = true;
		guest_field(g, "x-request-timeout-ms", chance(d, 50) ? "7" : "2");
	}
	if (chance(d, 50))
		guest_field(g, "x", chance(d, 70) ? "1" : "2");
	if (chance(d, 30))
		guest_field(g, "y", "1");
}

static void give_up(struct world *w)
{
	for (unsigned i = 0; w->steps == 200000 && i < w->guest_count; i++)
		guest_leaves(&w->guests[i]);
	must(w->steps < 400000);
}

/* Does a script have a 101 that a guest without an upgrade would get? The edge refuses that; here it is not drawn. */
static void no_unasked_tunnels(struct world *w)
{
	bool all_ask = true;
	for (unsigned i = 0; i < w->guest_count; i++)
		all_ask &= w->guests[i].upgrade.len > 0;
	for (unsigned u = 0; u < w->conf->upstream_count; u++)
		for (unsigned i = 0; i < w->scripts[u].count; i++)
			if (w->scripts[u].deeds[i].status == 101 && !all_ask)
				w->scripts[u].deeds[i].status = 200;
}

void random_world(struct world *w, struct dice *d)
{
	static const uint64_t spans_us[] = { 20000, 20000, 20000, 2000000, 60000000, 3600000000 };
	char config[4096];
	struct text out;
	text_over(&out, config, sizeof(config));
	draw_config(d, &out);
	struct world_plan plan = {
		.config = text_span(&out), .seed = dice_below(d, 65536), .witnesses = chance(d, 80), .asker = chance(d, 40),
		.turner = chance(d, 30) ? (unsigned)(1 + dice_below(d, 4)) : 0, .store_us = PICK(d, pauses_us), .drain_every = 1 + (unsigned)dice_below(d, 4),
	};
	must(world_open(w, &plan));
	w->watch = give_up;
	w->store_says = chance(d, 80) ? STORE_ok : STORE_refused;
	w->worker.pressure.level = chance(d, 15) ? (unsigned)dice_below(d, PRESSURE_CLASSES * PRESSURE_CLASS) : 0;
	for (unsigned n = 1 + (unsigned)dice_below(d, DEEDS_MAX - 1); n > 0; n--)
		draw_deed(d, script_add(&w->scripts[0]));
	for (unsigned n = (unsigned)dice_below(d, DEEDS_MAX - 1); w->conf->upstream_count > 1 && n > 0; n--)
		draw_deed(d, script_add(&w->scripts[1]));
	uint64_t span_us = PICK(d, spans_us);
	for (unsigned n = 1 + (unsigned)dice_below(d, chance(d, 20) ? GUESTS_MAX - 1 : 6); n > 0; n--)
		draw_guest(d, w, span_us);
	no_unasked_tunnels(w);
	world_run(w);
	for (unsigned i = 0; i < w->guest_count; i++)       /* without a timeout a silent service is waited for as long as one likes */
		guest_leaves(&w->guests[i]);
	world_run(w);
	w->simulated_us = w->worker.now_us - EPOCH_US;
	world_close(w);
}
