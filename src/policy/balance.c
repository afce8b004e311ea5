/* balance.c - which endpoint gets this try.
 *
 * least_requests: two endpoints drawn at random by weight, the one with fewer requests per weight wins (the power of two choices,
 * Mitzenmacher 2001). ewma: of two, the one with less latency times requests (ewma.h). ring_hash: each key has its endpoint, and while that is
 * too busy, or out, the next one on the ring (ring.h); requests without the key go as by least_requests.
 *
 * Endpoints that are ejected or unhealthy are left out, and those that have failed this very request come last.
 * Fewer than half healthy by active checks: the checks are not believed and all are used (panic).
 */
#include <limits.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/exchange.h"
#include "ewma.h"
#include "policy/registry.h"
#include "rate_key.h"
#include "ring.h"

enum balance_how { LEAST_REQUESTS, ROUND_ROBIN, RANDOM, EWMA, RING_HASH };
static const char *const balance_words[] = { "least_requests", "round_robin", "random", "ewma", "ring_hash", NULL };

struct balance_conf { unsigned how; struct rate_key key; };

static bool read_key(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	return rate_key_read(r, field, text, index);
}

static const struct conf_key balance_keys[] = {
	CONF_WORD(struct balance_conf, "balance", how, balance_words, "least_requests",
		"least_requests (of two drawn at random), round_robin (weighted, smooth), random, "
		"ewma (of two, the one with less latency x requests), ring_hash (the same hash_key to the same endpoint)"),
	CONF_CUSTOM(struct balance_conf, "hash_key", key, read_key, "client_ip",
		"for ring_hash: client_ip, header:NAME, cookie:NAME, jwt:CLAIM, route, or a list; "
		"an endpoint keeps its keys unless a quarter busier than its share"),
	CONF_END
};
static bool balance_check(struct conf_reading *r, void *settings)
{
	return rate_key_check(r, &((const struct balance_conf *)settings)->key, "hash_key");
}

static const struct conf_block balance_block = {
	.keys = balance_keys, .size = sizeof(struct balance_conf), .levels = CONF_DEFAULTS | CONF_UPSTREAM, .check = balance_check,
	.help = "which endpoint gets the next try",
};

struct balance {
	struct policy        base;
	struct balance_conf  conf;
	struct upstream     *upstream;
	struct endpoint_set *set;             /* our reference */
	uint64_t             generation;
	int64_t             *turn;            /* round_robin: smooth weights, [set->count] */
	struct ring          ring;            /* ring_hash; without points: there was no memory */
};
struct balance_slot { bool inside, judged; uint64_t since_us; };

static bool balance_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings; (void)present;
	return route->upstream != NULL;
}

static void build_ring(struct balance *b)
{
	struct ring_member *members = calloc(b->set->count + 1, sizeof(*members));
	ring_fini(&b->ring);
	for (unsigned i = 0; members && i < b->set->count; i++)
		members[i] = (struct ring_member){ b->set->at[i]->name, b->set->at[i]->weight };
	if (!members || !ring_build(&b->ring, members, b->set->count))
		log_event(LOG_ERROR, "out_of_memory", "what", "ring_hash", NULL);      /* it goes on as by least_requests */
	free(members);
}

static void take_set(struct balance *b)
{
	b->generation = __atomic_load_n(&b->upstream->generation, __ATOMIC_ACQUIRE);
	endpoint_set_unref(b->set);
	b->set = upstream_endpoints(b->upstream);
	free(b->turn);
	b->turn = b->conf.how == ROUND_ROBIN ? calloc(b->set->count + 1, sizeof(*b->turn)) : NULL;
	if (b->conf.how == RING_HASH)
		build_ring(b);
}

static struct policy *balance_open(const void *settings, const struct policy_env *env)
{
	struct balance *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->base.type = &balance_policy;
	b->conf = *(const struct balance_conf *)settings;
	b->upstream = upstream_ref(env->upstream);
	take_set(b);
	return &b->base;
}

static void balance_close(struct policy *p)
{
	struct balance *b = (struct balance *)p;
	endpoint_set_unref(b->set);
	ring_fini(&b->ring);
	upstream_unref(b->upstream);
	free(b->turn);
	free(b);
}

