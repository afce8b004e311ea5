/* retry.c - a try that failed is made again, elsewhere if possible, when that is safe, useful and paid for.
 *
 * Safe:   nothing of the reply went out; the body is still kept; and the endpoint cannot have seen the request, or the method may be
 *         repeated (`methods`, or an Idempotency-Key). A non-idempotent request is never sent twice.
 * Useful: time is left, the failure is one of `retry_on`, and no proxy in front is already retrying (x-outrigger-attempt >= 2).
 * Paid:   retries are a share of the live requests of the last ten seconds plus a floor (budget.h), one budget per upstream and
 *         process; under pressure (core/pressure.h) there is none. The race of a kept-alive connection that the endpoint closed just now
 *         is free, once.
 */
#include <stdlib.h>

#include "base/must.h"
#include "core/exchange.h"
#include "policy/registry.h"
#include "retry_budget.h"

enum retry_on {
	ON_CONNECT_FAILURE = 1, ON_RESET = 2, ON_TIMEOUT = 4, ON_5XX = 8, ON_GATEWAY_ERROR = 16, ON_429 = 32
};
enum { STATUSES_MAX = 16, POINTLESS_US = 5000, RETRY_AFTER_MAX_S = 2 };

struct retry_conf {
	bool     enabled;
	uint64_t max_retries;
	struct { unsigned causes, count; unsigned short status[STATUSES_MAX]; } on;
	struct conf_texts methods;
	struct { uint64_t base_us, max_us; } backoff;
	double   budget;
	uint64_t min_per_second, buffer;
};

static bool read_cause(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	static const struct { const char *word; unsigned bit; } causes[] = {
		{ "connect_failure", ON_CONNECT_FAILURE }, { "reset", ON_RESET }, { "timeout", ON_TIMEOUT }, { "5xx", ON_5XX },
		{ "gateway_error", ON_GATEWAY_ERROR }, { "429", ON_429 },
	};
	struct retry_conf *c = container_of(field, struct retry_conf, on);
	uint64_t status;
	if (index == 0)
		c->on.causes = c->on.count = 0;
	if (!text.at)
		return true;
	for (unsigned i = 0; i < sizeof(causes) / sizeof(*causes); i++)
		if (span_eq(text, span_of(causes[i].word))) {
			c->on.causes |= causes[i].bit;
			return true;
		}
	if (span_to_u64(text, STATUS_LAST, &status) && status >= 400 && c->on.count < STATUSES_MAX) {
		c->on.status[c->on.count++] = (unsigned short)status;
		return true;
	}
	conf_complain(r, text, "'" SPAN_FMT "' is not a cause to retry; allowed: connect_failure, reset, timeout, 5xx, gateway_error, "
		"or a status from 400 to 599", SPAN_ARG(text));
	return false;
}

static const struct conf_key backoff_keys[] = {
	CONF_DURATION(struct retry_conf, "base", backoff.base_us, "25ms", "0s", "1m",
		"the first pause is a random part of this; it doubles with each retry"),
	CONF_DURATION(struct retry_conf, "max", backoff.max_us, "250ms", "0s", "10m", "no pause is longer"),
	CONF_END
};
static const struct conf_key retry_keys[] = {
	CONF_BOOL(struct retry_conf, "enabled", enabled, "true", "`retry: off` is short for enabled: false"),
	CONF_COUNT(struct retry_conf, "max_retries", max_retries, "1", "0", "10", "extra tries after the first"),
	CONF_CUSTOM(struct retry_conf, "retry_on", on, read_cause, "[connect_failure, reset, 503]",
		"what is tried again; also timeout, 5xx, 429, gateway_error (502 503 504), or a status"),
	CONF_TEXTS(struct retry_conf, "methods", methods, "[GET, HEAD, OPTIONS, PUT, DELETE, TRACE]",
		"methods that may be repeated although the endpoint may have seen the request"),
	{ .name = "backoff", .type = CONF_T_BLOCK, .keys = backoff_keys, .present_offset = CONF_NO_PRESENCE,
		.help = "pauses between tries, with full jitter; Retry-After up to 2s is honoured" },
	CONF_SHARE(struct retry_conf, "budget", budget, "20%", "retries are at most this share of the requests of the last 10 s ..."),
	CONF_COUNT(struct retry_conf, "min_retries_per_second", min_per_second, "3", "0", "100000", "... but always this many"),
	CONF_SIZE(struct retry_conf, "buffer", buffer, "64KiB", "0B", "512KiB", "larger request bodies are streamed and not retried"),
	CONF_END
};

