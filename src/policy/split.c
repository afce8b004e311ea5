/* split.c - which of a route's upstreams gets this request: by share, always the same one for the same client (behaviour §16).
 *
 * A client is a point between 0 and 1. The canaries' shares lie side by side from 0 on, in the order written; the first version is the stable one and
 * has the rest. So whoever got a canary at 5% has it still at 10%. What a canary cannot serve at all (breaker open, nobody healthy) goes to the
 * stable one, and so does everything while its share is taken back (guard.c, or an operator). A tester's override is obeyed to the letter.
 */
#include <stdlib.h>

#include "core/exchange.h"
#include "policy/registry.h"
#include "rate_key.h"
#include "split_core.h"

enum { WAYS_MAX = VERSIONS_MAX / 2 };

struct split_conf { struct rate_key key; struct span override_header; };

static bool read_key(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	if (!span_eq(text, SPAN("route")))
		return rate_key_read(r, field, text, index);
	conf_complain(r, text, "a key of 'route' would send everybody the same way");
	conf_hint(r, "allowed: client_ip, header:NAME, cookie:NAME, jwt:CLAIM");
	return false;
}

static bool read_header(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (!text.len || field_name_is_token(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is not the name of a request field", SPAN_ARG(text));
	return false;
}

static const struct conf_key split_keys[] = {
	CONF_CUSTOM(struct split_conf, "key", key, read_key, "client_ip",
		"who always gets the same version: client_ip, header:NAME, cookie:NAME, jwt:CLAIM, or a list of them together; "
		"who has none: by client_ip"),
	CONF_ROW(struct split_conf, "override_header", override_header, CONF_T_TEXT, .preset = "", .read = read_header,
		.help = "a request field with which testers name the version they want; empty: none", .example = "x-canary"),
	CONF_END
};

static bool split_check(struct conf_reading *r, void *settings)
{
	const struct conf_route *route = conf_route_of(r);
	if (!route || route->to.map.count)
		return rate_key_check(r, &((const struct split_conf *)settings)->key, "key");
	conf_complain(r, SPAN_NONE, "'split' needs several upstreams");
	conf_hint(r, "write upstream: {v1: 95%%, v2: 5%%}");
	return false;
}

static const struct conf_block split_block = {
	.name = "split", .keys = split_keys, .size = sizeof(struct split_conf), .levels = CONF_ROUTE, .optional = true, .check = split_check,
	.help = "how a route with several upstreams (`upstream: {v1: 95%, v2: 5%}`) chooses",
};

struct split {
	struct policy      base;
	struct split_conf  conf;
	struct shared     *shared;
	struct split_core *core;
	unsigned           count;
	struct { struct span name; double share; struct split_version *version; } way[WAYS_MAX];
};
struct split_slot { unsigned way; bool asked_for; };

static bool split_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)settings; (void)present;
	return route->other_count > 0;
}

static void add_way(struct split *s, const struct conf_route *way)
{
	s->way[s->count].name = way->upstream->name;
	s->way[s->count].share = way->share;
	s->way[s->count++].version = &s->core->version[split_version_of(s->core, way->upstream->name)];
}

static struct policy *split_open(const void *settings, const struct policy_env *env)
{
	struct split *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->base.type = &split_policy;
	s->conf = *(const struct split_conf *)settings;
	s->shared = env->shared;
	s->core = split_core_take(env, env->route);
	if (!s->core) {
		free(s);
		return NULL;
	}
	add_way(s, env->route);
	for (unsigned i = 0; i < env->route->other_count; i++)
		add_way(s, &env->route->others[i]);
	return &s->base;
}

static void split_close(struct policy *p)
{
	struct split *s = (struct split *)p;
	shared_give(s->shared, s->core);
	free(s);
}

