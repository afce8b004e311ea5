/*
 * origin.c - the upstream of the bench: one thread, epoll, prepared answers.
 *
 * It shares a core with the load generator, so everything that could be done once is done before the first request: an
 * answer is one static run of bytes (head and body), a request body is thrown away inside the kernel (MSG_TRUNC) and
 * never copied, and a connection is registered with epoll once, edge triggered.
 *
 * Paths: /small (100 bytes), /16k, /1m; /stats says how many connections and requests there were, so that the bench can
 * see whether a proxy really kept its upstream connections. Any other path is 404. A body must have a Content-Length.
 *
 * Always true: a connection is reading a head (reply == NULL, body_left == 0), discarding a body (reply set,
 * body_left > 0) or writing (reply set, body_left == 0). Sockets of proxies inherit TCP_NODELAY and the congestion
 * control of the listening socket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define HEAD_MAX_BYTES 8192
#define EVENTS_MAX 256

struct reply {
	const char *path;
	size_t path_len;
	size_t body_bytes;
	char *bytes;
	size_t len;
};

struct conn {
	int fd;
	size_t head_len;
	uint64_t body_left;
	const struct reply *reply;
	size_t reply_sent;
	char head[HEAD_MAX_BYTES];
};

static struct reply replies[] = {
	{ .path = "/small", .path_len = 6, .body_bytes = 100 },
	{ .path = "/16k", .path_len = 4, .body_bytes = 16 * 1024 },
	{ .path = "/1m", .path_len = 3, .body_bytes = 1024 * 1024 },
};
static struct reply stats = { .path = "/stats", .path_len = 6 };
static struct reply not_found;
static struct reply length_required;
static uint64_t accepted_count;
static uint64_t request_count;

static void reply_build(struct reply *r, const char *status, size_t body_bytes)
{
	char head[512];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\nServer: origin\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
			 "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
			 status, body_bytes);
	r->body_bytes = body_bytes;
	r->len = (size_t)n + body_bytes;
	free(r->bytes);
	r->bytes = malloc(r->len);
	if (!r->bytes) {
		perror("origin: malloc");
		exit(70);
	}
	memcpy(r->bytes, head, (size_t)n);
	memset(r->bytes + n, 'x', body_bytes);
}

static void stats_build(void)
{
	char body[96];
	int n = snprintf(body, sizeof(body), "accepted %llu requests %llu\n", (unsigned long long)accepted_count,
			 (unsigned long long)request_count);
	reply_build(&stats, "200 OK", (size_t)n);
	memcpy(stats.bytes + stats.len - (size_t)n, body, (size_t)n);
}

static const struct reply *reply_of(const char *head, const char *end)
{
	const char *path = memchr(head, ' ', (size_t)(end - head));
	if (!path)
		return &not_found;
	path++;
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		const struct reply *r = &replies[i];
		if ((size_t)(end - path) > r->path_len && !memcmp(path, r->path, r->path_len) && path[r->path_len] == ' ')
			return r;
	}
	if ((size_t)(end - path) > stats.path_len && !memcmp(path, stats.path, stats.path_len)) {
		stats_build();
		return &stats;
	}
	return &not_found;
}

/* Takes one head out of the buffer, if it is complete: sets the reply and how much body is still to come. */
static bool conn_take_head(struct conn *c)
{
	const char *blank = memmem(c->head, c->head_len, "\r\n\r\n", 4);
	if (!blank)
		return false;
	size_t used = (size_t)(blank + 4 - c->head);
	size_t rest = c->head_len - used;
	uint64_t length = content_length(c->head, blank + 2);
	c->reply = reply_of(c->head, blank);
	if (c->head[0] == 'P' && length == UINT64_MAX)
		c->reply = &length_required;
	c->body_left = length == UINT64_MAX ? 0 : length;
	c->reply_sent = 0;
	request_count++;
	size_t body = rest < c->body_left ? rest : (size_t)c->body_left;
	c->body_left -= body;
	c->head_len = rest - body;
	if (c->head_len)
		memmove(c->head, c->head + used + body, c->head_len);
	return true;
}

enum step { STEP_ON, STEP_WAIT, STEP_CLOSE };

static enum step step_of(ssize_t n)
{
	if (n > 0)
		return STEP_ON;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? STEP_WAIT : STEP_CLOSE;
}

static enum step conn_read_head(struct conn *c)
{
	if (c->head_len && conn_take_head(c))
		return STEP_ON;
	if (c->head_len == sizeof(c->head))
		return STEP_CLOSE;
	ssize_t n = recv(c->fd, c->head + c->head_len, sizeof(c->head) - c->head_len, 0);
	if (n > 0) {
		c->head_len += (size_t)n;
		conn_take_head(c);
	}
	return step_of(n);
}

static enum step conn_discard_body(struct conn *c)
{
	ssize_t n = recv(c->fd, NULL, (size_t)c->body_left, MSG_TRUNC);
	if (n > 0)
		c->body_left -= (uint64_t)n;
	return step_of(n);
}

static enum step conn_write(struct conn *c)
{
	ssize_t n = send(c->fd, c->reply->bytes + c->reply_sent, c->reply->len - c->reply_sent, MSG_NOSIGNAL);
	if (n <= 0)
		return step_of(n);
	c->reply_sent += (size_t)n;
	if (c->reply_sent < c->reply->len)
		return STEP_ON;
	c->reply = NULL;
	/* A proxy waits for this answer before it sends more: do not spend a recv() on finding that out. */
	return c->head_len ? STEP_ON : STEP_WAIT;
}

static void conn_run(struct conn *c, uint32_t events)
{
	enum step step = STEP_ON;
	while (step == STEP_ON) {
		if (!c->reply)
			step = conn_read_head(c);
		else if (c->body_left)
			step = conn_discard_body(c);
		else
			step = conn_write(c);
	}
	if (step == STEP_CLOSE || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) {
		close(c->fd);
		free(c);
	}
}

static void accept_all(int epoll, int listener)
{
	int fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
		if (!c || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev)) {
			perror("origin: a connection is lost");
			free(c);
			close(fd);
			continue;
		}
		c->fd = fd;
		accepted_count++;
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, 4096)) {
		perror("origin: cannot listen");
		exit(69);
	}
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5))
		perror("origin: cubic is not to be had");
	return fd;
}

int main(int argc, char **argv)
{
	uint64_t port;
	if (argc != 2 || !number_parse(argv[1], 65535, &port)) {
		fprintf(stderr, "Usage: origin PORT\n");
		return 64;
	}
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		reply_build(&replies[i], "200 OK", replies[i].body_bytes);
	reply_build(&not_found, "404 Not Found", 0);
	reply_build(&length_required, "411 Length Required", 0);

	int listener = listen_on((uint16_t)port);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev)) {
		perror("origin: epoll");
		return 70;
	}
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				conn_run(events[i].data.ptr, events[i].events);
			else
				accept_all(epoll, listener);
		}
	}
}
