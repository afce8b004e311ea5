/*
 * load.c - the load of the bench: a closed loop of HTTP/1.1 clients, one thread, epoll.
 *
 * Each of N clients sends a request, waits for the whole answer and sends the next, until the time or the number of
 * requests is used up; requests under way are then finished, so that every request a proxy has worked on is counted.
 * The result is one JSON line. With --hold each client sends one request and stays connected; "ready" is printed when
 * all are idle, and the end of standard input ends the run and says how many were still connected.
 *
 * Answers are checked: status 200, Content-Length present and as expected. Response bodies are thrown away in the kernel
 * (MSG_TRUNC); only heads are copied. Latency is from the first byte sent (or connect(), with --new-connection) to the
 * last byte of the answer.
 *
 * Always true: a client that is not PHASE_HELD and has a connection has a request under way and is counted in `busy`.
 * Registered with epoll once per connection, edge triggered: reads and writes go on until the kernel has no more.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"
#include "wire.h"

#define HEAD_MAX_BYTES 4096
#define EVENTS_MAX 256
#define STALL_MS 5000      /* no event for so long: the proxy hangs */
#define ERRORS_MAX 1000    /* a proxy that fails so often is not measured further */
#define HOLD_AT_A_TIME 64  /* clients that connect at the same time in --hold */
#define SOURCES 16         /* client addresses 127.0.0.1 .. .16, so that ports do not run out */

enum phase { PHASE_SEND, PHASE_HEAD, PHASE_BODY, PHASE_EOF, PHASE_HELD };

struct client {
	int fd;
	enum phase phase;
	size_t sent;
	size_t head_len;
	uint64_t body_left;
	uint64_t started_ns;
	char head[HEAD_MAX_BYTES];
};

struct options {
	uint16_t port;
	const char *path;
	uint64_t expect_bytes;
	uint64_t post_bytes;
	uint64_t clients;
	uint64_t time_ms;
	uint64_t requests;
	bool new_connection;
	bool hold;
};

struct run {
	struct options o;
	int epoll;
	struct client *clients;
	char *request;
	size_t request_len;
	uint64_t begun, busy, done, errors, non_200, started_ns, ends_ns, finished_ns, opened;
	struct latency latency;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ── one client ── */

static bool run_may_begin(const struct run *r)
{
	if (r->errors >= ERRORS_MAX)
		return false;
	if (r->o.hold)
		return r->begun < r->o.clients;
	return r->o.requests ? r->begun < r->o.requests : now_ns() < r->ends_ns;
}

static struct sockaddr_in loopback(uint32_t offset, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + offset) };
}

static bool client_connect(struct run *r, struct client *c)
{
	struct sockaddr_in from = loopback((uint32_t)(r->opened++ % SOURCES), 0);
	struct sockaddr_in to = loopback(0, r->o.port);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
	int on = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)))
		return false;
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		return false;
	return !epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &ev);
}

static void client_disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void client_fail(struct run *r, struct client *c)
{
	client_disconnect(c);
	r->busy--;
	r->errors++;
}

static void client_begin(struct run *r, struct client *c)
{
	r->begun++;
	r->busy++;
	c->phase = PHASE_SEND;
	c->sent = c->head_len = 0;
	c->started_ns = now_ns();
	if (c->fd < 0 && !client_connect(r, c))
		client_fail(r, c);
}

static void client_finish(struct run *r, struct client *c)
{
	uint64_t now = now_ns();
	latency_add(&r->latency, now - c->started_ns);
	r->done++;
	r->finished_ns = now;
	c->phase = r->o.new_connection ? PHASE_EOF : PHASE_HELD;
	if (c->phase == PHASE_HELD)
		r->busy--;
}

/* false: not an answer we can go on with. */
static bool client_take_head(struct run *r, struct client *c)
{
	const char *blank = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (!blank)
		return c->head_len < sizeof(c->head);
	uint64_t length = content_length(c->head, blank + 2);
	uint64_t rest = c->head_len - (size_t)(blank + 4 - c->head);
	if (length == UINT64_MAX || rest > length || c->head_len < 12 || memcmp(c->head, "HTTP/1.", 7))
		return false;
	if (memcmp(c->head + 8, " 200", 4))
		r->non_200++;
	else if (length != r->o.expect_bytes)
		return false;
	c->phase = PHASE_BODY;
	c->body_left = length - rest;
	return true;
}

