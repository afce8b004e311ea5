/* listen.c - listening sockets: open, accept in batches, refuse politely when full, never spin when descriptors run out. */
#include "edge/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/front_h1.h"
#include "http/message.h"

enum { ACCEPTS_PER_TURN = 64, PAUSE_US = 50000 };

static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nserver: outrigger\r\ncontent-length: 0\r\nretry-after: 1\r\n"
	"proxy-status: outrigger; error=connection_limit_reached; details=\"max_connections\"\r\nconnection: close\r\n\r\n";

/* ── opening ── */

struct place { struct sockaddr_storage at; socklen_t len; };

static bool unix_place(struct span path, struct place *out)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->at;
	if (path.len == 0 || path.len >= sizeof(un->sun_path))
		return false;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.at, path.len);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	return true;
}

static bool inet_place(struct span address, struct place *out)
{
	struct span host, port;
	char text[INET6_ADDRSTRLEN];
	uint64_t number;

	if (span_starts(address, SPAN(":"))) {    /* an authority has a host; we may do without */
		host = span_first(address, 0);
		port = span_from(address, 1);
	} else if (!authority_split(address, &host, &port) || !port.at)
		return false;
	if (!span_to_u64(port, 65535, &number) || host.len >= sizeof(text))
		return false;
	if (host.len > 1 && host.at[0] == '[')
		host = (struct span){ host.at + 1, host.len - 2 };
	memcpy(text, host.at, host.len);
	text[host.len] = '\0';
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->at;
	if (host.len == 0 || span_eq(host, SPAN("*")) || inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;       /* ":8080" is every address, v4 included */
		v6->sin6_port = htons((uint16_t)number);
		out->len = sizeof(*v6);
		return true;
	}
	if (span_eq(host, SPAN("localhost")))
		memcpy(text, "127.0.0.1", 10);
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)number);
	out->len = sizeof(*v4);
	return inet_pton(AF_INET, text, &v4->sin_addr) == 1;
}

/* A socket file that nobody listens on any more is left over from a process that was killed. */
static void remove_dead_socket(const struct place *p)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&p->at;
	struct stat st;
	if (stat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&p->at, p->len) != 0 && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

int listen_open(struct span address, bool reuseport, char why[128])
{
	struct place p = { .len = 0 };
	int one = 1, only_v6 = !span_starts(address, SPAN(":")) && !span_starts(address, SPAN("*"));
	bool on_path = span_starts(address, SPAN("unix:"));

	if (!(on_path ? unix_place(span_from(address, 5), &p) : inet_place(address, &p))) {
		snprintf(why, 128, "not an address: write 0.0.0.0:8080, [::]:8080, :8080 or unix:/path");
		return -1;
	}
	int fd = socket(p.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		snprintf(why, 128, "%s", strerror(errno));
		return -1;
	}
	if (on_path)
		remove_dead_socket(&p);
	else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (reuseport)
			setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));      /* inherited by what is accepted */
		if (p.at.ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6));    /* [::] may stand beside 0.0.0.0 */
	}
	if (bind(fd, (struct sockaddr *)&p.at, p.len) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
		snprintf(why, 128, "%s", errno == EADDRINUSE ? "the address is in use by another process" : strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

unsigned listen_port(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return 0;
	if (at.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&at)->sin_port);
	return at.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&at)->sin6_port) : 0;
}

/* ── accepting ── */

static void resume(struct timer *t);

static void pause_accepting(struct listener *l)
{
	if (l->paused)
		return;
	l->paused = true;
	loop_unwatch(l->step->loop, &l->watch);
	if (l->state == LISTENER_OPEN)            /* else the timer is for the last look */
		worker_arm(&l->step->loop->worker, &l->resume, PAUSE_US, resume);
}

static void listener_ready(struct watch *, uint32_t);

static bool watch_listener(struct listener *l, int fd)
{
	l->watch.ready = listener_ready;
	return loop_watch(l->step->loop, &l->watch, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

static void resume(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, resume);
	l->paused = false;
	if (!watch_listener(l, l->watch.fd))
		pause_accepting(l);
}

static void refuse(struct listener *l, int fd, enum refused_cause why)
{
	counter_add(&l->refused[why], 1);
	ssize_t sent = send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);   /* into an empty socket buffer: it fits, or the client is gone */
	(void)sent;
	shutdown(fd, SHUT_WR);
	close(fd);
}

/* Out of descriptors: free the reserve, accept one, say so, take the reserve back. Then wait a little, so as not to spin. */
static void out_of_descriptors(struct listener *l)
{
	if (l->reserve >= 0) {
		close(l->reserve);
		int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			refuse(l, fd, REFUSED_descriptors);
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	pause_accepting(l);
}

static void let_in(struct listener *l, int fd, const struct sockaddr_storage *peer, unsigned requests)
{
	enum refused_cause why;
	if (!gate_enter(l->step->gate, (const struct sockaddr *)peer, &why)) {
		refuse(l, fd, why);
		return;
	}
	counter_add(&l->accepted, 1);
	front_h1_open(l, fd, (const struct sockaddr *)peer, requests);
}

/* Of TCP: packets that have fewer hops left to live than this are not seen (RFC 5082). Linux says so to a listening socket's SYNs, but not to the
 * end of a handshake that is under way; who comes of that inherits it. */
enum { TTL_ANY = 0, TTL_NOBODY = 255 };   /* who lives on the same wire, and begins with 255, is somebody: seldom */

static void see_from(int fd, int ttl)
{
	setsockopt(fd, IPPROTO_IP, IP_MINTTL, &ttl, sizeof(ttl));
	setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl, sizeof(ttl));        /* an IPv4 socket refuses it */
}

