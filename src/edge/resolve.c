/* resolve.c - names of upstreams, each asked again in its time, and what becomes of the answers.
 *
 *   name    one question that is repeated: the host of one endpoint, the host of `dns:`, or the name of `srv:`. Its timer is
 *           armed, or it is being asked (query is set). Frees itself when uv has closed its timer.
 *   wanted  of a `srv:` name: the set that will replace the upstream's when all hosts in it have been asked for
 *
 * Always true: unsettled is the number of names on the list that are not settled. A name on the list holds its upstream and
 * its endpoint.
 */
#include "edge/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/must.h"
#include "base/rand.h"
#include "base/text.h"
#include "core/discover.h"
#include "dns.h"

enum {
	TTL_MIN_MS = 1000, TTL_MAX_MS = 300000, LOCAL_MS = 30000,
	RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30000,
	SETTLE_MAX_MS = 5000,
	ADDRESS_TEXT = INET6_ADDRSTRLEN,
};

struct resolver {
	uv_loop_t  *uv;
	struct dns *dns;
	struct list names;
	unsigned    unsettled;
	uv_timer_t  settle;                       /* armed while somebody waits for `settled` */
	void      (*settled)(void *self);
	void       *self;
	struct rand rand;
};

enum name_kind { NAME_ENDPOINT, NAME_DNS, NAME_SRV };
struct name {
	enum name_kind       kind;
	struct resolver     *resolver;
	struct upstream     *upstream;
	struct endpoint     *endpoint;            /* NAME_ENDPOINT */
	struct endpoint_set *wanted;              /* NAME_SRV */
	char                *text;
	unsigned             port;
	struct link          on_names;
	uv_timer_t           timer;
	struct dns_query    *query;
	bool                 settled, known, failing;      /* known: had a good answer once */
	uint64_t             retry_ms;
};

static struct name *name_at(struct link *l) { return container_of(l, struct name, on_names); }

/* ── settling ── */

static void settle_due(uv_timer_t *timer)
{
	struct resolver *r = timer->data;
	void (*settled)(void *) = r->settled;
	r->settled = NULL;
	if (settled)
		settled(r->self);
}

static void settle(struct name *n)
{
	struct resolver *r = n->resolver;
	if (n->settled)
		return;
	n->settled = true;
	if (--r->unsettled == 0 && r->settled)
		uv_timer_start(&r->settle, settle_due, 0, 0);
}

void resolver_on_settled(struct resolver *r, void (*settled)(void *self), void *self)
{
	r->settled = settled;
	r->self = self;
	if (settled)
		uv_timer_start(&r->settle, settle_due, r->unsettled ? SETTLE_MAX_MS : 0, 0);
	else
		uv_timer_stop(&r->settle);
}

/* ── names ── */

static void name_due(uv_timer_t *timer);

static void name_closed(uv_handle_t *h)
{
	struct name *n = container_of((uv_timer_t *)h, struct name, timer);
	free(n->text);
	free(n);
}

static void name_drop(struct name *n)
{
	dns_cancel(&n->query);
	settle(n);
	link_remove(&n->on_names);
	endpoint_set_unref(n->wanted);
	if (n->endpoint)
		endpoint_unref(n->endpoint);
	upstream_unref(n->upstream);
	uv_close((uv_handle_t *)&n->timer, name_closed);
}

/* Asked at the loop's next turn. */
static struct name *name_new(struct resolver *r, enum name_kind kind, struct upstream *u, struct span text)
{
	struct name *n = calloc(1, sizeof(*n));
	if (!n || !(n->text = malloc(text.len + 1))) {
		free(n);
		return NULL;
	}
	memcpy(n->text, text.at, text.len);
	n->text[text.len] = '\0';
	n->kind = kind;
	n->resolver = r;
	n->upstream = upstream_ref(u);
	n->retry_ms = RETRY_MIN_MS;
	uv_timer_init(r->uv, &n->timer);
	uv_timer_start(&n->timer, name_due, 0, 0);
	list_append(&r->names, &n->on_names);
	r->unsettled++;
	return n;
}

static bool name_of_endpoint(struct resolver *r, struct endpoint *e)
{
	struct name *n = name_new(r, NAME_ENDPOINT, e->upstream, e->host);
	if (!n)
		return false;
	n->endpoint = endpoint_ref(e);
	n->port = e->port;
	return true;
}

