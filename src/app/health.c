/* health.c - active checks.
 *
 *   ward    an upstream under watch, with one check per endpoint of its present set
 *   check   its timer is armed, or a fetch runs; never both, never neither. Frees itself when uv has closed its timer.
 *
 * Marks are atomic, because workers read them; last_error is for people and stands under the upstream's lock.
 */
#include "app/health.h"

#include <stdlib.h>
#include <sys/un.h>

#include "base/list.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/text.h"

enum { LOOK_MS = 1000, SPREAD_US = 1000000, BODY_MAX = 64 * 1024, URL_MAX = 2048 };

struct health { uv_loop_t *uv; struct fetcher *fetcher; struct list wards; uv_timer_t look; struct rand rand; };

struct ward {
	struct health       *health;
	struct upstream     *upstream;
	struct link          on_wards;
	struct list          checks;
	uint64_t             generation;
	struct health_counts counts;
};

struct check {
	struct ward *ward;
	struct endpoint   *endpoint;
	struct link        on_checks;
	uv_timer_t         timer;
	struct fetch      *fetch;
	uint64_t           good, bad;             /* in a row */
};

static struct ward *ward_at(struct link *l) { return container_of(l, struct ward, on_wards); }
static struct check *check_at(struct link *l) { return container_of(l, struct check, on_checks); }
static const struct conf_health *conf_of(const struct check *c) { return &c->ward->upstream->conf->health_check; }

/* ── marks ── */

static void put(char *out, size_t size, struct span s)
{
	struct text t;
	memset(out, 0, size);
	text_over(&t, out, size - 1);
	text_add(&t, s);
}

static void tell(const struct check *c, enum log_level level, const char *event, const char *error)
{
	struct log_line l;
	log_begin(&l, level, event);
	log_span(&l, "upstream", c->ward->upstream->name);
	log_span(&l, "endpoint", c->endpoint->name);
	if (error)
		log_text(&l, "last_error", error);
	log_end(&l);
}

static void mark(struct endpoint *e, bool unhealthy) { __atomic_store_n(&e->unhealthy, unhealthy, __ATOMIC_RELAXED); }

static void remember(struct endpoint *e, const char *error)
{
	pthread_mutex_lock(&e->upstream->lock);
	put(e->last_error, sizeof(e->last_error), span_of(error));
	pthread_mutex_unlock(&e->upstream->lock);
}

static void passed(struct check *c)
{
	c->ward->counts.ok++;
	c->bad = 0;
	c->good++;
	if (!endpoint_is_unhealthy(c->endpoint) || c->good < conf_of(c)->healthy_after)
		return;
	mark(c->endpoint, false);
	remember(c->endpoint, "");
	tell(c, LOG_INFO, "endpoint_healthy", NULL);
}

static void failed(struct check *c, const char *error)
{
	c->ward->counts.failed++;
	remember(c->endpoint, error);
	c->good = 0;
	c->bad++;
	if (endpoint_is_unhealthy(c->endpoint) || c->bad < conf_of(c)->unhealthy_after)
		return;
	mark(c->endpoint, true);
	tell(c, LOG_WARN, "endpoint_unhealthy", error);
}

/* ── one check ── */

static void check_due(uv_timer_t *timer);

static void again_after(struct check *c, uint64_t us)
{
	uv_timer_start(&c->timer, check_due, (us + 999) / 1000, 0);
}

static void pause_then_again(struct check *c)
{
	const struct conf_health *conf = conf_of(c);
	double factor = 1 + conf->jitter * (2 * rand_unit(&c->ward->health->rand) - 1);
	again_after(c, (uint64_t)((double)conf->interval_us * factor));
}

static void checked(void *self, const struct fetch_result *r)
{
	struct check *c = self;
	const struct conf_health *conf = conf_of(c);
	char words[96];
	struct text t;

	c->fetch = NULL;
	if (r->ok && (unsigned)r->status >= conf->status_min && (unsigned)r->status <= conf->status_max) {
		passed(c);
	} else if (!r->ok) {
		failed(c, r->error);
	} else {
		text_over(&t, words, sizeof(words) - 1);
		text_f(&t, "status %d", r->status);
		words[t.len] = '\0';
		failed(c, words);
	}
	pause_then_again(c);
}

/* Everything that a request to this endpoint needs as C strings. */
struct asking {
	char url[URL_MAX], host[300], header[300], path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct address at[ENDPOINT_ADDRESSES];
};

/* The Host of a check is what requests get where that is fixed, else the endpoint's. false: the path is too long to ask for. */
static bool prepare(const struct check *c, struct asking *a, bool on_socket)
{
	struct span name = c->endpoint->name, how = c->ward->upstream->conf->host_header;
	struct text url, header;
	bool fixed = how.len && !span_eq(how, SPAN("keep")) && !span_eq(how, SPAN("endpoint"));

	memset(a, 0, sizeof(*a));
	text_over(&url, a->url, sizeof(a->url) - 1);
	text_add(&url, SPAN("http://"));
	text_add(&url, on_socket ? SPAN("localhost") : name);
	text_add(&url, conf_of(c)->path);
	text_over(&header, a->header, sizeof(a->header) - 1);
	text_add(&header, SPAN("Host: "));
	text_add(&header, fixed ? how : on_socket ? SPAN("localhost") : name);
	put(a->host, sizeof(a->host), c->endpoint->host);
	if (on_socket)
		put(a->path, sizeof(a->path), span_from(name, 5));
	return !url.cut && !header.cut;
}

static unsigned addresses_of(struct endpoint *e, struct address *out)
{
	pthread_mutex_lock(&e->upstream->lock);
	unsigned count = e->address_count;
	memcpy(out, e->addresses, count * sizeof(*out));
	pthread_mutex_unlock(&e->upstream->lock);
	return count;
}

