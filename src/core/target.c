/* target.c - upstreams, their sets of endpoints, and what is known about each endpoint. */
#include "core/target.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/must.h"

#define X(word) #word,
static const char *const state_names[] = { ENDPOINT_STATES(X) };
#undef X
const char *endpoint_state_name(enum endpoint_state s) { return state_names[s]; }

static uint64_t next_id = 1;              /* process-wide, so that a pool never takes a new endpoint for an old one */

enum endpoint_state endpoint_state(const struct endpoint *e, uint64_t now_us)
{
	return endpoint_is_unhealthy(e) ? ENDPOINT_unhealthy : endpoint_is_ejected(e, now_us) ? ENDPOINT_ejected : ENDPOINT_healthy;
}

/* ── endpoints ── */

static char *endpoint_label(struct span host, unsigned port, size_t *len)
{
	bool v6 = span_has(host, ':') && !span_starts(host, SPAN("unix:"));
	char *out = malloc(host.len + 16), *p = out;
	if (!out)
		return NULL;
	if (v6)
		*p++ = '[';
	memcpy(p, host.at, host.len);
	p += host.len;
	if (v6)
		*p++ = ']';
	if (!span_starts(host, SPAN("unix:"))) {
		*p++ = ':';
		p += u64_to_text(port, p);
	}
	*p = '\0';
	*len = (size_t)(p - out);
	return out;
}

/* "10.0.8.4" and "::1" are addresses already; names are the resolver's business. */
static bool literal_address(struct endpoint *e, struct span host)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in *v4 = (struct sockaddr_in *)&e->addresses[0].at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&e->addresses[0].at;

	if (host.len >= sizeof(text))
		return false;
	memcpy(text, host.at, host.len);
	text[host.len] = '\0';
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)e->port);
		e->addresses[0].len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)e->port);
		e->addresses[0].len = sizeof(*v6);
	} else
		return false;
	e->address_count = 1;
	return true;
}

/* So is a unix path. */
static bool unix_address(struct endpoint *e, struct span path)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&e->addresses[0].at;
	if (path.len >= sizeof(un->sun_path))
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.at, path.len);
	e->addresses[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	e->address_count = 1;
	return true;
}

struct endpoint *endpoint_new(struct upstream *u, struct span host, unsigned port, uint64_t weight)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->refs = 1;
	e->upstream = u;
	e->port = port;
	e->weight = weight;
	e->no_address = REASON_dns_error;
	e->id = __atomic_fetch_add(&next_id, 1, __ATOMIC_RELAXED);
	e->name.at = endpoint_label(host, port, &e->name.len);
	if (!e->name.at) {
		free(e);
		return NULL;
	}
	bool on_socket = span_starts(host, SPAN("unix:"));
	if (on_socket && !unix_address(e, span_from(host, 5))) {
		endpoint_unref(e);
		return NULL;
	}
	if (!on_socket && !literal_address(e, host))
		e->host = (struct span){ e->name.at + (e->name.at[0] == '['), host.len };
	return e;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
	__atomic_fetch_add(&e->refs, 1, __ATOMIC_RELAXED);
	return e;
}

void endpoint_unref(struct endpoint *e)
{
	if (__atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free((void *)(uintptr_t)e->name.at);
	free(e);
}

void endpoint_resolved(struct endpoint *e, const struct address *at, unsigned count, enum reason why)
{
	pthread_mutex_lock(&e->upstream->lock);
	e->address_count = count < ENDPOINT_ADDRESSES ? count : ENDPOINT_ADDRESSES;
	for (unsigned i = 0; i < e->address_count; i++)
		e->addresses[i] = at[i];
	e->no_address = why;
	pthread_mutex_unlock(&e->upstream->lock);
}

bool endpoint_address(struct endpoint *e, struct address *out, enum reason *why)
{
	pthread_mutex_lock(&e->upstream->lock);
	bool found = e->address_count > 0;
	if (found)
		*out = e->addresses[e->address_next++ % e->address_count];
	else
		*why = e->no_address;
	pthread_mutex_unlock(&e->upstream->lock);
	return found;
}

unsigned endpoint_address_count(struct endpoint *e)
{
	pthread_mutex_lock(&e->upstream->lock);
	unsigned count = e->address_count;
	pthread_mutex_unlock(&e->upstream->lock);
	return count;
}

/* ── sets ── */

struct endpoint_set *endpoint_set_new(struct endpoint **at, unsigned count)
{
	struct endpoint_set *s = calloc(1, sizeof(*s) + count * sizeof(*at));
	if (!s)
		return NULL;
	s->refs = 1;
	s->count = count;
	for (unsigned i = 0; i < count; i++) {
		s->at[i] = at[i];
		s->weight_total += at[i]->weight;
	}
	return s;
}

void endpoint_set_unref(struct endpoint_set *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned i = 0; i < s->count; i++)
		endpoint_unref(s->at[i]);
	free(s);
}

