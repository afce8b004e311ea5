/* circuit_breaker.c - the breaker's door: who is let in, and what the end of a try says about its upstream (behaviour §1).
 *
 * One breaker per upstream and process, behind a short lock. What is recorded, once per try:
 *   failed   refused, reset, a reply of `failures`, a whole per-try time without a reply, a probe that takes too long
 *   ok       any other reply: when it is complete, or with its head if it is a stream
 *   nothing  our own refusals, a client that left, a deadline of the client's own
 */
#include "policy/circuit_breaker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "breaker.h"
#include "core/exchange.h"
#include "policy/registry.h"

enum failures { ON_CONNECT = 1, ON_RESET = 2, ON_TIMEOUT = 4, ON_5XX = 8, ON_429 = 16 };
enum { STATUSES_MAX = 16 };

struct circuit_breaker_conf {
	struct breaker_conf breaker;
	struct { unsigned causes, count; unsigned short status[STATUSES_MAX]; } failures;
	struct conf_dry_run dry_run;
};

/* ── settings ── */

static bool read_failure(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	static const struct { const char *word; unsigned bit; } causes[] = {
		{ "connect", ON_CONNECT }, { "reset", ON_RESET }, { "timeout", ON_TIMEOUT }, { "5xx", ON_5XX }, { "429", ON_429 },
	};
	struct circuit_breaker_conf *c = container_of(field, struct circuit_breaker_conf, failures);
	uint64_t status;
	if (index == 0)
		c->failures.causes = c->failures.count = 0;
	if (!text.at)
		return true;
	for (unsigned i = 0; i < sizeof(causes) / sizeof(*causes); i++)
		if (span_eq(text, span_of(causes[i].word))) {
			c->failures.causes |= causes[i].bit;
			return true;
		}
	if (span_to_u64(text, STATUS_LAST, &status) && status >= 400 && c->failures.count < STATUSES_MAX) {
		c->failures.status[c->failures.count++] = (unsigned short)status;
		return true;
	}
	conf_complain(r, text, "'" SPAN_FMT "' is not a failure; allowed: connect, reset, timeout, 5xx, 429, or a status from 400 to 599",
		SPAN_ARG(text));
	return false;
}

#define CONF struct circuit_breaker_conf
static const struct conf_key slow_keys[] = {
	CONF_DURATION(CONF, "over", breaker.slow_us, "0s", "0s", "1h", "a reply whose head takes longer is slow; 0s: slowness does not count"),
	CONF_SHARE(CONF, "rate", breaker.slow_rate, "80%", "this share of slow replies opens it"),
	CONF_END
};
static const struct conf_key circuit_breaker_keys[] = {
	CONF_DURATION(CONF, "window", breaker.window_us, "10s", "100ms", "1h", "results of so long are looked at"),
	CONF_COUNT(CONF, "min_requests", breaker.min_requests, "20", "1", "1000000", "the rates say nothing before there are so many"),
	CONF_SHARE(CONF, "failure_rate", breaker.failure_rate, "50%", "this share of failures opens it"),
	CONF_COUNT(CONF, "consecutive_failures", breaker.consecutive_failures, "5", "0", "1000000",
		"so many in a row open it, whatever the volume; 0: off"),
	{ .name = "slow_request", .type = CONF_T_BLOCK, .keys = slow_keys, .present_offset = CONF_NO_PRESENCE, .help = "slowness opens it too" },
	CONF_CUSTOM(CONF, "failures", failures, read_failure, "[connect, reset, timeout, 5xx]",
		"what counts as a failure; also 429, or a status; 501 and 505 are none unless named"),
	CONF_DURATION(CONF, "open_for", breaker.open_for_us, "5s", "10ms", "1h", "how long it stays open; doubles with each probe that fails ..."),
	CONF_DURATION(CONF, "max_open_for", breaker.max_open_for_us, "60s", "10ms", "24h", "... up to this"),
	CONF_COUNT(CONF, "half_open_requests", breaker.half_open_requests, "3", "1", "1000", "probes that must all go well before it closes"),
	CONF_DURATION(CONF, "probe_timeout", breaker.probe_timeout_us, "5s", "1ms", "10m", "a probe that takes longer has failed"),
	CONF_DURATION(CONF, "recovery_ramp", breaker.ramp_us, "0s", "0s", "1h", "admit a growing share for so long after closing; 0s: all at once"),
	CONF_DRY_RUN(CONF, "decide, count and log, but let everything pass"),
	CONF_END
};
#undef CONF