static bool retry_check(struct conf_reading *r, void *settings)
{
	struct retry_conf *c = settings;
	if (c->backoff.base_us <= c->backoff.max_us)
		return true;
	conf_complain_key(r, "backoff.base", "'backoff.base' is longer than 'backoff.max'");
	return false;
}

static const struct conf_block retry_block = {
	.name = "retry", .keys = retry_keys, .size = sizeof(struct retry_conf), .levels = CONF_EVERYWHERE, .scalar_ok = true,
	.check = retry_check, .help = "another try when the first one failed",
};

struct retry {
	struct policy      base;
	struct retry_conf  conf;
	struct budget_conf budget;            /* this route's; the requests and retries that it is held against are all of the upstream's */
	struct shared     *shared;
	struct retry_budget *core;
};
struct retry_slot { struct timer timer; struct exchange *ex; unsigned retries; bool free_used, counted; };

static bool retry_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings; (void)present;
	return route->upstream != NULL;           /* also when disabled: the keep-alive race is repaired all the same */
}

struct budget_conf retry_budget_conf(const struct policy_env *env)
{
	const struct conf *conf = env->upstream->snapshot;        /* of any snapshot: the blocks are those of this build */
	const struct retry_conf *c = NULL;
	for (unsigned i = 0; i < conf->block_count; i++)
		if (conf->blocks[i].keys == retry_keys)
			c = env->route->settings[i];
	must(c);
	return (struct budget_conf){ c->budget, c->min_per_second };
}

static struct policy *retry_open(const void *settings, const struct policy_env *env)
{
	struct retry *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->base.type = &retry_policy;
	r->conf = *(const struct retry_conf *)settings;
	r->shared = env->shared;
	r->budget = (struct budget_conf){ r->conf.budget, r->conf.min_per_second };
	r->core = retry_budget_take(env->shared, env->upstream->name, &r->budget);
	if (r->core)
		return &r->base;
	free(r);
	return NULL;
}

static void retry_close(struct policy *p)
{
	struct retry *r = (struct retry *)p;
	shared_give(r->shared, r->core);
	free(r);
}

static enum answer retry_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct retry *r = (struct retry *)p;
	((struct retry_slot *)memory)->ex = ex;
	ex->replay_bytes = r->conf.buffer;
	retry_budget_request(r->core, ex->worker->now_us);      /* also without retries: hedges are paid from it too */
	return PASS;
}

/* Why did this try not make it? REASON_NONE: by its status, if at all. */
static enum reason failure_of(const struct exchange *ex)
{
	return ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
}

static bool is_listed(const struct retry_conf *c, const struct exchange *ex, enum reason why)
{
	int status = ex->reply.status;
	switch (why) {
	case REASON_NONE:
		for (unsigned i = 0; i < c->on.count; i++)
			if (c->on.status[i] == status)
				return true;
		return ((c->on.causes & ON_5XX) && status >= 500 && status != 501 && status != 505)
			|| ((c->on.causes & ON_GATEWAY_ERROR) && status >= 502 && status <= 504)
			|| ((c->on.causes & ON_429) && status == 429);
	case REASON_connection_refused:
	case REASON_connection_timeout:
	case REASON_dns_error:
	case REASON_dns_timeout:
		return c->on.causes & ON_CONNECT_FAILURE;
	case REASON_upstream_reset:
	case REASON_upstream_protocol_error:
		return c->on.causes & ON_RESET;
	case REASON_upstream_timeout:
		return c->on.causes & ON_TIMEOUT;
	default:
		return false;                     /* our own refusals, spent deadlines, what cannot get better */
	}
}