static bool failed_before(const struct exchange *ex, const struct endpoint *e)
{
	for (unsigned i = 0; i < ex->tried_count; i++)
		if (ex->tried[i].endpoint_id == e->id)
			return true;
	return false;
}

/* Who may be asked, from best to worst; the first level with anybody in it is used. */
enum standard { FRESH_AND_GOOD, GOOD, ANY };

struct view { const struct exchange *ex; const struct endpoint_set *set; bool panic; enum standard standard; };

static bool fits(const struct view *v, const struct endpoint *e)
{
	if (v->standard == ANY)
		return true;
	if (endpoint_is_ejected(e, v->ex->worker->now_us) || (!v->panic && endpoint_is_unhealthy(e)))
		return false;
	return v->standard == GOOD || !failed_before(v->ex, e);
}

static uint64_t weight_of_all(struct view *v)
{
	uint64_t total = 0;
	for (v->standard = FRESH_AND_GOOD; ; v->standard++) {
		for (unsigned i = 0; i < v->set->count; i++)
			total += fits(v, v->set->at[i]) ? v->set->at[i]->weight : 0;
		if (total || v->standard == ANY)
			return total;
	}
}

static struct endpoint *at_weight(const struct view *v, uint64_t where)
{
	for (unsigned i = 0; i < v->set->count; i++) {
		if (!fits(v, v->set->at[i]))
			continue;
		if (where < v->set->at[i]->weight)
			return v->set->at[i];
		where -= v->set->at[i]->weight;
	}
	return v->set->at[0];
}

static uint64_t busy(const struct endpoint *e) { return __atomic_load_n(&e->in_flight, __ATOMIC_RELAXED); }

static struct endpoint *less_busy(struct endpoint *a, struct endpoint *b)
{
	uint64_t in_a = busy(a) + 1, in_b = busy(b) + 1;
	return in_b * a->weight < in_a * b->weight ? b : a;
}

/* ── ewma ── */

static struct ewma latency_of(const struct endpoint *e)
{
	return (struct ewma){ __atomic_load_n(&e->latency_ns, __ATOMIC_RELAXED), __atomic_load_n(&e->latency_at_us, __ATOMIC_RELAXED) };
}

static void set_latency(struct endpoint *e, struct ewma latency)
{
	__atomic_store_n(&e->latency_ns, latency.ns, __ATOMIC_RELAXED);
	__atomic_store_n(&e->latency_at_us, latency.at_us, __ATOMIC_RELAXED);
}

static struct endpoint *less_costly(struct endpoint *a, struct endpoint *b, uint64_t now_us)
{
	double cost_a = ewma_cost(latency_of(a), now_us, busy(a), a->weight), cost_b = ewma_cost(latency_of(b), now_us, busy(b), b->weight);
	return cost_b < cost_a ? b : a;
}

/* ── ring_hash ── */

struct seat { const struct view *view; uint64_t busy, weight; };      /* of all that fit */

static bool has_seat(const void *self, unsigned who)
{
	const struct seat *s = self;
	const struct endpoint *e = s->view->set->at[who];
	return fits(s->view, e) && ring_has_room(busy(e), e->weight, s->busy, s->weight);
}

static bool is_seat(const void *self, unsigned who)
{
	const struct view *v = ((const struct seat *)self)->view;
	return fits(v, v->set->at[who]);
}

/* NULL: this request has no key. */
static struct endpoint *by_key(const struct balance *b, const struct view *v, uint64_t total)
{
	struct seat seat = { v, 0, total };
	struct bucket_key key;
	if (!b->ring.count || !rate_key_of(&b->conf.key, v->ex, 0, &key))
		return NULL;
	for (unsigned i = 0; i < v->set->count; i++)
		seat.busy += fits(v, v->set->at[i]) ? busy(v->set->at[i]) : 0;
	unsigned who = ring_find(&b->ring, key.high, has_seat, &seat);
	if (who == UINT_MAX)                      /* other workers were quicker: all are full at this very moment */
		who = ring_find(&b->ring, key.high, is_seat, &seat);
	return who == UINT_MAX ? NULL : v->set->at[who];
}

/* ── the choice ── */

