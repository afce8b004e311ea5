/* dns.c - the only user of c-ares: its sockets under uv_poll_t, its clock under one uv_timer_t.
 *
 * c-ares cannot take a single question back. So a query outlives its asker: cancelled, it has no slot any more, and its answer is
 * thrown away. Handles live until uv has closed them: a socket frees itself, the dns goes with its timer.
 */
#include "dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/time.h>

#include "base/list.h"
#include "edge/resolve.h"

/* A server has 1 s, then 2 s: together still less than people wait for an answer. */
enum { DNS_TIMEOUT_MS = 1000, DNS_TRIES = 2 };

struct dns { uv_loop_t *uv; ares_channel channel; uv_timer_t timer; struct list sockets; };
struct dns_socket { uv_poll_t poll; struct link link; struct dns *dns; int fd; };
struct dns_query { struct dns_question question; struct dns_query **slot; bool asking; };

/* ── c-ares on the loop ── */

static void time_passed(uv_timer_t *timer);

static void rearm(struct dns *dns)
{
	struct timeval left;
	if (!ares_timeout(dns->channel, NULL, &left))
		uv_timer_stop(&dns->timer);
	else
		uv_timer_start(&dns->timer, time_passed, (uint64_t)left.tv_sec * 1000 + (uint64_t)(left.tv_usec + 999) / 1000, 0);
}

static void time_passed(uv_timer_t *timer)
{
	struct dns *dns = timer->data;
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	rearm(dns);
}

static void socket_ready(uv_poll_t *poll, int status, int events)
{
	const struct dns_socket *s = container_of(poll, struct dns_socket, poll);
	struct dns *dns = s->dns;
	bool in = status < 0 || (events & UV_READABLE), out = status < 0 || (events & UV_WRITABLE);
	ares_process_fd(dns->channel, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);      /* may close the socket */
	rearm(dns);
}

static void socket_closed(uv_handle_t *h) { free(container_of((uv_poll_t *)h, struct dns_socket, poll)); }

static struct dns_socket *socket_of(struct dns *dns, int fd)
{
	list_each (l, &dns->sockets) {
		struct dns_socket *s = container_of(l, struct dns_socket, link);
		if (s->fd == fd)
			return s;
	}
	struct dns_socket *s = calloc(1, sizeof(*s));
	if (!s || uv_poll_init(dns->uv, &s->poll, fd) != 0) {
		free(s);
		return NULL;
	}
	s->dns = dns;
	s->fd = fd;
	list_append(&dns->sockets, &s->link);
	return s;
}

/* c-ares tells what it waits for on a socket; nothing at all: it closes it next. */
static void socket_state(void *self, ares_socket_t fd, int readable, int writable)
{
	struct dns_socket *s = socket_of(self, fd);
	if (!s)
		return;                           /* unwatched, the question times out */
	if (readable || writable) {
		uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), socket_ready);
		return;
	}
	link_remove(&s->link);
	uv_close((uv_handle_t *)&s->poll, socket_closed);
}

struct dns *dns_new(uv_loop_t *uv)
{
	struct ares_options options = { .timeout = DNS_TIMEOUT_MS, .tries = DNS_TRIES, .sock_state_cb = socket_state };
	struct dns *dns = calloc(1, sizeof(*dns));

	if (!dns)
		return NULL;
	dns->uv = uv;
	list_init(&dns->sockets);
	options.sock_state_cb_data = dns;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(dns);
		return NULL;
	}
	if (ares_init_options(&dns->channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
		ares_library_cleanup();
		free(dns);
		return NULL;
	}
	uv_timer_init(uv, &dns->timer);
	dns->timer.data = dns;
	return dns;
}

static void timer_closed(uv_handle_t *h) { free(h->data); }

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	ares_destroy(dns->channel);               /* every query ends, every socket is closed */
	ares_library_cleanup();
	uv_close((uv_handle_t *)&dns->timer, timer_closed);
}

/* ── answers ── */

/* The query is over. A dns that is being freed ends all of them, and nobody wants to hear that. */
static void answer(struct dns_query *q, int status, struct dns_answer *a)
{
	struct dns_question question = q->question;
	struct dns_query **slot = status == ARES_EDESTRUCTION ? NULL : q->slot;

	if (q->slot)
		*q->slot = NULL;
	a->local = q->asking;
	free(q);
	if (!slot)
		return;
	if (!a->ok) {
		a->timed_out = status == ARES_ETIMEOUT;
		a->error = status == ARES_SUCCESS ? "the answer is empty" : ares_strerror(status);
	}
	question.done(question.self, a);
}

static bool address_from(const struct ares_addrinfo_node *node, unsigned port, struct address *a)
{
	if (node->ai_addrlen > sizeof(a->at) || (node->ai_family != AF_INET && node->ai_family != AF_INET6))
		return false;
	memset(a, 0, sizeof(*a));
	memcpy(&a->at, node->ai_addr, node->ai_addrlen);
	a->len = node->ai_addrlen;
	if (node->ai_family == AF_INET)
		((struct sockaddr_in *)&a->at)->sin_port = htons((uint16_t)port);
	else
		((struct sockaddr_in6 *)&a->at)->sin6_port = htons((uint16_t)port);
	return true;
}

