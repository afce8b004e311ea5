/* idempotency.c - a request with an Idempotency-Key runs once; whoever repeats it gets the same answer (behaviour §13). Settings, and the door.
 *
 *   gather the body ──▶ claim ──▶ first: it runs (idem_run.h)
 *                             ├──▶ running: wait for its end, or 409
 *                             ├──▶ done: the kept answer
 *                             └──▶ of another request: 422
 *
 * Keys belong to a route and a credential. `store: memory` is exact for the process (idem_table.h).
 */
#include <pthread.h>
#include <stdlib.h>

#include "core/shared.h"
#include "crossing.h"
#include "idem_run.h"
#include "idem_table.h"
#include "policy/registry.h"

enum { IN_FLIGHT_WAIT, IN_FLIGHT_CONFLICT };

struct idempotency_conf {
	uint64_t ttl_us, max_keys, max_bytes, max_answer, fingerprint;
	struct span store;
	struct conf_texts methods;
	unsigned in_flight;
	bool     required;
};

#define CONF struct idempotency_conf
static const char *const in_flights[] = { "wait", "conflict", NULL };
static const struct conf_key idempotency_keys[] = {
	CONF_DURATION(CONF, "ttl", ttl_us, "24h", "1s", "30d", "so long an answer is kept; a repetition does not prolong it"),
	CONF_TEXT(CONF, "store", store, "memory", "memory: of this process"),
	CONF_WORD(CONF, "in_flight", in_flight, in_flights, "wait",
		"while the first still runs, a repetition waits for its answer, or is refused (409)"),
	CONF_BOOL(CONF, "required", required, "false", "requests without a key are refused (400)"),
	CONF_TEXTS(CONF, "methods", methods, "[POST, PATCH]", "methods whose keys are looked at"),
	CONF_SIZE(CONF, "fingerprint", fingerprint, "64KiB", "0B", "64KiB",
		"of the body that is compared; of larger ones this much, and the length where it was told"),
	CONF_SIZE(CONF, "max_answer", max_answer, "1MiB", "1KiB", "8MiB",
		"a longer answer is passed on, but not kept: then a repetition is refused (409)"),
	CONF_COUNT(CONF, "max_keys", max_keys, "100000", "1", "100000000", "in memory; beyond it the longest unused answer is forgotten"),
	CONF_SIZE(CONF, "max_size", max_bytes, "64MiB", "64KiB", "64GiB", "of all answers in memory; beyond it the longest unused is forgotten"),
	CONF_END
};
#undef CONF

static bool idempotency_check(struct conf_reading *r, void *settings)
{
	const struct idempotency_conf *c = settings;
	if (!span_eq(c->store, SPAN("memory"))) {
		conf_complain(r, c->store, "'" SPAN_FMT "' is no store; allowed: memory", SPAN_ARG(c->store));
		return false;
	}
	if (c->max_answer <= c->max_bytes)
		return true;
	conf_complain_key(r, "max_answer", "'max_answer' is larger than 'max_size'");
	return false;
}

static const struct conf_block idempotency_block = {
	.name = "idempotency", .keys = idempotency_keys, .size = sizeof(struct idempotency_conf), .levels = CONF_DEFAULTS | CONF_ROUTE,
	.optional = true, .check = idempotency_check, .help = "a request with an Idempotency-Key runs once, and is answered the same again",
};

/* ── one per route and process ── */

#define IDEM_RESULTS(X) X(first) X(replayed) X(waited) X(conflict) X(mismatch)
enum idem_result {
#define X(word) RESULT_##word,
	IDEM_RESULTS(X)
#undef X
	RESULT_COUNT
};

struct idempotency_core {
	pthread_mutex_t    lock;
	struct idem_table  table;
	struct idem_limits limits;            /* of the newest configuration */
	struct list        crossings;
	uint64_t           results[RESULT_COUNT];
};