static bool circuit_breaker_check(struct conf_reading *r, void *settings)
{
	const struct circuit_breaker_conf *c = settings;
	if (c->breaker.open_for_us > c->breaker.max_open_for_us) {
		conf_complain_key(r, "open_for", "'open_for' is longer than 'max_open_for'");
		return false;
	}
	if (c->breaker.failure_rate <= 0) {
		conf_complain_key(r, "failure_rate", "'failure_rate' of 0%% would open it at the first reply");
		return false;
	}
	return true;
}

static const struct conf_block circuit_breaker_block = {
	.name = "circuit_breaker", .keys = circuit_breaker_keys, .size = sizeof(struct circuit_breaker_conf),
	.levels = CONF_DEFAULTS | CONF_UPSTREAM, .optional = true, .check = circuit_breaker_check,
	.help = "stop asking an upstream that fails, and notice when it is well again",
};

/* ── one per upstream and process ── */

struct breaker_core { pthread_mutex_t lock; struct breaker breaker; };

static bool breaker_core_init(void *memory, const void *with)
{
	struct breaker_core *core = memory;
	breaker_init(&core->breaker, with);
	return pthread_mutex_init(&core->lock, NULL) == 0;
}

static void breaker_core_fini(void *memory) { pthread_mutex_destroy(&((struct breaker_core *)memory)->lock); }

static void breaker_core_adapt(void *memory, const void *with)
{
	struct breaker_core *core = memory;
	pthread_mutex_lock(&core->lock);
	breaker_adapt(&core->breaker, with);
	pthread_mutex_unlock(&core->lock);
}

static size_t breaker_core_save(void *memory, uint64_t now_us, void *to, size_t size)
{
	struct breaker_core *core = memory;
	struct breaker_saved saved;
	(void)now_us;
	if (size < sizeof(saved))
		return 0;
	pthread_mutex_lock(&core->lock);
	breaker_save(&core->breaker, &saved);
	pthread_mutex_unlock(&core->lock);
	memcpy(to, &saved, sizeof(saved));
	return sizeof(saved);
}

static void breaker_core_restore(void *memory, const void *from, size_t len)
{
	struct breaker_core *core = memory;
	struct breaker_saved saved;
	if (len != sizeof(saved))
		return;
	memcpy(&saved, from, sizeof(saved));
	breaker_restore(&core->breaker, &saved);          /* else it begins closed */
}

static void tell(struct span upstream, const struct breaker_change *c)
{
	struct log_line l;
	log_begin(&l, c->to == BREAKER_open || c->to == BREAKER_forced_open ? LOG_WARN : LOG_INFO, "circuit_breaker");
	log_span(&l, "upstream", upstream);
	log_text(&l, "from", breaker_state_name(c->from));
	log_text(&l, "to", breaker_state_name(c->to));
	log_text(&l, "cause", breaker_cause_name(c->cause));
	log_u64(&l, "calls", c->sum.calls);
	log_u64(&l, "failures", c->sum.failures);
	log_u64(&l, "slow", c->sum.slow);
	log_u64(&l, "consecutive", c->consecutive);
	if (c->open_for_us)
		log_f(&l, "open_for_s", "%.3f", (double)c->open_for_us / 1e6);
	log_end(&l);
}