static ssize_t client_send(struct run *r, struct client *c)
{
	ssize_t n = send(c->fd, r->request + c->sent, r->request_len - c->sent, MSG_NOSIGNAL);
	if (n > 0)
		c->sent += (size_t)n;
	if (c->sent == r->request_len)
		c->phase = PHASE_HEAD;
	return n;
}

static ssize_t client_read(struct run *r, struct client *c)
{
	ssize_t n;
	if (c->phase == PHASE_HEAD) {
		n = recv(c->fd, c->head + c->head_len, sizeof(c->head) - c->head_len, 0);
		if (n > 0) {
			c->head_len += (size_t)n;
			if (!client_take_head(r, c)) {
				errno = EPROTO;
				return -1;
			}
		}
	} else {
		n = recv(c->fd, NULL, (size_t)c->body_left, MSG_TRUNC);
		if (n > 0)
			c->body_left -= (uint64_t)n;
	}
	if (n > 0 && c->phase == PHASE_BODY && !c->body_left)
		client_finish(r, c);
	return n;
}

/* --new-connection: the proxy was asked to close; a client is free again when it has. */
static ssize_t client_read_eof(struct run *r, struct client *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, 0);
	if (n == 0) {
		client_disconnect(c);
		r->busy--;
		c->phase = PHASE_HELD;
		return 1;
	}
	if (n > 0)
		errno = EPROTO;
	return -1;
}

static void client_run(struct run *r, struct client *c)
{
	ssize_t n = 1;
	while (n > 0 && c->phase != PHASE_HELD) {
		if (c->phase == PHASE_SEND)
			n = client_send(r, c);
		else if (c->phase == PHASE_EOF)
			n = client_read_eof(r, c);
		else
			n = client_read(r, c);
		/* An answer was just asked for: it cannot be here yet, so wait for the event. */
		if (n > 0 && c->phase == PHASE_HEAD && !c->head_len)
			return;
	}
	if (c->phase != PHASE_HELD && !(n < 0 && (errno == EAGAIN || errno == EINTR)))
		client_fail(r, c);
}

/* ── the run ── */

/* A free client goes on with the next request; in --hold the next client does. */
static void run_next(struct run *r, struct client *c)
{
	if (!run_may_begin(r))
		return;
	if (r->o.hold)
		c = &r->clients[r->begun];
	client_begin(r, c);
	if (c->fd >= 0)
		client_run(r, c);
}

static void client_event(struct run *r, struct client *c, uint32_t events)
{
	bool was_busy = c->phase != PHASE_HELD;
	if (!was_busy && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		client_disconnect(c); /* an idle connection that the proxy ends is no error */
	else if (was_busy)
		client_run(r, c);
	if (was_busy && (c->fd < 0 || c->phase == PHASE_HELD))
		run_next(r, c);
}

static void run_loop(struct run *r)
{
	while (r->busy) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(r->epoll, events, EVENTS_MAX, STALL_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r->errors += r->busy;
			return;
		}
		for (int i = 0; i < n; i++)
			client_event(r, events[i].data.ptr, events[i].events);
	}
}

