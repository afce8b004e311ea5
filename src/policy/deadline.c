/* deadline.c - one budget of time for the whole request, until the head of its reply; then idle_timeout rules.
 *
 * budget = min(what a trusted caller tells, `timeout`), counted from the arrival of the request's first byte. One timer per
 * request: at first it stands for the budget; once a reply is on its way out it is moved (later, so for free) to stand for silence.
 */
#include "deadline.h"

#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

enum { POINTLESS_US = 5000 };             /* with less than this left a try is not worth making */

static const struct conf_key header_keys[] = {
	CONF_TEXTS(struct deadline_conf, "accept", header.accept, "[grpc-timeout, x-request-timeout-ms, x-envoy-expected-rq-timeout-ms]",
		"fields in which a trusted caller tells how long it will wait"),
	CONF_TEXT(struct deadline_conf, "emit", header.emit, "x-request-timeout-ms", "field in which the upstream is told the time left; \"\": none"),
	CONF_DURATION(struct deadline_conf, "max", header.max_us, "60s", "1ms", "24h", "no caller gets more than this, whatever it tells"),
	CONF_END
};
static const struct conf_key deadline_keys[] = {
	CONF_DURATION(struct deadline_conf, "timeout", timeout_us, "15s", "0s", "24h",
		"the whole request, queueing and retries included, until the reply's head; 0s: no limit"),
	CONF_DURATION(struct deadline_conf, "per_try_timeout", per_try_us, "0s", "0s", "24h", "one try; 0s: what is left of the timeout"),
	CONF_DURATION(struct deadline_conf, "idle_timeout", idle_us, "60s", "0s", "24h",
		"no body byte either way once the reply has begun (downloads, SSE, upgrades); 0s: no limit"),
	{ .name = "deadline", .type = CONF_T_BLOCK, .keys = header_keys, .present_offset = CONF_NO_PRESENCE,
		.help = "deadlines that travel with the request" },
	CONF_END
};

static bool deadline_check(struct conf_reading *r, void *settings)
{
	struct deadline_conf *c = settings;
	struct span known[] = { SPAN("grpc-timeout"), SPAN("x-request-timeout-ms"), SPAN("x-envoy-expected-rq-timeout-ms") };
	bool ok = true;
	if (c->per_try_us && c->timeout_us && c->per_try_us > c->timeout_us) {
		conf_complain_key(r, "per_try_timeout", "'per_try_timeout' is longer than 'timeout': a try could never use it up");
		ok = false;
	}
	for (unsigned i = 0; i < c->header.accept.count + 1; i++) {
		struct span name = i < c->header.accept.count ? c->header.accept.at[i] : c->header.emit;
		bool found = name.len == 0;
		for (unsigned k = 0; k < 3; k++)
			found |= span_eq_nocase(name, known[k]);
		if (!found) {
			conf_complain_key(r, i < c->header.accept.count ? "deadline.accept" : "deadline.emit",
				"'" SPAN_FMT "' is not a deadline field", SPAN_ARG(name));
			conf_hint(r, "allowed: grpc-timeout, x-request-timeout-ms, x-envoy-expected-rq-timeout-ms");
			ok = false;
		}
	}
	return ok;
}

const struct conf_block deadline_block = {
	.keys = deadline_keys, .size = sizeof(struct deadline_conf), .levels = CONF_EVERYWHERE, .check = deadline_check,
	.help = "time limits",
};

struct deadline {
	struct policy base;
	struct deadline_conf conf;
	enum field_id accept[4]; unsigned accept_count;
	enum field_id emit;
};
struct deadline_slot { struct timer timer; struct exchange *ex; uint64_t idle_us; };

static struct policy *deadline_open(const void *settings, const struct policy_env *env)
{
	const struct deadline_conf *conf = settings;
	struct deadline *d = calloc(1, sizeof(*d));
	(void)env;
	if (!d)
		return NULL;
	d->base.type = &deadline_policy;
	d->conf = *conf;
	for (unsigned i = 0; i < conf->header.accept.count && d->accept_count < 4; i++)
		d->accept[d->accept_count++] = field_id_of(conf->header.accept.at[i]);
	d->emit = field_id_of(conf->header.emit);
	return &d->base;
}

static void deadline_close(struct policy *p) { free(p); }

/* The whole time for this request, or TIMER_NEVER. */
static uint64_t budget_us(const struct deadline *d, const struct exchange *ex)
{
	uint64_t budget = d->conf.timeout_us ? d->conf.timeout_us : TIMER_NEVER;
	for (unsigned i = 0; ex->client_trusted && i < d->accept_count; i++) {
		const struct field *f = fields_find(&ex->request.fields, d->accept[i]);
		uint64_t told;
		if (!f)
			continue;
		if (!forward_read_timeout(f->id, f->value, &told)) {
			counter_add(&ex->route->stats->deadlines_malformed, 1);
			continue;
		}
		told = told < d->conf.header.max_us ? told : d->conf.header.max_us;
		budget = told < budget ? told : budget;
	}
	return budget;
}

static void deadline_passed(struct timer *t)
{
	struct deadline_slot *slot = container_of(t, struct deadline_slot, timer);
	counter_add(&slot->ex->route->stats->timeouts[TIMEOUT_total], 1);
	exchange_cut(slot->ex, slot, REASON_deadline_exceeded);
}

static void silence(struct timer *t)
{
	struct deadline_slot *slot = container_of(t, struct deadline_slot, timer);
	struct exchange *ex = slot->ex;
	uint64_t due_us = ex->last_byte_us + slot->idle_us;
	if (due_us > ex->worker->now_us) {
		timer_arm(&ex->worker->timers, t, due_us, silence);
		return;
	}
	counter_add(&ex->route->stats->timeouts[TIMEOUT_idle], 1);
	exchange_cut(ex, slot, REASON_upstream_timeout);
}

static enum answer deadline_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct deadline *d = (struct deadline *)p;
	struct deadline_slot *slot = memory;
	uint64_t budget = budget_us(d, ex), now = ex->worker->now_us;

	slot->ex = ex;
	slot->idle_us = d->conf.idle_us;
	ex->timeout_field = d->emit;
	ex->patience_us = d->conf.timeout_us;
	if (budget == TIMER_NEVER)
		return PASS;
	ex->deadline_us = ex->timing.first_byte_us + budget;
	uint64_t left = ex->deadline_us > now ? ex->deadline_us - now : 0;
	if (left < POINTLESS_US && (!d->conf.timeout_us || left < d->conf.timeout_us)) {     /* who writes timeout: 2ms gets 2 ms */
		exchange_refuse(ex, REASON_deadline_unreachable, 0, NULL);
		return TURN;
	}
	timer_arm(&ex->worker->timers, &slot->timer, ex->deadline_us, deadline_passed);
	return PASS;
}

static enum answer deadline_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct deadline *d = (struct deadline *)p;
	struct deadline_slot *slot = memory;

	if (ex->local || !d->conf.idle_us) {
		worker_disarm(ex->worker, &slot->timer);
		return PASS;
	}
	ex->last_byte_us = ex->worker->now_us;
	worker_arm(ex->worker, &slot->timer, d->conf.idle_us, silence);
	return PASS;
}

static void deadline_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)how;
	worker_disarm(ex->worker, &((struct deadline_slot *)memory)->timer);
}

const struct policy_type deadline_policy = {
	.name = "deadline", .block = &deadline_block, .slot_size = sizeof(struct deadline_slot),
	.open = deadline_open, .close = deadline_close, .admit = deadline_admit, .judge = deadline_judge, .settle = deadline_settle,
};