/* Unlocks, and tells what has changed meanwhile; each change is told by whoever brought it about. */
static void unlock(struct breaker_core *core, struct span upstream)
{
	struct breaker_change change[BREAKER_CHANGES_MAX];
	unsigned n = core->breaker.changes;
	for (unsigned i = 0; i < n; i++)
		change[i] = core->breaker.change[i];
	core->breaker.changes = 0;
	pthread_mutex_unlock(&core->lock);
	for (unsigned i = 0; i < n; i++)
		tell(upstream, &change[i]);
}

/* ── how it is seen ── */

/* As it is now; a change that time has brought is told by the next request, or the timer of the worker that opened it. */
static struct breaker look(void *memory, uint64_t now_us)
{
	struct breaker_core *core = memory;
	pthread_mutex_lock(&core->lock);
	struct breaker now = core->breaker;
	pthread_mutex_unlock(&core->lock);
	if (now.state == BREAKER_open && now_us >= now.open_until_us)
		now.state = BREAKER_half_open;
	return now;
}

static void read_state(void *core, uint64_t now_us, struct samples *out)
{
	struct breaker b = look(core, now_us);
	for (unsigned s = 0; s < BREAKER_STATE_COUNT; s++)
		out->real(out, &(struct label){ "state", span_of(breaker_state_name((enum breaker_state)s)) }, 1, b.state == s);
}

/* Which change can have which cause. */
static bool can_be(enum breaker_state to, enum breaker_cause cause)
{
	switch (cause) {
	case CAUSE_admin:         return to == BREAKER_forced_open || to == BREAKER_disabled || to == BREAKER_closed;
	case CAUSE_open_for_over: return to == BREAKER_half_open;
	case CAUSE_recovered:     return to == BREAKER_closed;
	default:                  return to == BREAKER_open;
	}
}

static void read_transitions(void *core, uint64_t now_us, struct samples *out)
{
	struct breaker b = look(core, now_us);
	for (unsigned s = 0; s < BREAKER_STATE_COUNT; s++)
		for (unsigned c = 0; c < BREAKER_CAUSE_COUNT; c++) {
			const struct label labels[] = {
				{ "to", span_of(breaker_state_name((enum breaker_state)s)) },
				{ "cause", span_of(breaker_cause_name((enum breaker_cause)c)) },
			};
			if (can_be((enum breaker_state)s, (enum breaker_cause)c))
				out->real(out, labels, 2, (double)b.transitions[s][c]);
		}
}

static void read_calls(void *core, uint64_t now_us, struct samples *out)
{
	struct breaker b = look(core, now_us);
	for (unsigned r = 0; r < BREAKER_RESULT_COUNT; r++)
		out->real(out, &(struct label){ "result", span_of(breaker_result_name((enum breaker_result)r)) }, 1, (double)b.results[r]);
}

static const struct core_series breaker_series[] = {
	{ "outrigger_circuit_breaker_state", "gauge", "1 for the state that the breaker is in.", read_state },
	{ "outrigger_circuit_breaker_transitions_total", "counter", "Changes of state, and why.", read_transitions },
	{ "outrigger_circuit_breaker_calls_total", "counter", "Tries as the breaker saw them; ignored: nothing could be learnt from it.",
		read_calls },
	{ NULL, NULL, NULL, NULL }
};

static double seconds_left(const struct breaker *b, uint64_t now_us)
{
	return b->state == BREAKER_open && b->open_until_us > now_us ? (double)(b->open_until_us - now_us) / 1e6 : 0;
}

static void breaker_json(void *core, uint64_t now_us, struct json *j)
{
	struct breaker b = look(core, now_us);
	struct window_sum sum = window_sum(&b.window, b.conf.window_us, now_us);
	json_text(j, "state", breaker_state_name(b.state));
	json_fixed(j, "next_try_s", seconds_left(&b, now_us), 3);
	json_u64(j, "calls", sum.calls);
	json_u64(j, "failures", sum.failures);
	json_u64(j, "slow", sum.slow);
	json_u64(j, "consecutive_failures", b.consecutive);
	json_u64(j, "probes", b.probes);
	json_u64(j, "refused", b.results[RESULT_refused]);
}

