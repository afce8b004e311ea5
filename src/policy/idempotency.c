/* idempotency.c - a request with an Idempotency-Key runs once; whoever repeats it gets the same answer (behaviour §13). Settings, and the door.
 *
 *   gather the body ──▶ claim ──▶ first: it runs (idem_run.h)
 *                             ├──▶ running: wait for its end, or 409
 *                             ├──▶ done: the kept answer
 *                             └──▶ of another request: 422
 *
 * Keys belong to a route and a credential. `store: memory` is exact for the process (idem_memory.c), a store is for several (idem_remote.c).
 */
#include <stdlib.h>

#include "idempotency.h"
#include "policy/registry.h"

#define CONF struct idempotency_conf
static const char *const store_errors[] = { "deny", "allow", NULL };
static const char *const in_flights[] = { "wait", "conflict", NULL };
static const struct conf_key idempotency_keys[] = {
	CONF_DURATION(CONF, "ttl", ttl_us, "24h", "1s", "30d", "so long an answer is kept; a repetition does not prolong it"),
	CONF_TEXT(CONF, "store", store, "memory", "memory: this process alone; or a name under `redis`, for several instances"),
	CONF_WORD(CONF, "in_flight", in_flight, in_flights, "wait",
		"while the first still runs, a repetition waits for its answer, or is refused (409)"),
	CONF_BOOL(CONF, "required", required, "false", "requests without a key are refused (400)"),
	CONF_TEXTS(CONF, "methods", methods, "[POST, PATCH]", "methods whose keys are looked at"),
	CONF_SIZE(CONF, "fingerprint", fingerprint, "64KiB", "0B", "64KiB",
		"of the body that is compared; of larger ones this much, and the length where it was told"),
	CONF_SIZE(CONF, "max_answer", max_answer, "1MiB", "1KiB", "8MiB",
		"a longer answer is passed on, but not kept: then a repetition is refused (409)"),
	CONF_WORD(CONF, "on_store_error", on_store_error, store_errors, "deny",
		"when the store does not answer: deny (503), or allow, and then a request may run twice"),
	CONF_DURATION(CONF, "lease", lease_us, "1m", "1s", "1h",
		"a claim in a store is renewed while its request runs; so long after its instance has died, a repetition runs again"),
	CONF_DRY_RUN(CONF, "look and count, but let every request run"),
	CONF_COUNT(CONF, "max_keys", max_keys, "100000", "1", "100000000", "in memory; beyond it the longest unused answer is forgotten"),
	CONF_SIZE(CONF, "max_size", max_bytes, "64MiB", "64KiB", "64GiB", "of all answers in memory; beyond it the longest unused is forgotten"),
	CONF_END
};
#undef CONF

static bool is_shared(const struct idempotency_conf *c) { return !span_eq(c->store, SPAN("memory")); }

static bool idempotency_check(struct conf_reading *r, void *settings)
{
	const struct idempotency_conf *c = settings;
	if (is_shared(c) && !conf_store_exists(r, c->store))
		return false;
	if (c->max_answer <= c->max_bytes)
		return true;
	conf_complain_key(r, "max_answer", "'max_answer' is larger than 'max_size'");
	return false;
}

static const struct conf_block idempotency_block = {
	.name = "idempotency", .keys = idempotency_keys, .size = sizeof(struct idempotency_conf), .levels = CONF_DEFAULTS | CONF_ROUTE,
	.optional = true, .check = idempotency_check, .help = "a request with an Idempotency-Key runs once, and is answered the same again",
};

/* ── the door ── */

static void count(struct idempotency *d, enum idem_result r) { __atomic_fetch_add(&d->core->results[r], 1, __ATOMIC_RELAXED); }

static struct policy *idempotency_open(const void *settings, const struct policy_env *env)
{
	struct idempotency *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &idempotency_policy;
	d->conf = *(const struct idempotency_conf *)settings;
	d->shared = env->shared;
	d->worker = env->worker;
	d->route = env->route->name;
	list_init(&d->loose);
	d->store = is_shared(&d->conf) ? store_named(env->stores, env->store_count, d->conf.store) : NULL;
	d->core = shared_take(env->shared, &idempotency_kind, env->route->name, settings);
	if (d->core && (d->crossing = crossing_take(&d->core->crossings, &d->core->lock, env, d->core, idem_memory_deliver)))
		return &d->base;
	if (d->core)
		shared_give(d->shared, d->core);
	free(d);
	return NULL;
}

static void idempotency_close(struct policy *p)
{
	struct idempotency *d = (struct idempotency *)p;
	idem_remote_close(d);
	crossing_give(d->crossing);
	shared_give(d->shared, d->core);
	free(d);
}

static bool idempotency_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return route->upstream && present;
}

/* ── a kept answer ── */

static bool replay_now(struct slot *slot)
{
	slot->replays = true;
	return reading_start(&slot->reading, slot->ex, slot->capture) && reading_feed(&slot->reading);
}

/* Who is still sending hears the answer when he is done: many clients do not listen before, and would lose it with the connection. Who asks whether
 * to send at all (Expect: 100-continue) need not. */
static void *replay_start(void *self, struct exchange *ex)
{
	struct slot *slot = self;
	bool sends = ex->request.framing != BODY_NONE && !(ex->request.expect_continue && !ex->request_body.total);
	ex->served_by = SERVED_BY_cache;
	return sends || replay_now(slot) ? slot : NULL;
}

