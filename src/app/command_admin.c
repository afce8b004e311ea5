/* command_admin.c - commands that talk to a running outrigger: a question over a plain socket, with two seconds to answer it.
 *
 * HTTP/1.0 and Connection: close, so that the end of the answer is the end of the connection. Exit codes: 0 done, 1 the answer was no,
 * 69 nobody answers there.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "app/command.h"
#include "app/server.h"
#include "base/text.h"

enum { PATIENCE_MS = 2000, ANSWER_MAX = 64 * 1024 * 1024 };

struct response { struct text text; unsigned status; struct span body; };

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ── connecting ── */

static bool wait_for(int fd, short events, int64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = until_ms - now_ms();
	int n = left > 0 ? poll(&p, 1, (int)left) : 0;
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0;
}

static int connect_within(const struct sockaddr *to, socklen_t len, int64_t until_ms)
{
	int error = 0, fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(error);
	if (fd < 0)
		return -1;
	if (connect(fd, to, len) == 0)
		return fd;
	error = errno;
	if (error == EINPROGRESS && wait_for(fd, POLLOUT, until_ms))
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	else if (error == EINPROGRESS)
		error = errno;
	if (error == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

static int connect_unix(const char *path, int64_t until_ms)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if (len >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, len);
	return connect_within((const struct sockaddr *)&un, sizeof(un), until_ms);
}

/* HOST:PORT, [V6]:PORT or :PORT. What listens on every address is asked on this machine. */
static int connect_inet(const char *address, int64_t until_ms)
{
	char host[256];
	const char *colon = strrchr(address, ':');
	size_t len = colon ? (size_t)(colon - address) : 0;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	bool bracketed = len > 2 && address[0] == '[' && address[len - 1] == ']';
	int fd = -1;

	errno = EINVAL;
	if (!colon || len >= sizeof(host))
		return -1;
	memcpy(host, address + bracketed, len - 2 * bracketed);
	host[len - 2 * bracketed] = '\0';
	if (host[0] == '\0' || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0)
		memcpy(host, "127.0.0.1", 10);
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
		fd = connect_within(a->ai_addr, a->ai_addrlen, until_ms);
	int error = errno;
	freeaddrinfo(found);
	errno = error;
	return fd;
}

/* ── one question ── */

static bool send_all(int fd, struct span bytes, int64_t until_ms)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);
		if (n > 0)
			bytes = span_from(bytes, (size_t)n);
		else if (n < 0 && errno != EINTR && !(errno == EAGAIN && wait_for(fd, POLLOUT, until_ms)))
			return false;
	}
	return true;
}

static bool receive_all(int fd, struct text *out, int64_t until_ms)
{
	char piece[16384];
	for (;;) {
		ssize_t n = recv(fd, piece, sizeof(piece), 0);
		if (n == 0)
			return true;
		if (n > 0)
			text_add(out, (struct span){ piece, (size_t)n });
		else if (errno != EINTR && !(errno == EAGAIN && wait_for(fd, POLLIN, until_ms)))
			return false;
	}
}

static bool read_response(struct response *a)
{
	struct span all = text_span(&a->text);
	uint64_t status;
	const char *end = all.len ? memmem(all.at, all.len, "\r\n\r\n", 4) : NULL;
	errno = EPROTO;
	if (!end || a->text.cut || !span_starts(all, SPAN("HTTP/1.")) || !span_to_u64((struct span){ all.at + 9, 3 }, 599, &status))
		return false;
	a->status = (unsigned)status;
	a->body = span_between(end + 4, span_end(all));
	return true;
}

static bool ask(const struct options *o, const char *method, const char *path, struct response *a)
{
	char request[256];
	int64_t until_ms = now_ms() + PATIENCE_MS;
	bool on_path = strncmp(o->admin, "unix:", 5) == 0;
	int fd = on_path ? connect_unix(o->admin + 5, until_ms) : connect_inet(o->admin, until_ms);

	text_init(&a->text, ANSWER_MAX);
	int len = snprintf(request, sizeof(request),
			"%s %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path);
	bool ok = fd >= 0 && send_all(fd, (struct span){ request, (size_t)len }, until_ms) && receive_all(fd, &a->text, until_ms) && read_response(a);
	if (!ok)
		fprintf(stderr, "outrigger: no answer from the admin listener at %s: %s\n", o->admin, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Asks, prints what is answered. */
static int tell(const struct options *o, const char *method, const char *path)
{
	struct response a;
	int code = EXIT_LISTEN;
	if (ask(o, method, path, &a)) {
		code = a.status / 100 == 2 ? EXIT_DONE : 1;
		fwrite(a.body.at, 1, a.body.len, code == EXIT_DONE ? stdout : stderr);
	}
	text_fini(&a.text);
	return code;
}

int command_status(const struct options *o) { return tell(o, "GET", o->json ? "/status.json" : "/"); }
int command_drain(const struct options *o) { return tell(o, "POST", "/drain"); }
int command_undrain(const struct options *o) { return tell(o, "POST", "/undrain"); }
int command_quit(const struct options *o) { return tell(o, "POST", "/quit"); }

/* Docker knows 0 and 1 only. */
int command_healthcheck(const struct options *o)
{
	return tell(o, "GET", o->ready ? "/readyz?verbose" : "/livez") == EXIT_DONE ? EXIT_DONE : 1;
}
