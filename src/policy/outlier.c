/* outlier.c - passive ejection: an endpoint that fails several times in a row gets a rest (behaviour §11).
 *
 * An error is what the endpoint did to us: refused, reset, nonsense, silence for a whole per_try_timeout, or 502, 503, 504. A 500
 * is the app's word about one request and no error here. Our own refusals, clients that leave and spent deadlines say nothing.
 * The marks live in the endpoint and are shared by all workers; a lost race costs one count, never an ejection too many.
 */
#include <stdlib.h>

#include "base/log.h"
#include "core/exchange.h"
#include "policy/registry.h"

struct outlier_conf { uint64_t consecutive_errors, eject_for_us, max_eject_for_us; double max_ejected; };
static const struct conf_key outlier_keys[] = {
	CONF_COUNT(struct outlier_conf, "consecutive_errors", consecutive_errors, "5", "0", "1000000",
		"errors in a row that eject an endpoint; 0: never"),
	CONF_DURATION(struct outlier_conf, "eject_for", eject_for_us, "10s", "1ms", "24h", "the first rest; the second is twice as long ..."),
	CONF_DURATION(struct outlier_conf, "max_eject_for", max_eject_for_us, "5m", "1ms", "24h", "... up to this"),
	CONF_SHARE(struct outlier_conf, "max_ejected", max_ejected, "50%",
		"at most this share of the endpoints rests at a time, and never the last one"),
	CONF_END
};
static bool outlier_check(struct conf_reading *r, void *settings)
{
	struct outlier_conf *c = settings;
	if (c->eject_for_us <= c->max_eject_for_us)
		return true;
	conf_complain_key(r, "eject_for", "'eject_for' is longer than 'max_eject_for'");
	return false;
}
static const struct conf_block outlier_block = {
	.name = "outlier_detection", .keys = outlier_keys, .size = sizeof(struct outlier_conf), .levels = CONF_DEFAULTS | CONF_UPSTREAM,
	.check = outlier_check, .help = "endpoints that keep failing get a rest",
};

struct outlier { struct policy base; struct outlier_conf conf; struct upstream *upstream; struct upstream_stats *stats; };
struct outlier_slot { bool recorded; };

static bool outlier_wanted(const struct conf_route *route, const void *settings, bool present)
{
	(void)present;
	return route->upstream && ((const struct outlier_conf *)settings)->consecutive_errors;
}

static struct policy *outlier_open(const void *settings, const struct policy_env *env)
{
	struct outlier *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->base.type = &outlier_policy;
	o->conf = *(const struct outlier_conf *)settings;
	o->upstream = env->upstream;              /* the router holds it longer than us */
	return &o->base;
}

static void outlier_close(struct policy *p) { free(p); }

static bool may_eject(const struct outlier *o, struct endpoint *e, uint64_t now_us)
{
	struct endpoint_set *set = upstream_endpoints(o->upstream);
	unsigned resting = 0;
	for (unsigned i = 0; i < set->count; i++)
		resting += set->at[i] != e && endpoint_is_ejected(set->at[i], now_us);
	bool may = set->count > 1 && resting + 1 < set->count && (double)(resting + 1) <= o->conf.max_ejected * set->count;
	endpoint_set_unref(set);
	return may;
}

static void eject(const struct outlier *o, struct exchange *ex, struct endpoint *e, enum reason why)
{
	uint64_t now = ex->worker->now_us, times = __atomic_add_fetch(&e->ejections, 1, __ATOMIC_RELAXED);
	uint64_t rest = times > o->conf.max_eject_for_us / o->conf.eject_for_us ? o->conf.max_eject_for_us : o->conf.eject_for_us * times;
	struct log_line l;

	__atomic_store_n(&e->ejected_until_us, now + rest, __ATOMIC_RELAXED);
	__atomic_store_n(&e->consecutive_errors, 0, __ATOMIC_RELAXED);
	counter_add(&ex->route->router->upstream_stats[o->upstream->index]->ejections, 1);
	log_begin(&l, LOG_WARN, "endpoint_ejected");
	log_span(&l, "upstream", o->upstream->name);
	log_span(&l, "endpoint", e->name);
	log_f(&l, "for_s", "%.3f", (double)rest / 1e6);
	if (why != REASON_NONE)
		log_text(&l, "last_error", reason_name(why));
	else
		log_f(&l, "last_error", "%d", ex->reply.status);
	log_end(&l);
}

static void record(const struct outlier *o, struct exchange *ex, struct outlier_slot *slot, bool error, enum reason why)
{
	struct endpoint *e = ex->endpoint;
	if (slot->recorded || !e)
		return;
	slot->recorded = true;
	__atomic_fetch_add(&e->served, 1, __ATOMIC_RELAXED);
	if (!error) {
		if (__atomic_load_n(&e->consecutive_errors, __ATOMIC_RELAXED))
			__atomic_store_n(&e->consecutive_errors, 0, __ATOMIC_RELAXED);
		/* good for as long as its rest was: the slate is clean */
		uint64_t until = __atomic_load_n(&e->ejected_until_us, __ATOMIC_RELAXED);
		if (until && ex->worker->now_us > until + o->conf.eject_for_us) {
			__atomic_store_n(&e->ejections, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&e->ejected_until_us, 0, __ATOMIC_RELAXED);
		}
		return;
	}
	__atomic_fetch_add(&e->errors, 1, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&e->consecutive_errors, 1, __ATOMIC_RELAXED) >= o->conf.consecutive_errors
			&& !endpoint_is_ejected(e, ex->worker->now_us) && may_eject(o, e, ex->worker->now_us))
		eject(o, ex, e, why);
}

static enum answer outlier_judge(struct policy *p, struct exchange *ex, void *memory)
{
	int status = ex->reply.status;
	if (ex->local || (!status && ex->failure == REASON_internal_error))       /* a refusal from further in, or a want of ours (memory, */
		return PASS;                                                       /* descriptors): nothing the endpoint did            */
	record((struct outlier *)p, ex, memory, status == 0 || (status >= 502 && status <= 504), status ? REASON_NONE : ex->failure);
	return PASS;
}

static void outlier_settle(struct policy *p, struct exchange *ex, void *memory, enum ending how)
{
	if (how == END_CUT && ex->cut_by == REASON_upstream_timeout && !ex->committed)
		record((struct outlier *)p, ex, memory, true, REASON_upstream_timeout);
}

const struct policy_type outlier_policy = {
	.name = "outlier", .block = &outlier_block, .wanted = outlier_wanted, .per_try = true, .slot_size = sizeof(struct outlier_slot),
	.open = outlier_open, .close = outlier_close, .admit = NULL, .judge = outlier_judge, .settle = outlier_settle,
};
