/* coalesce.c - many equal requests at a time, one to the upstream (behaviour §4). Which are equal, and how it is seen; the rest is flight.c's.
 *
 * Equal: GET or HEAD without body, Range or Upgrade, with the same key; and without credentials or cookies, unless `include_identity` says how to
 * tell whose they are: then a digest of that stands in the key. What answers vary with joins the key in members.c. Conditional requests are
 * answered each for itself.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "flight.h"
#include "policy/registry.h"
#include "rate_key.h"
#include "vary.h"

enum { FLIGHTS_MAX = 1000000 };

struct coalesce_conf {
	uint64_t max_waiters, wait_timeout_us, buffer;
	struct conf_texts key;
	struct rate_key identity;             /* count 0: requests with credentials are never equal */
	struct conf_dry_run dry_run;
};

static bool read_part(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (field_name_is_token(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is neither method, host, target nor the name of a request field", SPAN_ARG(text));
	return false;
}

static bool read_identity(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	return rate_key_read(r, field, text, index);
}

#define CONF struct coalesce_conf
static const struct conf_key coalesce_keys[] = {
	CONF_COUNT(CONF, "max_waiters", max_waiters, "1000", "1", "1000000", "more of them are answered 503 coalesce_full"),
	CONF_DURATION(CONF, "wait_timeout", wait_timeout_us, "2s", "1ms", "1h", "who has waited so long for the head goes on its own"),
	CONF_SIZE(CONF, "buffer", buffer, "1MiB", "4KiB", "1GiB", "of a reply's body is kept for those who read slowly, or join late"),
	CONF_ROW(CONF, "key", key, CONF_T_TEXTS, .preset = "[method, host, target, accept, accept-encoding]", .read = read_part,
		.help = "what makes two requests equal: method, host, target, or names of request fields; Vary adds to it"),
	CONF_ROW(CONF, "include_identity", identity, CONF_T_CUSTOM, .read = read_identity, .example = "header:authorization",
		.help = "requests with credentials are equal too when these are: header:NAME, cookie:NAME, jwt:CLAIM, or a list of them"),
	CONF_DRY_RUN(CONF, "count what max_waiters would have refused, and let it pass alone"),
	CONF_END
};
#undef CONF
static bool coalesce_check(struct conf_reading *r, void *settings)
{
	return rate_key_check(r, &((const struct coalesce_conf *)settings)->identity, "include_identity");
}

static const struct conf_block coalesce_block = {
	.name = "coalesce", .keys = coalesce_keys, .size = sizeof(struct coalesce_conf), .levels = CONF_DEFAULTS | CONF_ROUTE, .optional = true,
	.check = coalesce_check, .help = "one upstream request for many equal ones",
};

/* ── one per route and process ── */

static bool core_init(void *memory, const void *with)
{
	struct coalesce_core *core = memory;
	(void)with;
	map_init(&core->flights, FLIGHTS_MAX, (uint64_t)(uintptr_t)memory);
	list_init(&core->crossings);
	list_init(&core->callbacks);
	return pthread_mutex_init(&core->lock, NULL) == 0;
}

static void core_fini(void *memory)
{
	struct coalesce_core *core = memory;
	map_fini(&core->flights);
	known_fini(&core->varying);
	pthread_mutex_destroy(&core->lock);
}

static void read_requests(void *memory, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		COALESCE_RESULTS(X)
#undef X
	};
	struct coalesce_core *core = memory;
	(void)now_us;
	for (unsigned r = 0; r < COALESCE_RESULT_COUNT; r++) {
		const struct label leader[] = { { "role", SPAN("leader") }, { "result", span_of(words[r]) } };
		const struct label follower[] = { { "role", SPAN("follower") }, { "result", span_of(words[r]) } };
		out->real(out, leader, 2, (double)__atomic_load_n(&core->led[r], __ATOMIC_RELAXED));
		out->real(out, follower, 2, (double)__atomic_load_n(&core->followed[r], __ATOMIC_RELAXED));
	}
}

static uint64_t flights(struct coalesce_core *core)
{
	pthread_mutex_lock(&core->lock);
	uint64_t n = core->in_flight;
	pthread_mutex_unlock(&core->lock);
	return n;
}

static void read_flights(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)flights(core));
}

