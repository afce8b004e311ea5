/* notify.c - see notify.h. The socket is connected once, at the start: later the process may have lost the right to. */
#include "app/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

enum { MESSAGE_BYTES = 512, STATUS_BYTES = 300 };

/* 0: not meant for this process. A watchdog that wants no word within a century is none. */
static uint64_t watchdog_us(bool supervised)
{
	uint64_t us = 0, pid = 0;
	const char *wanted = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
	if (!wanted || !span_to_u64(span_of(wanted), UINT64_MAX / 1000, &us))
		return 0;
	if (whose && (!span_to_u64(span_of(whose), INT32_MAX, &pid) || ((pid_t)pid != getpid() && (!supervised || (pid_t)pid != getppid()))))
		return 0;
	return us;
}

static int connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(to.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')                       /* abstract: its name begins with a zero, and its end is where the address ends */
		to.sun_path[0] = '\0';
	else
		len++;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

bool notify_init(struct notify *n, int supervisor, const char **why)
{
	const char *path = getenv("NOTIFY_SOCKET");
	*n = (struct notify){ .fd = -1 };
	if (!path || !*path)
		return true;
	n->fd = supervisor >= 0 ? supervisor : connect_to(path);
	if (n->fd < 0) {
		*why = strerror(errno);
		return false;
	}
	n->watchdog_us = watchdog_us(supervisor >= 0);
	return true;
}

void notify_fini(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

static void tell(struct notify *n, struct span message)
{
	if (n->fd >= 0)
		(void)!send(n->fd, message.at, message.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void notify_ready(struct notify *n, struct span status)
{
	char memory[MESSAGE_BYTES];
	struct text m;
	text_over(&m, memory, sizeof(memory));
	text_add(&m, SPAN("READY=1\nSTATUS="));
	text_add(&m, span_first(status, STATUS_BYTES));
	tell(n, text_span(&m));
}

void notify_reloading(struct notify *n, uint64_t now_us)
{
	char memory[MESSAGE_BYTES];
	struct text m;
	text_over(&m, memory, sizeof(memory));
	text_add(&m, SPAN("RELOADING=1\nMONOTONIC_USEC="));
	text_u64(&m, now_us);
	tell(n, text_span(&m));
}

void notify_stopping(struct notify *n, uint64_t patience_us)
{
	char memory[MESSAGE_BYTES];
	struct text m;
	text_over(&m, memory, sizeof(memory));
	text_add(&m, SPAN("STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC="));
	text_u64(&m, patience_us);
	tell(n, text_span(&m));
}

/* A server that somebody has taken over may say how it is, and no more: not who the service is, nor keep descriptors with the manager. */
void notify_pass_on(struct notify *n, struct span message)
{
	static const char *const allowed[] = {
		"READY=1", "STATUS=", "RELOADING=1", "MONOTONIC_USEC=", "STOPPING=1", "EXTEND_TIMEOUT_USEC=", "WATCHDOG=1",
	};
	struct span rest = message, line;
	while (span_next(&rest, '\n', &line)) {
		bool known = false;
		for (unsigned i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
			known |= span_starts(line, span_of(allowed[i]));
		if (!known)
			return;
	}
	tell(n, message);
}

void notify_alive(struct notify *n) { tell(n, SPAN("WATCHDOG=1")); }