static struct idem_limits limits_of(const struct idempotency_conf *c) { return (struct idem_limits){ c->max_keys, c->max_bytes, c->ttl_us }; }

static bool core_init(void *memory, const void *with)
{
	struct idempotency_core *core = memory;
	core->limits = limits_of(with);
	idem_table_init(&core->table, (uint64_t)(uintptr_t)memory);
	list_init(&core->crossings);
	return pthread_mutex_init(&core->lock, NULL) == 0;
}

static void core_adapt(void *memory, const void *with)
{
	struct idempotency_core *core = memory;
	pthread_mutex_lock(&core->lock);
	core->limits = limits_of(with);
	pthread_mutex_unlock(&core->lock);
}

static void core_fini(void *memory)
{
	struct idempotency_core *core = memory;
	idem_table_fini(&core->table);
	pthread_mutex_destroy(&core->lock);
}

static void read_results(void *memory, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		IDEM_RESULTS(X)
#undef X
	};
	struct idempotency_core *core = memory;
	(void)now_us;
	for (unsigned i = 0; i < RESULT_COUNT; i++)
		out->real(out, &(struct label){ "result", span_of(words[i]) }, 1, (double)__atomic_load_n(&core->results[i], __ATOMIC_RELAXED));
}

struct sizes { uint64_t keys, bytes, forgotten; };
static struct sizes sizes_of(struct idempotency_core *core)
{
	pthread_mutex_lock(&core->lock);
	struct sizes s = { core->table.map.count, core->table.bytes, core->table.forgotten };
	pthread_mutex_unlock(&core->lock);
	return s;
}

static void read_keys(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).keys);
}

static void read_bytes(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).bytes);
}

static void read_forgotten(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).forgotten);
}

static const struct core_series series[] = {
	{ "outrigger_idempotency_total", "counter", "Requests with an Idempotency-Key, by what became of them.", read_results },
	{ "outrigger_idempotency_keys", "gauge", "Keys in memory, of requests that run or have run.", read_keys },
	{ "outrigger_idempotency_bytes", "gauge", "Memory of kept answers, about.", read_bytes },
	{ "outrigger_idempotency_forgotten_total", "counter", "Answers given up before their time, for room: a repetition would have run again.",
		read_forgotten },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct sizes s = sizes_of(core);
	(void)now_us;
	json_u64(j, "keys", s.keys);
	json_u64(j, "bytes", s.bytes);
	json_u64(j, "forgotten", s.forgotten);
	json_u64(j, "replayed", __atomic_load_n(&((struct idempotency_core *)core)->results[RESULT_replayed], __ATOMIC_RELAXED));
}