static void breaker_words(void *core, uint64_t now_us, struct text *out)
{
	struct breaker b = look(core, now_us);
	struct window_sum sum = window_sum(&b.window, b.conf.window_us, now_us);
	for (const char *c = breaker_state_name(b.state); *c; c++)
		text_char(out, *c == '_' ? ' ' : *c);
	if (b.state == BREAKER_open)
		text_f(out, ", next try in %.1f s", seconds_left(&b, now_us));
	else if (b.state == BREAKER_closed)
		text_f(out, ", %llu of the last %llu failed", (unsigned long long)sum.failures, (unsigned long long)sum.calls);
}

static const struct core_kind breaker_kind = {
	.name = "circuit_breaker", .label = "upstream", .size = sizeof(struct breaker_core), .init = breaker_core_init, .adapt = breaker_core_adapt,
	.fini = breaker_core_fini,
	.save = breaker_core_save, .restore = breaker_core_restore, .series = breaker_series, .state = breaker_json, .summary = breaker_words,
};

/* ── the operator ── */

struct order { enum breaker_state state; uint64_t now_us; };

static void obey(void *self, const struct core_kind *kind, struct span name, void *memory)
{
	const struct order *order = self;
	struct breaker_core *core = memory;
	(void)kind;
	pthread_mutex_lock(&core->lock);
	breaker_force(&core->breaker, order->now_us, order->state);
	unlock(core, name);
}

enum breaker_answer circuit_breaker_set(struct shared *shared, struct span upstream, struct span state, uint64_t now_us)
{
	static const struct { const char *word; enum breaker_state state; } words[] = {
		{ "forced_open", BREAKER_forced_open }, { "closed", BREAKER_disabled }, { "auto", BREAKER_closed },
	};
	for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (span_eq(state, span_of(words[i].word))) {
			struct order order = { words[i].state, now_us };
			return shared_with(shared, breaker_kind.name, upstream, obey, &order) ? BREAKER_SET : BREAKER_NO_SUCH_UPSTREAM;
		}
	return BREAKER_NO_SUCH_STATE;
}

/* ── the door ── */

struct circuit_breaker {
	struct policy        base;
	struct circuit_breaker_conf conf;
	struct shared       *shared;
	struct breaker_core *core;
	struct worker       *worker;
	struct span          upstream;
	struct timer         half_open;       /* armed by whoever opened it: OPEN ends in time, with or without requests */
};
struct circuit_breaker_slot {
	struct breaker_permit permit;
	struct timer probe;
	struct exchange *ex;
	struct circuit_breaker *door;
	bool owes;                            /* a result, or the permit back */
	bool went_well;                       /* the head was good: what is left is that its body comes */
};

static struct policy *circuit_breaker_open(const void *settings, const struct policy_env *env)
{
	struct circuit_breaker *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->base.type = &circuit_breaker_policy;
	c->conf = *(const struct circuit_breaker_conf *)settings;
	c->shared = env->shared;
	c->worker = env->worker;
	c->upstream = env->upstream->name;
	c->core = shared_take(env->shared, &breaker_kind, c->upstream, &c->conf.breaker);
	if (c->core)
		return &c->base;
	free(c);
	return NULL;
}

static void circuit_breaker_close(struct policy *p)
{
	struct circuit_breaker *c = (struct circuit_breaker *)p;
	worker_disarm(c->worker, &c->half_open);
	shared_give(c->shared, c->core);
	free(c);
}

static bool circuit_breaker_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return route->upstream && present;
}