static void check_due(uv_timer_t *timer)
{
	struct check *c = container_of(timer, struct check, timer);
	bool on_socket = span_starts(c->endpoint->name, SPAN("unix:"));
	struct asking a;
	const char *const header = a.header;
	struct fetch_request r = { .url = a.url, .headers = &header, .header_count = 1, .timeout_us = conf_of(c)->timeout_us,
		.max_body = BODY_MAX, .cut_body = true, .direct = true, .fresh = true, .done = checked, .self = c };

	if (!prepare(c, &a, on_socket)) {
		failed(c, "the path is too long");
		pause_then_again(c);
		return;
	}
	if (on_socket)
		r.unix_socket = a.path;
	if (c->endpoint->host.len) {              /* a name: the resolver's addresses, so that checks see what requests see */
		r.pin.host = a.host;
		r.pin.port = c->endpoint->port;
		r.pin.at = a.at;
		r.pin.count = addresses_of(c->endpoint, a.at);
		if (!r.pin.count) {
			failed(c, "the name has no address");
			pause_then_again(c);
			return;
		}
	}
	c->fetch = fetch_start(c->ward->health->fetcher, &r);
	if (!c->fetch)                            /* out of memory: says nothing about the endpoint */
		pause_then_again(c);
}

/* ── following the set ── */

static void check_closed(uv_handle_t *h) { free(container_of((uv_timer_t *)h, struct check, timer)); }

static void check_stop(struct check *c)
{
	fetch_cancel(c->fetch);
	link_remove(&c->on_checks);
	endpoint_unref(c->endpoint);
	uv_close((uv_handle_t *)&c->timer, check_closed);
}

/* The first check comes soon, but not those of all endpoints at once. */
static bool check_start(struct ward *w, struct endpoint *e)
{
	uint64_t interval_us = w->upstream->conf->health_check.interval_us;
	struct check *c = calloc(1, sizeof(*c));
	if (!c)
		return false;
	c->ward = w;
	c->endpoint = endpoint_ref(e);
	uv_timer_init(w->health->uv, &c->timer);
	list_append(&w->checks, &c->on_checks);
	again_after(c, rand_below(&w->health->rand, interval_us < SPREAD_US ? interval_us : SPREAD_US));
	return true;
}

static bool is_checked(struct ward *w, const struct endpoint *e)
{
	list_each (l, &w->checks)
		if (check_at(l)->endpoint == e)
			return true;
	return false;
}

static bool set_has(const struct endpoint_set *set, const struct endpoint *e)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->at[i] == e)
			return true;
	return false;
}

/* false: out of memory; the generation stays old, so that the next look tries again. */
static bool follow(struct ward *w)
{
	uint64_t generation = __atomic_load_n(&w->upstream->generation, __ATOMIC_ACQUIRE);
	struct endpoint_set *set = upstream_endpoints(w->upstream);
	bool ok = true;

	list_each (l, &w->checks)
		if (!set_has(set, check_at(l)->endpoint))
			check_stop(check_at(l));
	for (unsigned i = 0; i < set->count; i++)
		if (!is_checked(w, set->at[i]))
			ok &= check_start(w, set->at[i]);
	endpoint_set_unref(set);
	if (ok)
		w->generation = generation;
	return ok;
}

static void look_around(uv_timer_t *timer)
{
	struct health *h = timer->data;
	list_each (l, &h->wards)
		if (__atomic_load_n(&ward_at(l)->upstream->generation, __ATOMIC_RELAXED) != ward_at(l)->generation)
			follow(ward_at(l));
}

/* ── upstreams ── */

static struct ward *ward_of(const struct health *h, const struct upstream *u)
{
	for (struct link *l = h->wards.head.next; l != &h->wards.head; l = l->next)
		if (ward_at(l)->upstream == u)
			return ward_at(l);
	return NULL;
}

bool health_add(struct health *h, struct upstream *u)
{
	if (!u->conf->health_check.present || ward_of(h, u))
		return true;
	struct ward *w = calloc(1, sizeof(*w));
	if (!w)
		return false;
	w->health = h;
	w->upstream = upstream_ref(u);
	w->generation = UINT64_MAX;
	list_init(&w->checks);
	if (list_empty(&h->wards))
		uv_timer_start(&h->look, look_around, LOOK_MS, LOOK_MS);
	list_append(&h->wards, &w->on_wards);
	return follow(w);
}

static void ward_close(struct ward *w)
{
	list_each (l, &w->checks)
		check_stop(check_at(l));
	link_remove(&w->on_wards);
	upstream_unref(w->upstream);
	free(w);
}

void health_remove(struct health *h, struct upstream *u)
{
	struct ward *w = ward_of(h, u);
	if (!w)
		return;
	list_each (l, &w->checks)
		mark(check_at(l)->endpoint, false);
	ward_close(w);
	if (list_empty(&h->wards))
		uv_timer_stop(&h->look);
}

struct health_counts health_counts(const struct health *h, const struct upstream *u)
{
	const struct ward *w = ward_of(h, u);
	return w ? w->counts : (struct health_counts){ 0, 0 };
}

/* ── life ── */

struct health *health_new(uv_loop_t *uv, struct fetcher *fetcher)
{
	struct health *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->uv = uv;
	h->fetcher = fetcher;
	list_init(&h->wards);
	rand_seed(&h->rand, uv_hrtime());
	uv_timer_init(uv, &h->look);
	h->look.data = h;
	return h;
}

static void look_closed(uv_handle_t *handle) { free(handle->data); }

void health_free(struct health *h)
{
	if (!h)
		return;
	list_each (l, &h->wards)
		ward_close(ward_at(l));
	uv_close((uv_handle_t *)&h->look, look_closed);
}
