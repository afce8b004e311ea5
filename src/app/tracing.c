/* tracing.c - see tracing.h.
 *
 * Always true:
 *   - of a ring, `head` is moved by the control thread only, `tail` by its data thread only; between them stand whole records.
 *   - there is one batch at most: it is being sent (fetch), or waits for its next try (again is armed), or there is none (batch 0).
 */
#include "app/tracing.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "trace_record.h"

enum {
	RING_RECORDS = 512, BATCH_RECORDS = 256, BODY_MAX = 16 * 1024 * 1024, URL_BYTES = 2048, ANSWER_MAX = 64 * 1024,
	TICK_US = 1000000, TIMEOUT_US = 10000000, AGAIN_US = 1000000, TRIES_MAX = 5, FLUSH_US = 1000000,
};

struct ring {
	_Alignas(64) uint64_t head;           /* atomic: records taken out so far */
	_Alignas(64) uint64_t tail;           /* atomic: records put in so far    */
	uint64_t dropped;
	bool     rung;                        /* atomic: it is more than half full, and the bell was rung */
	struct trace_record at[RING_RECORDS];
};

struct tracing {
	struct loop    *control;
	struct fetcher *fetcher;
	struct span     instance;
	struct conf    *conf;
	bool            on;                   /* atomic */
	char            url[URL_BYTES];
	uv_async_t      bell;
	struct timer    tick, again, flush_patience;
	struct text     body;
	unsigned        batch, tries;         /* records in the body; how often it was sent */
	struct fetch   *fetch;
	bool            complained;
	struct tracing_counts counts;
	void          (*flushed)(void *self); void *flushed_self;          /* NULL: nobody waits */
	unsigned        ring_count;
	struct ring    *rings[];
};

/* ── on data threads ── */

static bool is_wanted(const struct exchange *ex, const struct measured *m)
{
	return ex->trace.sampled || m->status >= 500 || (ex->reason != REASON_NONE && reason_facts(ex->reason)->by_upstream);
}

void tracing_note(struct tracing *t, struct worker *w, const struct exchange *ex, const struct measured *m)
{
	if (!__atomic_load_n(&t->on, __ATOMIC_RELAXED) || !is_wanted(ex, m))
		return;
	struct ring *r = t->rings[w->index];
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED), used = tail - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	if (used == RING_RECORDS) {
		counter_add(&r->dropped, 1);
		return;
	}
	trace_record_fill(&r->at[tail % RING_RECORDS], ex, m);
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
	if (used >= RING_RECORDS / 2 && !__atomic_exchange_n(&r->rung, true, __ATOMIC_RELAXED))
		uv_async_send(&t->bell);
}

/* ── on the control thread: batches ── */

static uint64_t waiting_in(const struct ring *r) { return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - r->head; }

static uint64_t waiting(const struct tracing *t)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < t->ring_count; i++)
		n += waiting_in(t->rings[i]);
	return n;
}

/* Out of all rings in turn, so that a busy thread does not keep the others waiting. */
static void collect(struct tracing *t)
{
	struct json j;
	bool any = waiting(t) > 0;
	if (!any)
		return;
	text_fini(&t->body);
	json_init(&j, &t->body);
	otlp_open(&j, t->conf->tracing.service, t->instance);
	while (any && t->batch < BATCH_RECORDS) {
		any = false;
		for (unsigned i = 0; i < t->ring_count && t->batch < BATCH_RECORDS; i++) {
			struct ring *r = t->rings[i];
			if (!waiting_in(r))
				continue;
			any = true;
			otlp_put(&j, &r->at[r->head % RING_RECORDS]);
			__atomic_store_n(&r->rung, false, __ATOMIC_RELAXED);
			__atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
			t->batch++;
		}
	}
	otlp_close(&j);
}

static void forget(struct tracing *t)
{
	text_fini(&t->body);
	t->batch = t->tries = 0;
}

/* ── ... and their way to the collector ── */

static void pump(struct tracing *);

static void end_flush(struct tracing *t)
{
	void (*flushed)(void *) = t->flushed;
	if (!flushed)
		return;
	t->flushed = NULL;
	worker_disarm(&t->control->worker, &t->flush_patience);
	flushed(t->flushed_self);
}

static void tell(struct tracing *t, enum log_level level, const char *event, const char *error, int status)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_text(&l, "collector", t->url);
	if (error)
		log_text(&l, "error", error);
	if (status)
		log_u64(&l, "status", (uint64_t)status);
	log_end(&l);
}

static void send_again(struct timer *timer) { pump(container_of(timer, struct tracing, again)); }

static void went_wrong(struct tracing *t, const char *error, int status, bool worth_another)
{
	struct worker *w = &t->control->worker;
	if (!t->complained)
		tell(t, LOG_WARN, "otlp_export_failed", error, status);
	t->complained = true;
	if (!worth_another || ++t->tries >= TRIES_MAX) {
		t->counts.failed++;
		t->counts.dropped_failed += t->batch;
		forget(t);
	} else {
		uint64_t pause_us = (uint64_t)AGAIN_US << (t->tries - 1);
		t->counts.retried++;
		worker_arm(w, &t->again, pause_us / 2 + rand_below(&w->rand, pause_us), send_again);
	}
	end_flush(t);                             /* a collector that is not there is not waited for */
}

/* Those that OTLP calls retryable. */
static bool is_passing(const struct fetch_result *r)
{
	return !r->status || r->status == 429 || r->status == 502 || r->status == 503 || r->status == 504;
}