static const struct core_series series[] = {
	{ "outrigger_coalesced_requests_total", "counter", "Requests by their part in a shared one, and how that ended for them.", read_requests },
	{ "outrigger_coalesce_flights", "gauge", "Shared requests on their way.", read_flights },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	(void)now_us;
	json_u64(j, "flights", flights(core));
	json_u64(j, "shared", __atomic_load_n(&((struct coalesce_core *)core)->followed[COALESCE_shared], __ATOMIC_RELAXED));
}

static const struct core_kind coalesce_kind = {
	.name = "coalesce", .label = "route", .size = sizeof(struct coalesce_core), .init = core_init, .fini = core_fini, .series = series,
	.state = state_json,
};

/* ── the door ── */

struct coalesce {
	struct policy  base;
	struct coalesce_conf conf;
	struct flight_limits limits;
	struct shared *shared;
	struct coalesce_core *core;
	struct crossing *crossing, *callback;
};
struct coalesce_slot { struct member member; struct coalesce *door; };

static struct policy *coalesce_open(const void *settings, const struct policy_env *env)
{
	struct coalesce *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->base.type = &coalesce_policy;
	d->conf = *(const struct coalesce_conf *)settings;
	d->limits = (struct flight_limits){ d->conf.max_waiters + 1, d->conf.buffer, &d->conf.key };
	d->shared = env->shared;
	d->core = shared_take(env->shared, &coalesce_kind, env->route->name, settings);
	if (d->core) {
		d->crossing = crossing_take(&d->core->crossings, &d->core->lock, env, d->core, flight_tell_members);
		d->callback = crossing_take(&d->core->callbacks, &d->core->lock, env, d->core, flight_call_back);
	}
	if (d->crossing && d->callback)
		return &d->base;
	if (d->crossing)
		crossing_give(d->crossing);
	if (d->callback)
		crossing_give(d->callback);
	if (d->core)
		shared_give(d->shared, d->core);
	free(d);
	return NULL;
}

static void coalesce_close(struct policy *p)
{
	struct coalesce *d = (struct coalesce *)p;
	crossing_give(d->crossing);
	crossing_give(d->callback);
	shared_give(d->shared, d->core);
	free(d);
}

static bool coalesce_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings;
	return route->upstream && present;
}

static const unsigned char nobody[RATE_KEY_DIGEST];

/* Does the identity see this credential? */
static bool covers(const struct rate_key *identity, enum field_id id)
{
	for (unsigned i = 0; i < identity->count; i++) {
		const struct request_key *of = &identity->part[i].of;
		if (identity->part[i].kind == RATE_KEY_CLAIM && id == FIELD_AUTHORIZATION)
			return true;
		if (identity->part[i].kind != RATE_KEY_REQUEST)
			continue;
		if (of->kind == REQUEST_KEY_HEADER && span_eq_nocase(of->name, span_of(field_id_name(id))))
			return true;
		if (of->kind == REQUEST_KEY_COOKIE && id == FIELD_COOKIE)
			return true;
	}
	return false;
}

/* Whose request it is, in `who`; all zeros: nobody's. false: it has credentials, and whose they are cannot be told. */
static bool identify(const struct rate_key *identity, const struct exchange *ex, unsigned char who[RATE_KEY_DIGEST])
{
	static const enum field_id credentials[] = { FIELD_AUTHORIZATION, FIELD_COOKIE };
	bool known = true, personal = false;
	memset(who, 0, RATE_KEY_DIGEST);
	for (unsigned i = 0; i < 2; i++)
		if (fields_have(&ex->request.fields, credentials[i])) {
			personal = true;
			known &= covers(identity, credentials[i]);
		}
	if (identity->count)
		rate_key_digest(identity, ex, who);
	return known && (!personal || memcmp(who, nobody, RATE_KEY_DIGEST) != 0);
}

static bool is_eligible(const struct exchange *ex)
{
	const struct fields *f = &ex->request.fields;
	const struct request *r = &ex->request;
	if ((r->method != METHOD_GET && r->method != METHOD_HEAD) || r->framing != BODY_NONE || r->upgrade.len || ex->spawned)
		return false;
	if (fields_have(f, FIELD_RANGE))
		return false;
	for (unsigned i = 0; i < f->count; i++) {
		struct span rest = f->at[i].value, one;
		while (f->at[i].id == FIELD_CACHE_CONTROL && span_next(&rest, ',', &one))
			if (span_eq_nocase(one, SPAN("no-store")))
				return false;
	}
	return true;
}