static void open_for_is_over(struct timer *t)
{
	struct circuit_breaker *c = container_of(t, struct circuit_breaker, half_open);
	pthread_mutex_lock(&c->core->lock);
	breaker_tick(&c->core->breaker, c->worker->now_us, rand_unit(&c->worker->rand));
	unlock(c->core, c->upstream);
}

/* After anything that can have opened it, with the lock held. */
static void done_with(struct circuit_breaker *c)
{
	const struct breaker *b = &c->core->breaker;
	bool opened = b->changes && b->change[b->changes - 1].to == BREAKER_open;
	uint64_t until_us = b->open_until_us;
	unlock(c->core, c->upstream);
	if (opened)
		timer_arm(&c->worker->timers, &c->half_open, until_us, open_for_is_over);
}

static void record(struct circuit_breaker_slot *slot, struct breaker_outcome outcome)
{
	struct circuit_breaker *c = slot->door;
	if (!slot->owes)
		return;
	slot->owes = false;
	worker_disarm(c->worker, &slot->probe);
	pthread_mutex_lock(&c->core->lock);
	breaker_record(&c->core->breaker, c->worker->now_us, rand_unit(&c->worker->rand), &slot->permit, &outcome);
	done_with(c);
}

static void give_back(struct circuit_breaker_slot *slot)
{
	struct circuit_breaker *c = slot->door;
	if (!slot->owes)
		return;
	slot->owes = false;
	worker_disarm(c->worker, &slot->probe);
	pthread_mutex_lock(&c->core->lock);
	breaker_give_back(&c->core->breaker, &slot->permit);
	unlock(c->core, c->upstream);
}

/* It is a failure at this moment; the request itself goes on. */
static void probe_takes_too_long(struct timer *t)
{
	record(container_of(t, struct circuit_breaker_slot, probe), (struct breaker_outcome){ .failed = true, .expired = true });
}

static enum answer refuse(struct circuit_breaker *c, struct exchange *ex, uint64_t wait_us, bool forced)
{
	char words[120];
	struct text t;
	unsigned seconds = (unsigned)((wait_us + 999999) / 1000000);

	text_over(&t, words, sizeof(words) - 1);
	if (forced)
		text_add(&t, SPAN("The circuit breaker was opened by an operator."));
	else
		text_f(&t, "The circuit breaker is open. The next try is in %u s.", seconds);
	words[t.len] = '\0';
	return exchange_turn_away(ex, exchange_dry_run(ex, &c->conf.dry_run), REASON_circuit_open, seconds ? seconds : 1, words);
}

static enum answer circuit_breaker_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct circuit_breaker *c = (struct circuit_breaker *)p;
	struct circuit_breaker_slot *slot = memory;
	uint64_t wait_us;

	slot->ex = ex;
	slot->door = c;
	if (ex->expendable && !exchange_dry_run(ex, &c->conf.dry_run) && look(c->core, ex->worker->now_us).state != BREAKER_closed) {
		exchange_refuse(ex, REASON_circuit_open, 0, NULL);
		return TURN;
	}
	pthread_mutex_lock(&c->core->lock);
	slot->owes = breaker_admit(&c->core->breaker, ex->worker->now_us, rand_unit(&ex->worker->rand), &slot->permit, &wait_us);
	bool forced = c->core->breaker.state == BREAKER_forced_open;
	done_with(c);
	if (!slot->owes)
		return refuse(c, ex, wait_us, forced);
	if (slot->permit.probe)
		worker_arm(ex->worker, &slot->probe, c->conf.breaker.probe_timeout_us, probe_takes_too_long);
	return PASS;
}

/* What the endpoint did to this try: the bit of `failures`; 0: nothing of the kind. */
static unsigned failure_bit(enum reason why)
{
	switch (why) {
	case REASON_connection_refused:
	case REASON_connection_timeout:
	case REASON_dns_error:
	case REASON_dns_timeout:
	case REASON_tls_error:
	case REASON_tls_certificate_error:
		return ON_CONNECT;
	case REASON_upstream_reset:
	case REASON_upstream_protocol_error:
	case REASON_response_header_too_large:
	case REASON_response_truncated:
	case REASON_upgrade_failed:
		return ON_RESET;
	case REASON_upstream_timeout:
		return ON_TIMEOUT;
	default:
		return 0;
	}
}

