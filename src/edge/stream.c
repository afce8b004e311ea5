/* stream.c - sockets, edge-triggered, one write per turn.
 *
 * Invariants: a stream with something in `out` is on the flush list, or not writable, or connecting. `again` holds it only while an edge is
 * pending and input is wanted. After stream_close no event is delivered but `free`.
 *
 * The four system calls of a request go past libc's wrappers: those are points where a thread can be cancelled, which costs two atomic operations
 * each once there are threads, a hundredth of the whole in sum. No thread is ever cancelled here.
 */
#include "edge/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/must.h"
#include "splice.h"

enum { PIECES_PER_WRITE = 16, READ_MIN = 20 * 1024, LOW_WATER = 256 * 1024, GUARD_US = 5000 };

/* One read per visit, so that a fast sender does not starve the others; what is left waits for the next turn. */
static void deliver_input(struct stream *s)
{
	s->on->input(s);
	if (!s->closed && s->readable && s->wants_input)
		chore_add(&s->loop->again, &s->again);
}

static void input_again(struct chore *c)
{
	struct stream *s = container_of(c, struct stream, again);
	if (!s->closed && s->readable && s->wants_input)
		deliver_input(s);
}

static void free_dead(struct chore *c)
{
	struct stream *s = container_of(c, struct stream, dead);
	s->on->free(s);
}

/* ── writing ── */

static void shut_when_empty(struct stream *s)
{
	if (s->ends && s->out.len == 0 && !s->connecting && !s->spoiled) {
		s->ends = false;
		shutdown(s->watch.fd, SHUT_WR);
	}
}

static ssize_t write_out(struct stream *s)
{
	struct iovec iov[PIECES_PER_WRITE];
	struct msghdr msg = { .msg_iov = iov };
	if (slice_is_elsewhere(buf_first(&s->out)->slice))
		return splice_write(buf_first(&s->out)->slice, s->watch.fd);
	for (const struct buf_piece *p = buf_first(&s->out); p && msg.msg_iovlen < PIECES_PER_WRITE && !slice_is_elsewhere(p->slice); p = p->next)
		iov[msg.msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)p->slice.at, p->slice.len };
	if (msg.msg_iovlen == 1)
		return syscall(SYS_sendto, s->watch.fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL, NULL, 0);
	return syscall(SYS_sendmsg, s->watch.fd, &msg, MSG_NOSIGNAL);
}

static void write_now(struct stream *s)
{
	size_t written = 0;
	while (s->out.len && s->writable) {
		ssize_t n = write_out(s);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			s->writable = false;
			break;
		}
		if (n < 0) {
			s->error = errno;
			s->writable = false;
			s->on->gone(s, true);
			return;
		}
		written += (size_t)n;
		buf_drop(&s->out, (size_t)n);
	}
	if (written || s->out.len == 0)
		s->on->wrote(s, written);
	if (!s->closed)
		shut_when_empty(s);
}

static void flush(struct chore *c)
{
	struct stream *s = container_of(c, struct stream, flush);
	if (!s->closed && !s->connecting)
		write_now(s);
}

static void want_flush(struct stream *s)
{
	if (s->writable && !s->connecting)
		chore_add(&s->loop->flush, &s->flush);
}

bool stream_send(struct stream *s, struct slice bytes)
{
	want_flush(s);
	s->spoiled = s->spoiled || !buf_keep(&s->out, bytes);
	return !s->spoiled;
}

char *stream_room(struct stream *s, size_t n)
{
	char *room = s->spoiled ? NULL : buf_room(&s->out, n);
	s->spoiled = !room;
	return room;
}

void stream_grew(struct stream *s, size_t n)
{
	buf_grew(&s->out, n);
	want_flush(s);
}

void stream_poke(struct stream *s) { chore_add(&s->loop->flush, &s->flush); }

void stream_end(struct stream *s)
{
	s->ends = true;
	if (s->out.len == 0)
		shut_when_empty(s);
}

/* ── events ── */

static void connect_done(struct stream *s, uint32_t events)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (!error && (events & (EPOLLERR | EPOLLHUP)))
		error = ECONNREFUSED;
	s->connecting = false;
	s->writable = error == 0;
	s->on->connected(s, error);
	if (!s->closed && !error && (s->out.len || s->ends))
		write_now(s);
}

