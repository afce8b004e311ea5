/* outlet.c - see outlet.h. A descriptor is never waited for. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum {
	BYTES = 128 * 1024,
	PIPE_WRITE_BYTES = 4096,              /* a pipe that polls writable takes this much without blocking (PIPE_BUF) */
};

uint64_t outlet_lines(const char *at, size_t len)
{
	const char *end = at + len;
	uint64_t n = 0;
	for (; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
		n++;
	return n;
}

/* ── life ── */

static int open_file(struct span path)
{
	char name[4096];
	if (path.len >= sizeof(name)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, path.at, path.len);
	name[path.len] = '\0';
	return open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

static void use(struct outlet *o, int fd)
{
	struct stat st;
	bool known = fstat(fd, &st) == 0;
	o->fd = fd;
	o->is_socket = known && S_ISSOCK(st.st_mode);
	o->write_max = known && S_ISREG(st.st_mode) ? BYTES : PIPE_WRITE_BYTES;
}

static void free_outlet(struct outlet *o)
{
	free(o->bytes);
	free(o);
}

struct outlet *outlet_open(const struct conf_access_log *conf, struct outlet_room room)
{
	struct outlet *o = calloc(1, sizeof(*o));
	if (!o || !outlet_make_room(o, BYTES)) {
		free(o);
		errno = ENOMEM;
		return NULL;
	}
	o->owns_fd = conf->to == CONF_LOG_FILE;
	int fd = o->owns_fd ? open_file(conf->file) : conf->to == CONF_LOG_STDERR ? STDERR_FILENO : STDOUT_FILENO;
	if (fd < 0) {
		int error = errno;
		free_outlet(o);
		errno = error;
		return NULL;
	}
	use(o, fd);
	o->room = room;
	return o;
}

static void await_no_more(struct outlet *o)
{
	if (o->awaits)
		loop_unwatch(o->room.loop, &o->watch);
	o->awaits = false;
}

void outlet_close(struct outlet *o)
{
	await_no_more(o);
	if (o->owns_fd)
		close(o->fd);
	free_outlet(o);
}

bool outlet_reopen(struct outlet *o, struct span file)
{
	int fd = open_file(file);
	if (fd < 0)
		return false;
	outlet_write(o);
	await_no_more(o);
	close(o->fd);
	use(o, fd);
	return true;
}

/* ── lines ── */

bool outlet_make_room(struct outlet *o, size_t more)
{
	if (o->from) {
		memmove(o->bytes, o->bytes + o->from, o->to - o->from);
		o->to -= o->from;
		o->from = 0;
	}
	if (o->size - o->to >= more)
		return true;
	char *bytes = realloc(o->bytes, o->to + more);
	if (!bytes)
		return false;
	o->bytes = bytes;
	o->size = o->to + more;
	return true;
}

static void there_is_room(struct watch *w, uint32_t events)
{
	struct outlet *o = container_of(w, struct outlet, watch);
	(void)events;
	await_no_more(o);
	o->room.ready(o->room.self);
}

/* Or else its reader would get one pipeful per tick of the owner's. */
static void await_room(struct outlet *o)
{
	o->watch.ready = there_is_room;
	if (!o->awaits)
		o->awaits = loop_watch_room(o->room.loop, &o->watch, o->fd);
}

/* Standard output may be shared, so it is not ours to make non-blocking: for pipes and terminals we look before each small write. */
static ssize_t write_some(struct outlet *o)
{
	const char *at = o->bytes + o->from;
	size_t len = o->to - o->from;
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	if (o->is_socket) {
		ssize_t n = send(o->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			await_room(o);
		return n;
	}
	if (len > o->write_max) {                 /* whole lines, when there is one that fits: others may write here too */
		const char *end = memrchr(at, '\n', o->write_max);
		len = end ? (size_t)(end + 1 - at) : o->write_max;
	}
	int ready = poll(&p, 1, 0);
	if (ready == 0)
		await_room(o);                    /* not for one that has failed: that would be "ready" at once, and for ever */
	if (ready != 1 || !(p.revents & POLLOUT))
		return -1;
	return write(o->fd, at, len);
}

static void complain_once(struct outlet *o, int error)
{
	if (o->complained || error == EAGAIN || error == EINTR || error == 0)
		return;
	o->complained = true;
	log_event(LOG_ERROR, "access_log_write_failed", "error", strerror(error), NULL);
}

bool outlet_write(struct outlet *o)
{
	while (o->from < o->to) {
		errno = 0;
		ssize_t n = write_some(o);
		if (n <= 0) {
			complain_once(o, errno);
			return false;
		}
		o->complained = false;
		o->from += (size_t)n;
	}
	return true;
}