static void tell(const struct name *n, enum log_level level, const char *event, const char *key, const char *value)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_span(&l, "upstream", n->upstream->name);
	log_text(&l, "host", n->text);
	log_text(&l, key, value);
	log_end(&l);
}

static void tell_count(const struct name *n, const char *event, unsigned count)
{
	char number[24] = { 0 };
	u64_to_text(count, number);
	tell(n, LOG_INFO, event, "count", number);
}

/* ── what becomes of an answer ── */

/* Other addresses than before? Their order is no news: it changes with every answer. */
static bool has_changed(struct endpoint *e, const struct address *at, unsigned count)
{
	pthread_mutex_lock(&e->upstream->lock);
	bool same = e->address_count == count;
	for (unsigned i = 0; same && i < count; i++) {
		same = false;
		for (unsigned j = 0; j < e->address_count && !same; j++)
			same = e->addresses[j].len == at[i].len && memcmp(&e->addresses[j].at, &at[i].at, at[i].len) == 0;
	}
	pthread_mutex_unlock(&e->upstream->lock);
	return !same;
}

static void take_addresses(struct name *n, const struct dns_answer *a)
{
	unsigned count = a->address_count < ENDPOINT_ADDRESSES ? a->address_count : ENDPOINT_ADDRESSES;
	bool changed = has_changed(n->endpoint, a->addresses, count);
	endpoint_resolved(n->endpoint, a->addresses, count, REASON_NONE);
	if (changed && n->known)
		tell_count(n, "addresses_changed", count);
}

static void replace(struct name *n, struct endpoint_set *set)
{
	unsigned count = set->count;
	upstream_replace(n->upstream, set);
	tell_count(n, "endpoints_changed", count);
}

/* dns: each address is an endpoint. false: out of memory. */
static bool take_endpoints(struct name *n, const struct dns_answer *a)
{
	struct found *all = calloc(a->address_count, sizeof(*all));
	char (*text)[ADDRESS_TEXT] = calloc(a->address_count, sizeof(*text));
	struct endpoint_set *next = NULL;
	bool ok = all && text;

	for (unsigned i = 0; ok && i < a->address_count; i++) {
		const struct sockaddr_storage *at = &a->addresses[i].at;
		const void *bytes = at->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)at)->sin_addr
			: (const void *)&((const struct sockaddr_in6 *)at)->sin6_addr;
		must(inet_ntop(at->ss_family, bytes, text[i], ADDRESS_TEXT));
		all[i] = (struct found){ span_of(text[i]), n->port, 1 };
	}
	ok = ok && discover_merge(n->upstream, all, a->address_count, &next);
	free(all);
	free(text);
	if (next)
		replace(n, next);
	return ok;
}

static struct name *name_for(struct resolver *r, const struct endpoint *e)
{
	list_each (l, &r->names)
		if (name_at(l)->endpoint == e)
			return name_at(l);
	return NULL;
}

static bool set_has(const struct endpoint_set *set, const struct endpoint *e)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->at[i] == e)
			return true;
	return false;
}

static void forget_lost(struct resolver *r, const struct upstream *u, const struct endpoint_set *set)
{
	list_each (l, &r->names) {
		struct name *n = name_at(l);
		if (n->endpoint && n->upstream == u && !set_has(set, n->endpoint))
			name_drop(n);
	}
}

/* srv: the set takes its place when every host in it has been asked for. */
static void replace_if_ready(struct name *srv)
{
	struct endpoint_set *set = srv->wanted;
	for (unsigned i = 0; i < set->count; i++) {
		const struct name *n = name_for(srv->resolver, set->at[i]);
		if (n && !n->settled)
			return;
	}
	srv->wanted = NULL;
	forget_lost(srv->resolver, srv->upstream, set);
	replace(srv, set);
	settle(srv);
}

/* srv: what was found is what is wanted next. false: out of memory. */
static bool take_targets(struct name *n, const struct dns_answer *a)
{
	bool ok = discover_merge(n->upstream, a->targets, a->target_count, &n->wanted);
	for (unsigned i = 0; n->wanted && i < n->wanted->count; i++) {
		struct endpoint *e = n->wanted->at[i];
		if (e->host.len && !name_for(n->resolver, e))
			ok &= name_of_endpoint(n->resolver, e);
	}
	if (n->wanted)
		replace_if_ready(n);
	return ok;
}

static void child_settled(struct name *child)
{
	settle(child);
	list_each (l, &child->resolver->names) {
		struct name *n = name_at(l);
		if (n->wanted && set_has(n->wanted, child->endpoint)) {
			replace_if_ready(n);
			return;
		}
	}
}

