/* balance.c - which endpoint gets this try.
 *
 * least_requests: two endpoints drawn at random by weight, the one with fewer requests per weight wins (the power of two choices,
 * Mitzenmacher 2001). Endpoints that are ejected or unhealthy are left out, and those that have failed this very request come last.
 * Fewer than half healthy by active checks: the checks are not believed and all are used (panic).
 */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"

enum balance_how { LEAST_REQUESTS, ROUND_ROBIN, RANDOM };
static const char *const balance_words[] = { "least_requests", "round_robin", "random", NULL };

struct balance_conf { unsigned how; };
static const struct conf_key balance_keys[] = {
	CONF_WORD(struct balance_conf, "balance", how, balance_words, "least_requests",
		"least_requests (of two drawn at random), round_robin (weighted, smooth), random"),
	CONF_END
};
static const struct conf_block balance_block = {
	.keys = balance_keys, .size = sizeof(struct balance_conf), .levels = CONF_DEFAULTS | CONF_UPSTREAM,
	.help = "which endpoint gets the next try",
};

struct balance {
	struct policy        base;
	struct balance_conf  conf;
	struct upstream     *upstream;
	struct endpoint_set *set;             /* our reference */
	uint64_t             generation;
	int64_t             *turn;            /* round_robin: smooth weights, [set->count] */
};
struct balance_slot { bool inside; };

static bool balance_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings; (void)present;
	return route->upstream != NULL;
}

static void take_set(struct balance *b)
{
	b->generation = __atomic_load_n(&b->upstream->generation, __ATOMIC_ACQUIRE);
	endpoint_set_unref(b->set);
	b->set = upstream_endpoints(b->upstream);
	free(b->turn);
	b->turn = b->conf.how == ROUND_ROBIN ? calloc(b->set->count + 1, sizeof(*b->turn)) : NULL;
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

static struct endpoint *less_busy(struct endpoint *a, struct endpoint *b)
{
	uint64_t in_a = __atomic_load_n(&a->in_flight, __ATOMIC_RELAXED) + 1, in_b = __atomic_load_n(&b->in_flight, __ATOMIC_RELAXED) + 1;
	return in_b * a->weight < in_a * b->weight ? b : a;
}

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
	struct endpoint *first = at_weight(&v, rand_below(&ex->worker->rand, total));
	if (b->conf.how == RANDOM || total == first->weight)
		return first;
	/* the second is drawn from the others: by weight, skipping the first */
	struct endpoint *second = first;
	for (unsigned tries = 0; second == first && tries < 8; tries++)
		second = at_weight(&v, rand_below(&ex->worker->rand, total));
	return less_busy(first, second);
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
	((struct balance_slot *)memory)->inside = true;
	return PASS;
}

static void balance_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	(void)p; (void)how;
	if (((struct balance_slot *)memory)->inside)
		__atomic_fetch_sub(&ex->endpoint->in_flight, 1, __ATOMIC_RELAXED);
}

const struct policy_type balance_policy = {
	.name = "balance", .block = &balance_block, .wanted = balance_wanted, .per_try = true, .slot_size = sizeof(struct balance_slot),
	.open = balance_open, .close = balance_close, .admit = balance_admit, .settle = balance_settle,
};