static bool status_is_failure(const struct circuit_breaker_conf *c, int status)
{
	for (unsigned i = 0; i < c->failures.count; i++)
		if (c->failures.status[i] == status)
			return true;
	return ((c->failures.causes & ON_5XX) && status >= 500 && status != 501 && status != 505) || ((c->failures.causes & ON_429) && status == 429);
}

static uint64_t retry_after_us(const struct exchange *ex)
{
	uint64_t seconds;
	if (ex->reply.status != 429 && ex->reply.status != 503)
		return 0;
	return span_to_u64(fields_value(&ex->reply.fields, FIELD_RETRY_AFTER), 86400, &seconds) ? seconds * 1000000 : 0;
}

static bool is_stream(const struct reply *r)
{
	return r->status == 101 || span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream"));
}

static enum answer circuit_breaker_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct circuit_breaker *c = (struct circuit_breaker *)p;
	struct circuit_breaker_slot *slot = memory;
	enum reason why = ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
	uint64_t took_us = ex->worker->now_us - slot->permit.begun_us;

	if (why != REASON_NONE) {
		unsigned bit = failure_bit(why);
		if (bit & c->conf.failures.causes)
			record(slot, (struct breaker_outcome){ .failed = true, .took_us = took_us });
		else if (bit)
			record(slot, (struct breaker_outcome){ .took_us = took_us });
		else
			give_back(slot);          /* a refusal from further in: nothing is known about the upstream */
		return PASS;
	}
	if (status_is_failure(&c->conf, ex->reply.status))
		record(slot, (struct breaker_outcome){ .failed = true, .weak = ex->reply.status == 429, .took_us = took_us,
			.retry_after_us = retry_after_us(ex) });
	else if (is_stream(&ex->reply))
		record(slot, (struct breaker_outcome){ .took_us = took_us });
	slot->went_well = true;
	slot->permit.begun_us = ex->worker->now_us - took_us;
	return PASS;
}

/* A deadline of the client's own, or a try that began late, says nothing about the upstream. */
static bool had_its_time(const struct exchange *ex, uint64_t waited_us) { return ex->patience_us && waited_us >= ex->patience_us / 10 * 9; }

static void circuit_breaker_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	const struct circuit_breaker *c = (struct circuit_breaker *)p;
	struct circuit_breaker_slot *slot = memory;
	uint64_t took_us = ex->timing.reply_us > slot->permit.begun_us ? ex->timing.reply_us - slot->permit.begun_us : 0;
	uint64_t waited_us = ex->worker->now_us - slot->permit.begun_us;

	if ((how == END_SENT || how == END_RETRIED) && slot->went_well)
		record(slot, (struct breaker_outcome){ .took_us = took_us });
	else if (how == END_FAILED)
		record(slot, (struct breaker_outcome){ .failed = c->conf.failures.causes & ON_RESET, .took_us = took_us });
	else if (how == END_CUT && ex->cut_by == REASON_deadline_exceeded && !slot->went_well && had_its_time(ex, waited_us))
		record(slot, (struct breaker_outcome){ .failed = c->conf.failures.causes & ON_TIMEOUT, .took_us = waited_us });
	else
		give_back(slot);
}

const struct policy_type circuit_breaker_policy = {
	.name = "circuit_breaker", .block = &circuit_breaker_block, .wanted = circuit_breaker_wanted, .per_try = true,
	.slot_size = sizeof(struct circuit_breaker_slot), .open = circuit_breaker_open, .close = circuit_breaker_close,
	.admit = circuit_breaker_admit, .judge = circuit_breaker_judge, .settle = circuit_breaker_settle,
};