static uint64_t run_hold(struct run *r)
{
	uint64_t alive = 0;
	char byte;
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	for (uint64_t i = 0; i < r->o.clients; i++) {
		if (r->clients[i].fd >= 0 && recv(r->clients[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
			alive++;
	}
	return alive;
}

static bool run_prepare(struct run *r)
{
	char head[512];
	char length[80] = "";
	if (r->o.post_bytes)
		snprintf(length, sizeof(length), "Content-Type: text/plain\r\nContent-Length: %llu\r\n",
			 (unsigned long long)r->o.post_bytes);
	int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: load\r\nAccept: */*\r\n%s%s\r\n",
			 r->o.post_bytes ? "POST" : "GET", r->o.path, length, r->o.new_connection ? "Connection: close\r\n" : "");
	if (n < 0 || (size_t)n >= sizeof(head))
		return false;
	r->request_len = (size_t)n + r->o.post_bytes;
	r->request = malloc(r->request_len);
	r->clients = calloc(r->o.clients, sizeof(*r->clients));
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!r->request || !r->clients || r->epoll < 0)
		return false;
	memcpy(r->request, head, (size_t)n);
	memset(r->request + n, 'x', r->o.post_bytes);
	for (uint64_t i = 0; i < r->o.clients; i++) {
		r->clients[i].fd = -1;
		r->clients[i].phase = PHASE_HELD;
	}
	return true;
}

static void run_print(const struct run *r, uint64_t alive)
{
	double seconds = (double)(r->finished_ns - r->started_ns) / 1e9;
	printf("{\"requests\":%llu,\"errors\":%llu,\"non_200\":%llu,\"connections\":%llu,\"seconds\":%.6f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"alive\":%llu}\n",
	       (unsigned long long)r->done, (unsigned long long)r->errors, (unsigned long long)r->non_200,
	       (unsigned long long)r->opened, seconds, latency_us(&r->latency, 0.50), latency_us(&r->latency, 0.99),
	       (unsigned long long)alive);
}

static uint64_t number_of(const char *name, const char *s)
{
	uint64_t n;
	if (!number_parse(s, UINT32_MAX, &n)) {
		fprintf(stderr, "load: --%s needs a whole number, not '%s'\n", name, s);
		exit(64);
	}
	return n;
}

static const struct option long_options[] = {
	{ "port", 1, NULL, 'p' }, { "path", 1, NULL, 'u' }, { "expect", 1, NULL, 'e' }, { "post", 1, NULL, 'b' },
	{ "clients", 1, NULL, 'c' }, { "milliseconds", 1, NULL, 't' }, { "requests", 1, NULL, 'n' },
	{ "new-connection", 0, NULL, 'x' }, { "hold", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

static void usage(void)
{
	fprintf(stderr, "Usage: load --port P --path PATH --expect BYTES [--post BYTES] [--clients N]\n"
			"            [--milliseconds MS | --requests N | --hold] [--new-connection]\n");
	exit(64);
}

static struct options options_parse(int argc, char **argv)
{
	struct options o = { .clients = 1, .time_ms = 1000 };
	int c, i = 0;
	while ((c = getopt_long(argc, argv, "", long_options, &i)) != -1) {
		const char *name = long_options[i].name;
		switch (c) {
		case 'p': o.port = (uint16_t)number_of(name, optarg); break;
		case 'u': o.path = optarg; break;
		case 'e': o.expect_bytes = number_of(name, optarg); break;
		case 'b': o.post_bytes = number_of(name, optarg); break;
		case 'c': o.clients = number_of(name, optarg); break;
		case 't': o.time_ms = number_of(name, optarg); break;
		case 'n': o.requests = number_of(name, optarg); break;
		case 'x': o.new_connection = true; break;
		case 'h': o.hold = true; break;
		default: usage();
		}
	}
	if (!o.port || !o.path || !o.clients || optind != argc)
		usage();
	return o;
}

int main(int argc, char **argv)
{
	static struct run r; /* static for its size */
	uint64_t alive = 0;
	r.o = options_parse(argc, argv);
	if (!run_prepare(&r)) {
		perror("load");
		return 70;
	}
	r.started_ns = r.finished_ns = now_ns();
	r.ends_ns = r.started_ns + r.o.time_ms * 1000000u;
	uint64_t at_once = r.o.hold && r.o.clients > HOLD_AT_A_TIME ? HOLD_AT_A_TIME : r.o.clients;
	for (uint64_t i = 0; i < at_once; i++)
		run_next(&r, &r.clients[i]);
	run_loop(&r);
	if (r.o.hold && !r.errors)
		alive = run_hold(&r);
	run_print(&r, alive);
	return 0;
}