/* ── asking ── */

static uint64_t failed(struct name *n, const struct dns_answer *a)
{
	uint64_t wait_ms = n->retry_ms * 3 / 4 + rand_below(&n->resolver->rand, n->retry_ms / 2);
	if (!n->failing)
		tell(n, LOG_WARN, "dns_failed", "error", a->error);
	n->failing = true;
	n->retry_ms = n->retry_ms * 2 < RETRY_MAX_MS ? n->retry_ms * 2 : RETRY_MAX_MS;
	if (n->endpoint && !n->known && !endpoint_address_count(n->endpoint))
		endpoint_resolved(n->endpoint, NULL, 0, a->timed_out ? REASON_dns_timeout : REASON_dns_error);
	return wait_ms;
}

static uint64_t succeeded(struct name *n, const struct dns_answer *a)
{
	uint64_t ttl_ms = a->local ? LOCAL_MS : a->ttl_s * 1000;
	if (n->failing)
		tell(n, LOG_INFO, "dns_recovered", NULL, NULL);
	n->failing = false;
	n->known = true;
	n->retry_ms = RETRY_MIN_MS;
	return ttl_ms < TTL_MIN_MS ? TTL_MIN_MS : ttl_ms > TTL_MAX_MS ? TTL_MAX_MS : ttl_ms;
}

static bool take(struct name *n, const struct dns_answer *a)
{
	switch (n->kind) {
	case NAME_ENDPOINT: take_addresses(n, a); return true;
	case NAME_DNS:      return take_endpoints(n, a);
	case NAME_SRV:      return take_targets(n, a);
	}
	return false;
}

static void answered(void *self, const struct dns_answer *a)
{
	static const struct dns_answer no_memory = { .error = "out of memory" };
	struct name *n = self;

	if (a->ok && !take(n, a))
		a = &no_memory;
	uv_timer_start(&n->timer, name_due, a->ok ? succeeded(n, a) : failed(n, a), 0);
	if (n->kind == NAME_ENDPOINT)
		child_settled(n);
	else if (!n->wanted)
		settle(n);
}

static void name_due(uv_timer_t *timer)
{
	struct name *n = container_of(timer, struct name, timer);
	struct dns_question question = { n->kind == NAME_SRV ? DNS_SERVICES : DNS_ADDRESSES, n->text, n->port, answered, n };
	if (n->wanted)
		uv_timer_start(&n->timer, name_due, RETRY_MIN_MS, 0);      /* one change after the other */
	else
		dns_ask(n->resolver->dns, &question, &n->query);
}

/* ── upstreams ── */

static bool add_endpoints(struct resolver *r, struct upstream *u)
{
	struct endpoint_set *set = upstream_endpoints(u);
	bool ok = true;
	for (unsigned i = 0; i < set->count; i++)
		if (set->at[i]->host.len)
			ok &= name_of_endpoint(r, set->at[i]);
	endpoint_set_unref(set);
	return ok;
}

bool resolver_add(struct resolver *r, struct upstream *u)
{
	struct span host = u->conf->discover;
	unsigned port = 0;

	if (u->conf->discovery == CONF_STATIC)
		return add_endpoints(r, u);
	bool by_srv = u->conf->discovery == CONF_SRV;
	must(by_srv || endpoint_split(u->conf->discover, &host, &port));
	struct name *n = name_new(r, by_srv ? NAME_SRV : NAME_DNS, u, host);
	if (n)
		n->port = port;
	return n != NULL;
}

void resolver_remove(struct resolver *r, struct upstream *u)
{
	list_each (l, &r->names)
		if (name_at(l)->upstream == u)
			name_drop(name_at(l));
}

/* ── life ── */

struct resolver *resolver_new(uv_loop_t *uv)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (!r || !(r->dns = dns_new(uv))) {
		free(r);
		return NULL;
	}
	r->uv = uv;
	list_init(&r->names);
	rand_seed(&r->rand, uv_hrtime());
	uv_timer_init(uv, &r->settle);
	r->settle.data = r;
	return r;
}

static void resolver_closed(uv_handle_t *h) { free(h->data); }

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	resolver_on_settled(r, NULL, NULL);
	list_each (l, &r->names)
		name_drop(name_at(l));
	dns_free(r->dns);
	uv_close((uv_handle_t *)&r->settle, resolver_closed);
}
