/* admin_client.c - see admin_client.h. HTTP/1.0 and Connection: close, so that the end of the answer is the end of the connection. */
#include "admin_client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000, ANSWER_MAX = 64 * 1024 * 1024 };

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

static bool read_response(struct admin_answer *a)
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

static int connect_to(const char *admin, int64_t until_ms)
{
	return strncmp(admin, "unix:", 5) == 0 ? connect_unix(admin + 5, until_ms) : connect_inet(admin, until_ms);
}

static bool send_question(int fd, const char *method, const char *path, int64_t until_ms)
{
	char request[512];
	int len = snprintf(request, sizeof(request), "%s %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			method, path);
	errno = ENAMETOOLONG;
	return len > 0 && (size_t)len < sizeof(request) && send_all(fd, (struct span){ request, (size_t)len }, until_ms);
}

static bool nobody(const char *admin)
{
	fprintf(stderr, "outrigger: no answer from the admin listener at %s: %s\n", admin, strerror(errno));
	return false;
}

bool admin_ask(const char *admin, const char *method, const char *path, struct admin_answer *a)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	int fd = connect_to(admin, until_ms);

	text_init(&a->text, ANSWER_MAX);
	bool ok = fd >= 0 && send_question(fd, method, path, until_ms) && receive_all(fd, &a->text, until_ms) && read_response(a);
	if (!ok)
		nobody(admin);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The head, byte by byte: what stands behind it belongs to the caller's loop. */
static bool receive_head(int fd, struct admin_answer *a, int64_t until_ms)
{
	char c;
	while (a->text.len < 4 || memcmp(a->text.at + a->text.len - 4, "\r\n\r\n", 4) != 0) {
		ssize_t n = recv(fd, &c, 1, 0);
		if (n == 1)
			text_char(&a->text, c);
		else if (n == 0 || (errno != EINTR && !(errno == EAGAIN && wait_for(fd, POLLIN, until_ms))))
			return false;
	}
	return read_response(a);
}

int admin_follow(const char *admin, const char *path, FILE *out)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	int fd = connect_to(admin, until_ms), status = 0;
	struct admin_answer a;
	char piece[16384];
	ssize_t n = 1;

	text_init(&a.text, ANSWER_MAX);
	if (fd < 0 || !send_question(fd, "GET", path, until_ms) || !receive_head(fd, &a, until_ms))
		nobody(admin);
	else
		status = (int)a.status;
	text_fini(&a.text);
	while (status && n > 0) {
		n = recv(fd, piece, sizeof(piece), 0);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1) >= 0)))
			n = 1;                    /* again */
		else if (n > 0 && (fwrite(piece, 1, (size_t)n, out) != (size_t)n || fflush(out) != 0))
			break;
	}
	if (fd >= 0)
		close(fd);
	return status;
}