static void ready(struct watch *w, uint32_t events)
{
	struct stream *s = container_of(w, struct stream, watch);
	if (s->closed)
		return;
	if (s->connecting) {
		connect_done(s, events);
		if (s->closed || s->connecting)
			return;
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		s->hup = true;
	if ((events & EPOLLOUT) && !s->writable) {
		s->writable = true;
		write_now(s);
		if (s->closed)
			return;
	}
	if (s->readable && s->wants_input)
		deliver_input(s);
	else if (s->hup || (events & EPOLLERR))
		s->on->gone(s, events & EPOLLERR);        /* EPOLLHUP alone is two ends that have met, not a reset */
}

/* ── reading ── */

static struct chunk *chunk_to_fill(struct loop *loop, bool large)
{
	struct chunk **kept = large ? &loop->body_chunk : &loop->read_chunk;
	unsigned size = large ? CHUNK_BODY : CHUNK_HEAD;

	if (*kept && (*kept)->refs == 1)
		(*kept)->used = 0;                /* nobody kept a part of the last read: fill it afresh */
	if (*kept && (large ? (*kept)->used : (*kept)->size - (*kept)->used < READ_MIN)) {
		chunk_unref(*kept);
		*kept = NULL;
	}
	if (!*kept)
		*kept = chunk_new(&loop->worker.chunks, size);
	return *kept;
}

enum stream_got stream_read(struct stream *s, bool large, struct slice *got)
{
	struct chunk *c = chunk_to_fill(s->loop, large);
	if (!c) {
		s->error = ENOMEM;
		return GOT_ERROR;
	}
	size_t room = c->size - c->used;
	ssize_t n;
	do
		n = syscall(SYS_recvfrom, s->watch.fd, c->data + c->used, room, 0, NULL, NULL);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		*got = (struct slice){ c, c->data + c->used, (size_t)n };
		c->used += (unsigned)n;
		/* A short read has emptied the socket, and news will be a new edge; but the end that was announced is still to be read. */
		s->readable = (size_t)n == room || s->hup;
		return GOT_BYTES;
	}
	if (n == 0) {
		s->readable = false;
		return GOT_END;
	}
	if (errno == EAGAIN) {
		s->readable = false;
		return GOT_NOTHING;
	}
	s->readable = false;
	s->error = errno;
	return GOT_ERROR;
}

static void guard_went_off(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, guard);
	s->stalled = s->readable = true;          /* there may be bytes below the low-water mark */
	if (s->wants_input)
		chore_add(&s->loop->again, &s->again);
}

static void set_low_water(struct stream *s, uint64_t bytes)
{
	int mark = bytes > LOW_WATER ? LOW_WATER : (int)bytes;
	if (mark != s->low_water && setsockopt(s->watch.fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)) == 0)
		s->low_water = mark;
	if (s->low_water > 1)
		worker_arm(&s->loop->worker, &s->guard, GUARD_US, guard_went_off);
	else
		worker_disarm(&s->loop->worker, &s->guard);
}

enum stream_got stream_splice(struct stream *s, struct splice **pipe, uint64_t left, struct slice *got)
{
	if (!*pipe)                               /* the beginning: every sender is taken for a fast one */
		set_low_water(s, left);
	ssize_t n = splice_read(s->loop, pipe, s->watch.fd, left < SPLICE_MOST ? (size_t)left : SPLICE_MOST, got);
	bool slow = s->stalled && n < SPLICE_MIN;
	s->stalled = false;
	if (n > 0) {                              /* how much is left in the socket cannot be told from n: the next look will say */
		uint64_t mark = slow ? 1 : n >= SPLICE_MIN ? LOW_WATER : (uint64_t)s->low_water;
		left -= (uint64_t)n;
		set_low_water(s, left == 0 ? 1 : mark < left ? mark : left);
		return GOT_BYTES;
	}
	s->readable = false;
	if (n == 0)
		return GOT_END;
	s->error = errno;
	if (errno != EAGAIN)
		return GOT_ERROR;
	if (slow)
		set_low_water(s, 1);
	return GOT_NOTHING;
}

void stream_want_input(struct stream *s, bool want)
{
	s->wants_input = want;
	if (want && s->readable && !s->closed)
		chore_add(&s->loop->again, &s->again);
}

/* ── life ── */

static void stream_init(struct stream *s, struct loop *loop, const struct stream_events *on, size_t out_max)
{
	s->loop = loop;
	s->on = on;
	s->watch.ready = ready;
	chore_init(&s->again, input_again);
	chore_init(&s->flush, flush);
	chore_init(&s->dead, free_dead);
	buf_init(&s->out, &loop->worker.chunks, out_max);
	s->readable = s->hup = s->closed = s->ends = s->connecting = false;
	s->writable = s->wants_input = true;
	s->stalled = s->spoiled = false;
	s->error = 0;
	s->low_water = 1;
	s->guard = (struct timer){ 0 };
}

static bool watch_stream(struct stream *s, int fd)
{
	if (loop_watch(s->loop, &s->watch, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
		return true;
	s->error = errno;
	close(fd);
	return false;
}

bool stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_events *on, size_t out_max)
{
	stream_init(s, loop, on, out_max);
	return watch_stream(s, fd);
}

static int begin_connect(struct stream *s, const struct sockaddr *to, socklen_t len)
{
	int one = 1, fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	if (to->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->connecting = true;
	s->writable = s->readable = s->hup = false;
	if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
		int error = errno;
		close(fd);
		s->watch.fd = -1;
		return error;
	}
	if (watch_stream(s, fd))
		return 0;                         /* a connect that is done already is an EPOLLOUT edge at once */
	s->watch.fd = -1;
	return s->error;
}

int stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *to, socklen_t len, const struct stream_events *on,
	size_t out_max)
{
	stream_init(s, loop, on, out_max);
	return begin_connect(s, to, len);
}

int stream_reconnect(struct stream *s, const struct sockaddr *to, socklen_t len)
{
	if (s->watch.fd >= 0)
		close(s->watch.fd);
	return begin_connect(s, to, len);
}

void stream_close(struct stream *s)
{
	must(!s->closed);
	s->closed = true;
	link_remove(&s->again.link);
	link_remove(&s->flush.link);
	worker_disarm(&s->loop->worker, &s->guard);
	buf_fini(&s->out);
	if (s->watch.fd >= 0)
		close(s->watch.fd);               /* the last reference: epoll forgets it */
	chore_add(&s->loop->dead, &s->dead);
}

void stream_reset(struct stream *s)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	stream_close(s);
}