static void answered(void *self, const struct fetch_result *r)
{
	struct tracing *t = self;
	t->fetch = NULL;
	if (!r->ok || r->status / 100 != 2) {
		went_wrong(t, r->error, r->status, !r->ok || is_passing(r));
		return;
	}
	if (t->complained)
		tell(t, LOG_INFO, "otlp_export_recovered", NULL, 0);
	t->complained = false;
	t->counts.ok++;
	forget(t);
	if (waiting(t) >= BATCH_RECORDS || t->flushed)
		pump(t);
}

static void pump(struct tracing *t)
{
	static const char *const headers[] = { "Content-Type: application/json" };
	if (t->fetch || timer_armed(&t->again))
		return;
	if (!t->batch)
		collect(t);
	if (!t->batch || !t->on) {
		forget(t);
		end_flush(t);
		return;
	}
	if (t->body.cut) {
		went_wrong(t, "out of memory", 0, false);
		return;
	}
	const struct fetch_request request = {
		.method = "POST", .url = t->url, .headers = headers, .header_count = 1, .body = text_span(&t->body), .timeout_us = TIMEOUT_US,
		.max_body = ANSWER_MAX, .cut_body = true, .done = answered, .self = t,
	};
	t->fetch = fetch_start(t->fetcher, &request);
	if (!t->fetch)
		went_wrong(t, "out of memory", 0, true);
}

static void ticked(struct timer *timer)
{
	struct tracing *t = container_of(timer, struct tracing, tick);
	worker_arm(&t->control->worker, timer, TICK_US, ticked);
	pump(t);
}

static void bell_rang(uv_async_t *bell) { pump(bell->data); }
static void out_of_patience(struct timer *timer) { end_flush(container_of(timer, struct tracing, flush_patience)); }

bool tracing_flush(struct tracing *t, void (*done)(void *self), void *self)
{
	if (!t || !t->on || timer_armed(&t->again) || (!t->fetch && !waiting(t)))
		return false;
	t->flushed = done;
	t->flushed_self = self;
	worker_arm(&t->control->worker, &t->flush_patience, FLUSH_US, out_of_patience);
	pump(t);
	return true;
}

/* ── life ── */

static bool write_url(char url[URL_BYTES], struct span otlp)
{
	static const char path[] = "/v1/traces";
	struct span tail = { path, sizeof(path) - 1 };
	bool whole = otlp.len >= tail.len && span_eq(span_from(otlp, otlp.len - tail.len), tail);
	struct text t;
	while (otlp.len && otlp.at[otlp.len - 1] == '/')
		otlp.len--;
	text_over(&t, url, URL_BYTES - 1);
	text_add(&t, otlp);
	if (!whole)
		text_add(&t, tail);
	url[t.len] = '\0';
	return otlp.len && !t.cut;
}

/* What is old when it is switched on again is nobody's any more. */
static void switch_off(struct tracing *t)
{
	worker_disarm(&t->control->worker, &t->tick);
	worker_disarm(&t->control->worker, &t->again);
	for (unsigned i = 0; i < t->ring_count; i++) {
		struct ring *r = t->rings[i];
		__atomic_store_n(&r->head, r->head + waiting_in(r), __ATOMIC_RELEASE);
	}
	if (!t->fetch)
		forget(t);
}

void tracing_adopt(struct tracing *t, struct conf *conf)
{
	struct conf *before = t->conf;
	t->conf = conf_ref(conf);
	conf_unref(before);
	bool on = write_url(t->url, conf->tracing.otlp);
	__atomic_store_n(&t->on, on, __ATOMIC_RELAXED);
	if (on)
		worker_arm(&t->control->worker, &t->tick, TICK_US, ticked);
	else
		switch_off(t);
}

struct tracing_counts tracing_counts(const struct tracing *t)
{
	struct tracing_counts n = t->counts;
	for (unsigned i = 0; i < t->ring_count; i++)
		n.dropped_full += counter_get(&t->rings[i]->dropped);
	return n;
}

static void free_all(struct tracing *t)
{
	for (unsigned i = 0; i < t->ring_count; i++)
		free(t->rings[i]);
	text_fini(&t->body);
	conf_unref(t->conf);
	free(t);
}

struct tracing *tracing_new(struct loop *control, struct fetcher *fetcher, unsigned workers, struct span instance)
{
	struct tracing *t = calloc(1, sizeof(*t) + workers * sizeof(*t->rings));
	if (!t)
		return NULL;
	t->control = control;
	t->fetcher = fetcher;
	t->instance = instance;
	text_init(&t->body, BODY_MAX);
	while (t->ring_count < workers) {
		struct ring *r = aligned_alloc(_Alignof(struct ring), sizeof(*r));
		if (!r)
			break;
		memset(r, 0, offsetof(struct ring, at));      /* the rest is untouched memory until it is needed */
		t->rings[t->ring_count++] = r;
	}
	if (t->ring_count < workers || uv_async_init(&control->uv, &t->bell, bell_rang) != 0) {
		free_all(t);
		return NULL;
	}
	t->bell.data = t;
	return t;
}

static void closed(uv_handle_t *bell) { free_all(bell->data); }

void tracing_free(struct tracing *t)
{
	struct worker *w = t ? &t->control->worker : NULL;
	if (!t)
		return;
	fetch_cancel(t->fetch);
	worker_disarm(w, &t->tick);
	worker_disarm(w, &t->again);
	worker_disarm(w, &t->flush_patience);
	uv_close((uv_handle_t *)&t->bell, closed);
}