static void replay_body(void *call, struct slice bytes, bool end)
{
	struct slot *slot = call;
	if (bytes.len && !end)
		exchange_request_taken(slot->ex, bytes.len);      /* it is known already */
	if (end && !slot->replays)
		replay_now(slot);
}

static void replay_want(void *call, size_t n)
{
	struct slot *slot = call;
	(void)n;
	if (slot->replays)
		reading_feed(&slot->reading);
}

static void replay_cancel(void *call) { ((struct slot *)call)->reading.over = true; }

static const struct upstream_ops replay_ops = { .start = replay_start, .body = replay_body, .want = replay_want, .cancel = replay_cancel };

enum answer idem_replay(struct slot *slot, struct capture *c)
{
	if (!c)
		return idem_refuse_lost(slot);
	count(slot->door, slot->waited ? RESULT_waited : RESULT_replayed);
	if (slot->dry_run) {
		capture_unref(c);
		return PASS;
	}
	slot->capture = c;
	exchange_add_reply_field(slot->ex, SPAN("idempotency-replayed"), SPAN("true"));
	exchange_divert(slot->ex, &replay_ops, slot);
	return PASS;
}

enum answer idem_refuse(struct slot *slot, enum idem_result result, enum reason why, unsigned retry_after_s, const char *detail)
{
	count(slot->door, result);
	return exchange_turn_away(slot->ex, slot->dry_run, why, retry_after_s, detail);
}

enum answer idem_refuse_lost(struct slot *slot)
{
	return idem_refuse(slot, RESULT_conflict, REASON_idempotency_conflict, 0,
		"The request of this Idempotency-Key has run, but its answer could not be kept: it was too long, or broke off.");
}

enum answer idem_running(struct slot *slot)
{
	if (slot->door->conf.in_flight == IN_FLIGHT_CONFLICT)
		return idem_refuse(slot, RESULT_conflict, REASON_idempotency_conflict, 1, NULL);
	if (!slot->dry_run)
		return LATER;
	count(slot->door, RESULT_waited);
	return PASS;
}

enum answer idem_begin(struct slot *slot, struct idem_run *run)
{
	slot->run = run;
	run->slot = slot;
	run->max_answer = slot->door->conf.max_answer;
	count(slot->door, RESULT_first);
	idem_run_begin(run, slot->ex);
	return PASS;
}

/* ── what is this one? ── */

static enum answer decide(struct slot *slot)
{
	if (!idem_key_fingerprint(slot->ex, slot->door->conf.fingerprint, slot->fingerprint))
		return exchange_turn_away(slot->ex, false, REASON_internal_error, 0, NULL);
	return slot->door->store ? idem_remote_claim(slot) : idem_memory_claim(slot);
}

static void body_is_here(struct exchange *ex, void *slot)
{
	(void)ex;
	idem_answer_slot(slot, decide(slot));
}

static bool is_looked_at(const struct idempotency *d, const struct exchange *ex)
{
	for (unsigned i = 0; i < d->conf.methods.count; i++)
		if (span_eq(d->conf.methods.at[i], ex->request.method_text))
			return !ex->spawned && !ex->request.upgrade.len;
	return false;
}

static enum answer gather(struct slot *slot)
{
	struct exchange *ex = slot->ex;
	if (ex->request.framing == BODY_NONE || exchange_await_body(ex, slot->door->conf.fingerprint, body_is_here, slot))
		return decide(slot);
	if (ex->request.expect_continue && !ex->request_body.total)
		exchange_upstream_informational(ex, &(struct reply){ .status = 100, .minor = 1 });
	return LATER;
}

static enum answer idempotency_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct idempotency *d = (struct idempotency *)p;
	struct slot *slot = memory;
	struct idem_key key;

	if (!is_looked_at(d, ex))
		return PASS;
	slot->door = d;
	slot->ex = ex;
	slot->dry_run = exchange_dry_run(ex, &d->conf.dry_run);
	link_init(&slot->link);
	switch (idem_key_read(&ex->request.fields, &key)) {
	case IDEM_KEY_NONE:
		return d->conf.required ? exchange_turn_away(ex, slot->dry_run, REASON_idempotency_missing, 0, NULL) : PASS;
	case IDEM_KEY_BAD:
		return exchange_turn_away(ex, slot->dry_run, REASON_idempotency_missing, 0,
			"The Idempotency-Key is not one string, or word, of 1 to 255 printable characters.");
	case IDEM_KEY_FOUND:
		break;
	}
	if (idem_key_scope(&key, ex, slot->key))
		return gather(slot);
	return exchange_turn_away(ex, false, REASON_internal_error, 0, NULL);
}

static enum answer idempotency_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct slot *slot = memory;
	(void)p; (void)ex;
	if (slot->run)
		idem_run_judge(slot->run);
	return PASS;
}

static void idempotency_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct slot *slot = memory;
	(void)p;
	if (!slot->ex)
		return;
	exchange_await_body(ex, 0, NULL, NULL);
	idem_memory_leave(slot);
	idem_remote_leave(slot);
	slot->reading.over = true;
	capture_unref(slot->capture);
	slot->capture = NULL;
	if (slot->run)
		idem_run_leave(slot->run, how);
	slot->run = NULL;
}

const struct policy_type idempotency_policy = {
	.name = "idempotency", .block = &idempotency_block, .wanted = idempotency_wanted, .slot_size = sizeof(struct slot), .open = idempotency_open,
	.close = idempotency_close, .admit = idempotency_admit, .judge = idempotency_judge, .settle = idempotency_settle,
};