/* Parts are told apart by a byte that stands in none of them. false: it became too long. */
static bool make_key(const struct coalesce_conf *c, const struct exchange *ex, const unsigned char who[RATE_KEY_DIGEST], struct text *out)
{
	char hex[2 * RATE_KEY_DIGEST];
	digest_hex(who, RATE_KEY_DIGEST, hex);
	text_add(out, (struct span){ hex, c->identity.count ? sizeof(hex) : 0 });

	for (unsigned i = 0; i < c->key.count; i++) {
		struct span part = c->key.at[i];
		if (span_eq(part, SPAN("method")))
			text_add(out, ex->request.method_text);
		else if (span_eq(part, SPAN("host")))
			text_add(out, ex->request.authority);
		else if (span_eq(part, SPAN("target")))
			text_add(out, ex->request.target);
		else
			vary_add_values(out, part, ex);
		text_char(out, '\n');
	}
	text_add(out, ex->request.told);
	text_char(out, '\n');
	text_add(out, ex->route->upstream->name);         /* of a split: what one version answers is not the other's answer */
	text_char(out, '\n');
	return !out->cut;
}

static void waited_too_long(struct timer *t)
{
	struct coalesce_slot *slot = container_of(container_of(t, struct member, patience), struct coalesce_slot, member);
	if (flight_tires(slot->door->core, &slot->member))
		exchange_answer(slot->member.ex, PASS);
}

static bool behind_cache(const struct route *r)
{
	for (unsigned i = 0; i < r->depth && r->chain[i]->type != &coalesce_policy; i++)
		if (r->chain[i]->type == &cache_policy)
			return true;
	return false;
}

/* Looks for a flight and joins it. LATER: it waits there. */
static enum answer join(struct coalesce *d, struct member *m)
{
	struct exchange *ex = m->ex;
	char key_memory[FLIGHT_KEY_MAX];
	unsigned char who[RATE_KEY_DIGEST];
	struct text key;

	if (!identify(&d->conf.identity, ex, who))
		return PASS;
	text_over(&key, key_memory, sizeof(key_memory));
	if (!make_key(&d->conf, ex, who, &key))
		return PASS;
	switch (flight_join(d->core, &d->limits, &key, m)) {
	case JOINED_FULL:
		return exchange_turn_away(ex, exchange_dry_run(ex, &d->conf.dry_run), REASON_coalesce_full, 1, NULL);
	case JOINED_NONE:
	case JOINED_READ:
		return PASS;
	case JOINED_WAIT:
		break;
	}
	return LATER;
}

/* The answer that it waited for is another variant than its own. Its patience is one for all rounds. */
static void join_again(struct member *m)
{
	struct coalesce *d = container_of(m, struct coalesce_slot, member)->door;
	enum answer answer = PASS;
	if (!timer_armed(&m->patience))
		member_note(d->core, m, COALESCE_timeout);
	else if (m->rounds++ == FLIGHT_ROUNDS)
		member_note(d->core, m, COALESCE_private);
	else
		answer = join(d, m);
	if (answer == LATER)
		return;
	worker_disarm(m->ex->worker, &m->patience);
	exchange_answer(m->ex, answer);
}

static enum answer coalesce_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct coalesce *d = (struct coalesce *)p;
	struct coalesce_slot *slot = memory;

	if (!is_eligible(ex))
		return PASS;
	slot->door = d;
	slot->member.ex = ex;
	slot->member.slot = slot;
	slot->member.crossing = d->crossing;
	slot->member.callback = d->callback;
	slot->member.told = behind_cache(ex->route);
	slot->member.again = join_again;
	enum answer answer = join(d, &slot->member);
	if (answer == LATER)
		worker_arm(ex->worker, &slot->member.patience, d->conf.wait_timeout_us, waited_too_long);
	return answer;
}

static void coalesce_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	const struct coalesce *d = (const struct coalesce *)p;
	struct coalesce_slot *slot = memory;
	uint64_t waited_us = ex->worker->now_us - ex->timing.start_us;
	bool timed_out = how == END_CUT && ex->cut_by == REASON_deadline_exceeded && ex->patience_us && waited_us >= ex->patience_us / 10 * 9;

	worker_disarm(ex->worker, &slot->member.patience);
	if (slot->member.ex)
		flight_leave(d->core, &slot->member, timed_out);
}

const struct policy_type coalesce_policy = {
	.name = "coalesce", .block = &coalesce_block, .wanted = coalesce_wanted, .slot_size = sizeof(struct coalesce_slot), .open = coalesce_open,
	.close = coalesce_close, .admit = coalesce_admit, .settle = coalesce_settle,
};