/* How many there were, of so many. */
static unsigned accept_up_to(struct listener *l, unsigned most)
{
	unsigned n = 0;
	while (n < most && l->state != LISTENER_CLOSED && !l->paused) {
		struct sockaddr_storage peer = { .ss_family = AF_UNIX };
		socklen_t len = sizeof(peer);
		int fd = accept4(l->watch.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				out_of_descriptors(l);
			else if (errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(l);
			else if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
				continue;
			break;
		}
		n++;
		if (l->state == LISTENER_CLOSING && l->port)
			see_from(fd, TTL_ANY);
		let_in(l, fd, &peer, 0);
	}
	return n;
}

void listener_let_in(struct listener *l, int fd)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
		let_in(l, fd, &peer, 1);
	else
		close(fd);                        /* it has gone meanwhile */
}

/* To find nobody costs the kernel nearly as much as to find somebody. So no more are looked for than have come lately: were there more, the next
 * turn is told so at once, and looks for twice as many. */
static void listener_ready(struct watch *w, uint32_t events)
{
	struct listener *l = container_of(w, struct listener, watch);
	uint64_t turn = counter_get(&l->step->loop->turns);
	(void)events;
	if (turn == l->turn + 1 && l->expected < ACCEPTS_PER_TURN)
		l->expected *= 2;
	l->turn = turn;
	unsigned n = accept_up_to(l, l->expected);
	if (n < l->expected)
		l->expected = n ? n : 1;
}

struct listener *listener_new(int fd, struct span address)
{
	struct listener *l = calloc(1, sizeof(*l) + address.len);
	if (!l)
		return NULL;
	memcpy(l->bytes, address.at, address.len);
	l->address = (struct span){ l->bytes, address.len };
	l->watch.fd = fd;
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	l->port = listen_port(fd);
	l->state = LISTENER_OPEN;
	l->expected = 1;
	link_init(&l->on_leaving);
	return l;
}

void listener_free(struct listener *l)
{
	if (l->state != LISTENER_CLOSED && l->step)
		worker_disarm(&l->step->loop->worker, &l->resume);
	if (l->state != LISTENER_CLOSED)
		close(l->watch.fd);
	if (l->state != LISTENER_CLOSED && l->reserve >= 0)
		close(l->reserve);
	link_remove(&l->on_leaving);
	free(l);
}

void listener_start(struct listener *l, struct doorstep *step)
{
	l->step = step;
	if (!watch_listener(l, l->watch.fd))
		pause_accepting(l);               /* no memory: a little later, then */
}

static void free_if_left(struct listener *l)
{
	if (l->leaving && l->state == LISTENER_CLOSED && l->accepted == l->closed)
		listener_free(l);
}

void listener_closed_one(struct listener *l)
{
	counter_add(&l->closed, 1);
	free_if_left(l);
}

static void accept_all(struct listener *l)
{
	l->paused = false;
	accept_up_to(l, LISTEN_BACKLOG);
}

static void last_look(struct timer *t)
{
	struct listener *l = container_of(t, struct listener, resume);
	accept_all(l);
	listener_stop(l);
	free_if_left(l);
}

/* Closing a listening socket resets what waits in its backlog, and nobody can look into it and close it at one stroke. So first nobody more is let
 * into it; who is in it, or in the midst of a handshake, is served; then one more look. A client whose SYN was dropped meanwhile sends another
 * after a second, and finds the successor or a refusal. A Unix socket has no handshakes: who connects is refused at once. */
void listener_drain(struct listener *l)
{
	if (l->state != LISTENER_OPEN)
		return;
	l->state = LISTENER_CLOSING;
	if (l->port)
		see_from(l->watch.fd, TTL_NOBODY);
	else
		shutdown(l->watch.fd, SHUT_RD);
	accept_all(l);
	if (!l->port && !l->paused) {             /* it would be readable for ever */
		loop_unwatch(l->step->loop, &l->watch);
		l->paused = true;
	}
	worker_arm(&l->step->loop->worker, &l->resume, LISTEN_LAST_LOOK_US, last_look);
}

void listener_stop(struct listener *l)
{
	if (l->state == LISTENER_CLOSED)
		return;
	l->state = LISTENER_CLOSED;
	worker_disarm(&l->step->loop->worker, &l->resume);
	if (!l->paused)                           /* closing alone does not: somebody else may hold it too */
		loop_unwatch(l->step->loop, &l->watch);
	shutdown(l->watch.fd, SHUT_RD);
	close(l->watch.fd);
	if (l->reserve >= 0)
		close(l->reserve);
}

void listener_leave(struct listener *l)
{
	l->leaving = true;
	list_append(&l->step->leaving, &l->on_leaving);
	front_h1_leave(l);
	listener_drain(l);
}