/* Smooth weighted round robin (as nginx has it): everybody gains its weight, the richest is taken and pays the total. */
static struct endpoint *next_in_turn(struct balance *b, const struct view *v, uint64_t total)
{
	unsigned best = v->set->count;
	for (unsigned i = 0; i < v->set->count; i++) {
		if (!fits(v, v->set->at[i]))
			continue;
		b->turn[i] += (int64_t)v->set->at[i]->weight;
		if (best == v->set->count || b->turn[i] > b->turn[best])
			best = i;
	}
	b->turn[best] -= (int64_t)total;
	return v->set->at[best];
}

static bool is_panic(const struct endpoint_set *set)
{
	unsigned healthy = 0;
	for (unsigned i = 0; i < set->count; i++)
		healthy += !endpoint_is_unhealthy(set->at[i]);
	return healthy * 2 < set->count;
}

static struct endpoint *pick(struct balance *b, struct exchange *ex)
{
	struct view v = { ex, b->set, is_panic(b->set), FRESH_AND_GOOD };
	if (b->set->count == 1)
		return b->set->at[0];
	uint64_t total = weight_of_all(&v);
	if (b->turn)
		return next_in_turn(b, &v, total);
	if (b->conf.how == RING_HASH) {
		struct endpoint *its = by_key(b, &v, total);
		if (its)
			return its;
	}
	struct endpoint *first = at_weight(&v, rand_below(&ex->worker->rand, total));
	if (b->conf.how == RANDOM || total == first->weight)
		return first;
	/* the second is drawn from the others: by weight, skipping the first */
	struct endpoint *second = first;
	for (unsigned tries = 0; second == first && tries < 8; tries++)
		second = at_weight(&v, rand_below(&ex->worker->rand, total));
	return b->conf.how == EWMA ? less_costly(first, second, ex->worker->now_us) : less_busy(first, second);
}

static enum answer balance_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct balance *b = (struct balance *)p;

	if (__atomic_load_n(&b->upstream->generation, __ATOMIC_RELAXED) != b->generation)
		take_set(b);
	if (b->set->count == 0) {
		exchange_refuse(ex, b->upstream->conf->discovery == CONF_STATIC ? REASON_no_healthy_endpoint : REASON_dns_error, 1, NULL);
		return TURN;
	}
	struct endpoint *e = pick(b, ex);
	if (e != ex->endpoint) {
		if (ex->endpoint)
			endpoint_unref(ex->endpoint);
		ex->endpoint = endpoint_ref(e);
	}
	__atomic_fetch_add(&e->in_flight, 1, __ATOMIC_RELAXED);
	*(struct balance_slot *)memory = (struct balance_slot){ .inside = true, .since_us = ex->worker->now_us };
	return PASS;
}

/* The head of an answer, or a failure. What counts as one is as in outlier.c: what the endpoint did to us. */
static enum answer balance_judge(struct policy *p, struct exchange *ex, void *memory)
{
	const struct balance *b = (const struct balance *)p;
	struct balance_slot *slot = memory;
	uint64_t now = ex->worker->now_us, took = now - slot->since_us;
	int status = ex->reply.status;

	if (b->conf.how != EWMA || !slot->inside || slot->judged || ex->local || (!status && ex->failure == REASON_internal_error))
		return PASS;
	slot->judged = true;
	bool failed = status == 0 || (status >= 502 && status <= 504);
	set_latency(ex->endpoint, (failed ? ewma_failed : ewma_answered)(latency_of(ex->endpoint), now, took));
	return PASS;
}

static void balance_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	const struct balance *b = (const struct balance *)p;
	const struct balance_slot *slot = memory;
	uint64_t now = ex->worker->now_us;
	(void)how;
	if (!slot->inside)
		return;
	__atomic_fetch_sub(&ex->endpoint->in_flight, 1, __ATOMIC_RELAXED);
	if (b->conf.how == EWMA && !slot->judged)         /* the client, or somebody's patience, has gone before there was an answer */
		set_latency(ex->endpoint, ewma_unanswered(latency_of(ex->endpoint), now, now - slot->since_us));
}

const struct policy_type balance_policy = {
	.name = "balance", .block = &balance_block, .wanted = balance_wanted, .per_try = true, .slot_size = sizeof(struct balance_slot),
	.open = balance_open, .close = balance_close, .admit = balance_admit, .judge = balance_judge, .settle = balance_settle,
};