/* The way that a tester asks for; count: none. */
static unsigned asked_for(const struct split *s, const struct exchange *ex)
{
	const struct field *f = s->conf.override_header.len ? fields_find_name(&ex->request.fields, s->conf.override_header) : NULL;
	unsigned i = 0;
	while (i < s->count && !(f && span_eq(f->value, s->way[i].name)))
		i++;
	return i;
}

/* The same for every worker, instance and restart. Whoever has no key yet (a first visit, without the cookie) is known by its address meanwhile. */
static double point_of(const struct split *s, const struct exchange *ex)
{
	static const struct rate_key address = { .part = { { RATE_KEY_CLIENT_IP, { NULL, 0 } } }, .count = 1 };
	struct bucket_key key;
	if (!rate_key_of(&s->conf.key, ex, 0, &key) && !rate_key_of(&address, ex, 0, &key))
		return rand_unit(&ex->worker->rand);
	return (double)(key.high >> 11) / (double)(1ull << 53);
}

static unsigned way_at(const struct split *s, double point)
{
	double edge = 0;
	for (unsigned i = 1; i < s->count; i++) {
		edge += s->way[i].share;
		if (point < edge)
			return i;
	}
	return 0;
}

static const struct route *route_of(const struct exchange *ex, unsigned way)
{
	const struct route *base = &ex->route->router->routes[ex->route->index];
	return way ? &base->others[way - 1] : base;
}

/* balance asks the unhealthy when there are no others; a canary's share is better off with the stable version. */
static bool has_anybody(struct upstream *u, uint64_t now_us)
{
	struct endpoint_set *set = upstream_endpoints(u);
	bool any = false;
	for (unsigned i = 0; i < set->count; i++)
		any |= !endpoint_is_unhealthy(set->at[i]) && !endpoint_is_ejected(set->at[i], now_us);
	endpoint_set_unref(set);
	return any;
}

static void divert(struct split *s, struct split_slot *slot, enum diversion why)
{
	split_count(&s->way[slot->way].version->diverted[why]);
	slot->way = 0;
}

static enum answer split_admit(struct policy *p, struct exchange *ex, void *memory)
{
	struct split *s = (struct split *)p;
	struct split_slot *slot = memory;

	slot->way = asked_for(s, ex);
	slot->asked_for = slot->way < s->count;
	if (!slot->asked_for)
		slot->way = way_at(s, point_of(s, ex));
	if (slot->way && !slot->asked_for) {
		if (split_is_taken_back(s->way[slot->way].version))
			divert(s, slot, DIVERTED_taken_back);
		else if (!has_anybody(route_of(ex, slot->way)->upstream, ex->worker->now_us))
			divert(s, slot, DIVERTED_unavailable);
	}
	if (slot->way)
		exchange_take_way(ex, route_of(ex, slot->way));
	return PASS;
}

/* Nothing that could be asked was asked. */
static bool is_unavailable(const struct exchange *ex)
{
	enum reason why = ex->local ? ex->reason : ex->reply.status ? REASON_NONE : ex->failure;
	return why == REASON_circuit_open || why == REASON_no_healthy_endpoint || why == REASON_dns_error || why == REASON_dns_timeout;
}

static enum answer split_judge(struct policy *p, struct exchange *ex, void *memory)
{
	struct split *s = (struct split *)p;
	struct split_slot *slot = memory;

	if (!slot->way || slot->asked_for || !is_unavailable(ex) || !exchange_can_replay(ex) || ex->attempt >= ATTEMPTS_MAX)
		return PASS;
	divert(s, slot, DIVERTED_unavailable);
	exchange_take_way(ex, route_of(ex, 0));
	return AGAIN;
}

static void split_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	struct split *s = (struct split *)p;
	(void)ex; (void)how;
	split_count(&s->way[((struct split_slot *)memory)->way].version->requests);
}

const struct policy_type split_policy = {
	.name = "split", .block = &split_block, .wanted = split_wanted, .chooses = true, .slot_size = sizeof(struct split_slot),
	.open = split_open, .close = split_close, .admit = split_admit, .judge = split_judge, .settle = split_settle,
};