static uint64_t shorter(uint64_t ttl_s, int other_s)
{
	uint64_t other = other_s < 0 ? 0 : (uint64_t)other_s;
	return other < ttl_s ? other : ttl_s;
}

static void got_addresses(void *self, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_query *q = self;
	struct dns_answer a = { .ttl_s = UINT32_MAX };
	struct address *all = status == ARES_SUCCESS && info ? calloc(DISCOVER_MAX, sizeof(*all)) : NULL;
	unsigned count = 0;

	(void)timeouts;
	if (all) {
		for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
			a.ttl_s = shorter(a.ttl_s, c->ttl);
		for (const struct ares_addrinfo_node *n = info->nodes; n && count < DISCOVER_MAX; n = n->ai_next) {
			a.ttl_s = shorter(a.ttl_s, n->ai_ttl);
			count += address_from(n, q->question.port, &all[count]);
		}
	}
	a.addresses = all;
	a.address_count = count;
	a.ok = count > 0;
	answer(q, status == ARES_SUCCESS && !all ? ARES_ENOMEM : status, &a);
	free(all);
	ares_freeaddrinfo(info);
}

/* c-ares does not hand out the time to live of SRV records: walk the answer's records (RFC 1035 §4.1). false: not well formed. */
static bool services_ttl(const unsigned char *bytes, int len, uint64_t *ttl_s)
{
	if (len < NS_HFIXEDSZ)
		return false;
	const unsigned char *at = bytes + NS_HFIXEDSZ, *end = bytes + len;
	unsigned questions = (unsigned)bytes[4] << 8 | bytes[5], answers = (unsigned)bytes[6] << 8 | bytes[7];
	for (unsigned i = 0; i < questions + answers; i++) {
		char *name;
		long name_len;
		if (at >= end || ares_expand_name(at, bytes, len, &name, &name_len) != ARES_SUCCESS)
			return false;
		ares_free_string(name);
		at += name_len;
		if (end - at < (i < questions ? NS_QFIXEDSZ : NS_RRFIXEDSZ))
			return false;
		if (i < questions) {
			at += NS_QFIXEDSZ;
			continue;
		}
		uint32_t ttl = (uint32_t)at[4] << 24 | (uint32_t)at[5] << 16 | (uint32_t)at[6] << 8 | at[7];
		*ttl_s = shorter(*ttl_s, ttl > INT32_MAX ? 0 : (int)ttl);       /* RFC 2181 §8 */
		unsigned data = (unsigned)at[8] << 8 | at[9];
		if (end - at < (long)(NS_RRFIXEDSZ + data))
			return false;
		at += NS_RRFIXEDSZ + data;
	}
	return true;
}

/* "." as a target says: this service is not to be had here. */
static unsigned best_services(const struct ares_srv_reply *all, struct found *out)
{
	unsigned count = 0, best = UINT_MAX;
	for (const struct ares_srv_reply *s = all; s; s = s->next)
		if (s->host[0] && s->priority < best)
			best = s->priority;
	for (const struct ares_srv_reply *s = all; s && count < DISCOVER_MAX; s = s->next)
		if (s->host[0] && s->priority == best)
			out[count++] = (struct found){ span_of(s->host), s->port, s->weight };
	return count;
}

static void got_services(void *self, int status, int timeouts, unsigned char *bytes, int len)
{
	struct dns_query *q = self;
	struct dns_answer a = { .ttl_s = UINT32_MAX };
	struct ares_srv_reply *all = NULL;
	struct found *targets = NULL;

	(void)timeouts;
	if (status == ARES_SUCCESS)
		status = ares_parse_srv_reply(bytes, len, &all);
	if (status == ARES_SUCCESS && !services_ttl(bytes, len, &a.ttl_s))
		status = ARES_EBADRESP;
	if (status == ARES_SUCCESS && !(targets = calloc(DISCOVER_MAX, sizeof(*targets))))
		status = ARES_ENOMEM;
	if (targets)
		a.target_count = best_services(all, targets);
	a.targets = targets;
	a.ok = a.target_count > 0;
	answer(q, status, &a);
	free(targets);
	ares_free_data(all);
}

/* ── questions ── */

void dns_ask(struct dns *dns, const struct dns_question *question, struct dns_query **slot)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_ENVHOSTS,      /* CARES_HOSTS: another hosts file */
	};
	struct dns_query *q = calloc(1, sizeof(*q));

	if (!q) {
		question->done(question->self, &(struct dns_answer){ .error = ares_strerror(ARES_ENOMEM) });
		return;
	}
	q->question = *question;
	q->slot = slot;
	q->asking = true;
	*slot = q;
	if (question->kind == DNS_ADDRESSES)
		ares_getaddrinfo(dns->channel, question->name, NULL, &hints, got_addresses, q);
	else
		ares_search(dns->channel, question->name, ns_c_in, ns_t_srv, got_services, q);
	if (*slot == q)                           /* not answered yet: this one comes over the network */
		q->asking = false;
	rearm(dns);
}

void dns_cancel(struct dns_query **slot)
{
	if (*slot)
		(*slot)->slot = NULL;
	*slot = NULL;
}

const char *resolver_cares_version(void) { return ares_version(NULL); }