static const struct core_kind idempotency_kind = {
	.name = "idempotency", .label = "route", .size = sizeof(struct idempotency_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json,
};

/* ── the door ── */

struct idempotency {
	struct policy  base;
	struct idempotency_conf conf;
	struct shared *shared;
	struct idempotency_core *core;
	struct crossing *crossing;
};

enum slot_state { SLOT_NONE, SLOT_WAITING, SLOT_TOLD };   /* TOLD: by a message that has not come yet */
struct slot {
	struct link         link;             /* of an entry's waiters, or of a crossing's parcels */
	struct idempotency *door;
	struct exchange    *ex;
	struct idem_run    *run;              /* it is the first */
	struct capture     *capture;          /* counted: what is told, or read */
	struct reading      reading;
	enum slot_state     state;
	enum idem_outcome   outcome;          /* TOLD */
	bool                waited;
	unsigned char       key[IDEM_DIGEST], fingerprint[IDEM_DIGEST];
};
struct first { struct idem_run run; struct idempotency *door; struct idem_entry *entry; };

static void count(struct idempotency *d, enum idem_result r) { __atomic_fetch_add(&d->core->results[r], 1, __ATOMIC_RELAXED); }

static void deliver(struct list *parcels);

static struct policy *idempotency_open(const void *settings, const struct policy_env *env)
{
	struct idempotency *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &idempotency_policy;
	d->conf = *(const struct idempotency_conf *)settings;
	d->shared = env->shared;
	d->core = shared_take(env->shared, &idempotency_kind, env->route->name, settings);
	if (d->core && (d->crossing = crossing_take(&d->core->crossings, &d->core->lock, env, d->core, deliver)))
		return &d->base;
	if (d->core)
		shared_give(d->shared, d->core);
	free(d);
	return NULL;
}

static void idempotency_close(struct policy *p)
{
	struct idempotency *d = (struct idempotency *)p;
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

static void *replay_start(void *self, struct exchange *ex)
{
	struct slot *slot = self;
	ex->served_by = SERVED_BY_cache;
	return reading_start(&slot->reading, ex, slot->capture) && reading_feed(&slot->reading) ? slot : NULL;
}

static void replay_body(void *call, struct slice bytes, bool end)
{
	(void)end;
	if (bytes.len)
		exchange_request_taken(((struct slot *)call)->ex, bytes.len);    /* it is known already */
}

static void replay_want(void *call, size_t n)
{
	(void)n;
	reading_feed(&((struct slot *)call)->reading);
}

static void replay_cancel(void *call) { ((struct slot *)call)->reading.over = true; }

static const struct upstream_ops replay_ops = { .start = replay_start, .body = replay_body, .want = replay_want, .cancel = replay_cancel };

/* With a reference that is the slot's from here on. */
static enum answer replay(struct slot *slot, struct capture *c)
{
	slot->capture = c;
	count(slot->door, slot->waited ? RESULT_waited : RESULT_replayed);
	exchange_add_reply_field(slot->ex, SPAN("idempotency-replayed"), SPAN("true"));
	exchange_divert(slot->ex, &replay_ops, slot);
	return PASS;
}

static enum answer refuse(struct slot *slot, enum idem_result result, enum reason why, unsigned retry_after_s, const char *detail)
{
	count(slot->door, result);
	return exchange_turn_away(slot->ex, false, why, retry_after_s, detail);
}

static enum answer refuse_lost(struct slot *slot)
{
	return refuse(slot, RESULT_conflict, REASON_idempotency_conflict, 0,
		"The request of this Idempotency-Key has run, but its answer could not be kept: it was too long, or broke off.");
}

/* ── the first ── */

static void tell_waiters(struct idem_entry *e, struct capture *c, enum idem_outcome outcome)
{
	for (struct link *l; (l = list_shift(&e->waiters)); ) {
		struct slot *slot = container_of(l, struct slot, link);
		slot->state = SLOT_TOLD;
		slot->outcome = outcome;
		slot->capture = outcome == IDEM_KEEP ? capture_ref(c) : NULL;
		crossing_send(slot->door->crossing, l);
	}
}

static bool first_over(struct idem_run *run, enum idem_outcome outcome)
{
	struct first *f = container_of(run, struct first, run);
	struct idempotency_core *core = f->door->core;

	pthread_mutex_lock(&core->lock);
	tell_waiters(f->entry, run->capture, outcome);
	if (outcome == IDEM_RELEASE)
		idem_table_release(&core->table, f->entry);
	else
		idem_table_finish(&core->table, &core->limits, f->entry, outcome == IDEM_KEEP ? run->capture : NULL,
			run->worker->now_us);
	pthread_mutex_unlock(&core->lock);
	f->entry = NULL;
	return true;
}

static void first_free(struct idem_run *run) { free(container_of(run, struct first, run)); }

static enum answer run_first(struct slot *slot, struct first *f)
{
	slot->run = &f->run;
	f->run.slot = slot;
	f->run.max_answer = slot->door->conf.max_answer;
	f->run.over = first_over;
	f->run.free = first_free;
	count(slot->door, RESULT_first);
	idem_run_begin(&f->run, slot->ex);
	return PASS;
}

/* ── what is this one? ── */

static enum answer take_found(struct slot *slot, enum idem_state state, struct capture *c)
{
	switch (state) {
	case IDEM_DONE:
		return replay(slot, c);
	case IDEM_LOST:
		return refuse_lost(slot);
	case IDEM_RUNNING:
		break;
	}
	if (slot->door->conf.in_flight == IN_FLIGHT_WAIT)
		return LATER;
	return refuse(slot, RESULT_conflict, REASON_idempotency_conflict, 1, NULL);
}

static enum answer claim(struct slot *slot)
{
	struct idempotency *d = slot->door;
	struct first *f = calloc(1, sizeof(*f));
	struct idem_entry *e = NULL;
	struct capture *c = NULL;
	enum idem_state state = IDEM_RUNNING;
	enum idem_claim how = IDEM_NO_MEMORY;

	pthread_mutex_lock(&d->core->lock);
	if (f)
		how = idem_table_claim(&d->core->table, &d->core->limits, slot->key, slot->fingerprint, slot->ex->worker->now_us, &e);
	if (how == IDEM_FOUND) {
		state = e->state;
		c = state == IDEM_DONE ? capture_ref(e->capture) : NULL;
		if (state == IDEM_RUNNING && d->conf.in_flight == IN_FLIGHT_WAIT) {
			slot->state = SLOT_WAITING;
			list_append(&e->waiters, &slot->link);
		}
	}
	pthread_mutex_unlock(&d->core->lock);
	if (how == IDEM_FIRST) {
		f->door = d;
		f->entry = e;
		return run_first(slot, f);
	}
	free(f);
	switch (how) {
	case IDEM_FOUND:
		return take_found(slot, state, c);
	case IDEM_OTHER:
		return refuse(slot, RESULT_mismatch, REASON_idempotency_mismatch, 0, NULL);
	case IDEM_FULL:
		return exchange_turn_away(slot->ex, false, REASON_overloaded, 1, "Too many requests with an Idempotency-Key are running.");
	default:
		return exchange_turn_away(slot->ex, false, REASON_internal_error, 0, NULL);
	}
}

/* The one that it has waited for is over. */
static enum answer told(struct slot *slot)
{
	struct capture *c = slot->capture;
	slot->state = SLOT_NONE;
	slot->capture = NULL;
	slot->waited = true;
	switch (slot->outcome) {
	case IDEM_KEEP: return replay(slot, c);
	case IDEM_GONE: return refuse_lost(slot);
	default:        return claim(slot);
	}
}

static void answer(struct slot *slot, enum answer a)
{
	if (a != LATER)
		exchange_answer(slot->ex, a);
}

static void deliver(struct list *parcels)
{
	for (struct link *l; (l = list_shift(parcels)); ) {
		struct slot *slot = container_of(l, struct slot, link);
		answer(slot, told(slot));
	}
}

static enum answer decide(struct slot *slot)
{
	if (idem_key_fingerprint(slot->ex, slot->door->conf.fingerprint, slot->fingerprint))
		return claim(slot);
	return exchange_turn_away(slot->ex, false, REASON_internal_error, 0, NULL);
}

static void body_is_here(struct exchange *ex, void *slot)
{
	(void)ex;
	answer(slot, decide(slot));
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
	link_init(&slot->link);
	switch (idem_key_read(&ex->request.fields, &key)) {
	case IDEM_KEY_NONE:
		return d->conf.required ? exchange_turn_away(ex, false, REASON_idempotency_missing, 0, NULL) : PASS;
	case IDEM_KEY_BAD:
		return exchange_turn_away(ex, false, REASON_idempotency_missing, 0,
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
	struct idempotency *d = (struct idempotency *)p;
	struct slot *slot = memory;

	if (!slot->ex)
		return;
	exchange_await_body(ex, 0, NULL, NULL);
	pthread_mutex_lock(&d->core->lock);
	link_remove(&slot->link);
	slot->state = SLOT_NONE;
	pthread_mutex_unlock(&d->core->lock);
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