static bool may_repeat(const struct retry_conf *c, const struct exchange *ex)
{
	if (!ex->request_reached)
		return true;                      /* the endpoint cannot have acted on it */
	if (fields_have(&ex->request.fields, FIELD_IDEMPOTENCY_KEY))
		return true;
	for (unsigned i = 0; i < c->methods.count; i++)
		if (span_eq(c->methods.at[i], ex->request.method_text))
			return true;
	return false;
}

static void count(const struct exchange *ex, enum retry_result result) { counter_add(&ex->route->retries[result], 1); }

/* The pause before the next try; false: it is longer than the caller would wait, so there is no next try. */
static bool pause_us(const struct retry *r, struct exchange *ex, unsigned retries, uint64_t *us)
{
	uint64_t most = r->conf.backoff.base_us << retries, asked_s;
	if (most > r->conf.backoff.max_us)
		most = r->conf.backoff.max_us;
	*us = most ? rand_below(&ex->worker->rand, most + 1) : 0;
	if (ex->reply.status && !ex->local && fields_have(&ex->reply.fields, FIELD_RETRY_AFTER)) {
		if (!span_to_u64(fields_value(&ex->reply.fields, FIELD_RETRY_AFTER), RETRY_AFTER_MAX_S, &asked_s))
			return false;             /* later than we wait, or a date: the client is told as it is */
		if (*us < asked_s * 1000000)
			*us = asked_s * 1000000;
	}
	return ex->deadline_us == TIMER_NEVER || ex->worker->now_us + *us + POINTLESS_US < ex->deadline_us;
}

/* May this failed try be followed by another one, and after how long? */
static bool may_try_again(struct retry *r, struct exchange *ex, struct retry_slot *slot, uint64_t *us)
{
	enum reason why = failure_of(ex);

	*us = 0;
	if (ex->attempt >= ATTEMPTS_MAX)
		return false;
	if (ex->reused_dead && !slot->free_used && exchange_can_replay(ex)
			&& (!ex->request_reached || method_is_idempotent(ex->request.method))) {
		slot->free_used = true;
		return true;
	}
	if (!r->conf.enabled || slot->retries >= r->conf.max_retries || !is_listed(&r->conf, ex, why) || retried_in_front(ex))
		return false;
	if (!exchange_can_replay(ex) || !may_repeat(&r->conf, ex)) {
		count(ex, RETRY_not_repeatable);
		return false;
	}
	if (!pause_us(r, ex, slot->retries, us))
		return false;
	/* under pressure there is no budget: a retry is work that was done already */
	if (exchange_pressure(ex) || !retry_budget_pay(r->core, &r->budget, ex->worker->now_us)) {
		count(ex, RETRY_no_budget);
		return false;
	}
	slot->retries++;
	slot->counted = true;
	return true;
}

static void pause_over(struct timer *t) { exchange_answer(container_of(t, struct retry_slot, timer)->ex, AGAIN); }

static enum answer retry_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct retry *r = (struct retry *)p;
	struct retry_slot *slot = memory;
	enum reason why = failure_of(ex);
	uint64_t us;

	bool listed = why != REASON_NONE || is_listed(&r->conf, ex, why);
	if (!listed || !may_try_again(r, ex, slot, &us)) {
		if (slot->counted)
			count(ex, listed ? RETRY_failed : RETRY_recovered);
		slot->counted = false;
		return PASS;
	}
	exchange_note_attempt(ex, why);
	if (us == 0)
		return AGAIN;
	exchange_drop_try(ex);                    /* nobody's permit is held during the pause */
	worker_arm(ex->worker, &slot->timer, us, pause_over);
	return LATER;
}

static void retry_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)how;
	worker_disarm(ex->worker, &((struct retry_slot *)memory)->timer);
}

const struct policy_type retry_policy = {
	.name = "retry", .block = &retry_block, .wanted = retry_wanted, .slot_size = sizeof(struct retry_slot),
	.open = retry_open, .close = retry_close, .admit = retry_admit, .judge = retry_judge, .settle = retry_settle,
};