/* ── upstreams ── */

bool endpoint_split(struct span url, struct span *host, unsigned *port)
{
	struct span digits = SPAN_NONE;
	uint64_t number = 80;

	*host = url;
	*port = 0;
	if (span_starts(url, SPAN("unix:")))
		return true;
	if (span_starts(url, SPAN("http://")))
		url = span_from(url, 7);
	const char *slash = memchr(url.at, '/', url.len);
	if (slash)
		url.len = (size_t)(slash - url.at);
	*host = url;
	for (size_t i = url.len; i-- > 0 && url.at[i] != ']'; )
		if (url.at[i] == ':') {
			*host = span_first(url, i);
			digits = span_from(url, i + 1);
			break;
		}
	if (digits.at && !span_to_u64(digits, 65535, &number))
		return false;
	if (host->len > 2 && host->at[0] == '[')
		*host = (struct span){ host->at + 1, host->len - 2 };
	*port = (unsigned)number;
	return true;
}

/* conf has checked the shape. */
static struct endpoint *endpoint_of_url(struct upstream *u, const struct conf_endpoint *conf)
{
	struct span host;
	unsigned port;
	return endpoint_split(conf->url, &host, &port) ? endpoint_new(u, host, port, conf->weight) : NULL;
}

static struct endpoint_set *first_set(struct upstream *u)
{
	unsigned count = u->conf->discovery == CONF_STATIC ? u->conf->endpoint_count : 0, made = 0;
	struct endpoint **at = calloc(count + 1, sizeof(*at));
	struct endpoint_set *set = NULL;
	if (!at)
		return NULL;
	while (made < count && (at[made] = endpoint_of_url(u, &u->conf->endpoints[made])))
		made++;
	if (made == count)
		set = endpoint_set_new(at, count);
	if (!set)
		while (made > 0)
			endpoint_unref(at[--made]);
	free(at);
	return set;
}

struct upstream *upstream_new(struct conf *snapshot, const struct conf_upstream *conf)
{
	struct upstream *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->refs = 1;
	u->conf = conf;
	u->name = conf->name;
	u->index = conf->index;
	pthread_mutex_init(&u->lock, NULL);
	u->set = first_set(u);
	if (!u->set) {
		pthread_mutex_destroy(&u->lock);
		free(u);
		return NULL;
	}
	u->snapshot = conf_ref(snapshot);
	return u;
}

struct upstream *upstream_ref(struct upstream *u)
{
	__atomic_fetch_add(&u->refs, 1, __ATOMIC_RELAXED);
	return u;
}

void upstream_unref(struct upstream *u)
{
	if (__atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	endpoint_set_unref(u->set);
	pthread_mutex_destroy(&u->lock);
	conf_unref(u->snapshot);
	free(u);
}

struct endpoint_set *upstream_endpoints(struct upstream *u)
{
	pthread_mutex_lock(&u->lock);
	struct endpoint_set *s = u->set;
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&u->lock);
	return s;
}

void upstream_replace(struct upstream *u, struct endpoint_set *set)
{
	pthread_mutex_lock(&u->lock);
	struct endpoint_set *old = u->set;
	u->set = set;
	__atomic_fetch_add(&u->generation, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&u->lock);
	endpoint_set_unref(old);
}
