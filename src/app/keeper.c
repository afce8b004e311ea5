/* keeper.c - see keeper.h. One message is one question or one answer. A question names who asks, as one who has died may have left his behind. */
#include "app/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/loop.h"

enum { PATIENCE_US = 1000000, ADDRESS_MAX = SURVIVORS_ADDRESS, MESSAGES_MAX = 1024 };
enum wish { WISH_OPEN, WISH_RELEASE, WISH_TAKE };

struct asker { pid_t who; unsigned thread; uint64_t at_us; };     /* which question an answer is to */
struct question { struct asker from; enum wish wish; unsigned len; char address[ADDRESS_MAX]; };
struct answer { struct asker to; char why[SOCKETS_WHY]; };

union room { struct cmsghdr head; char bytes[CMSG_SPACE(sizeof(int))]; };        /* for one descriptor */
union many { struct cmsghdr head; char bytes[CMSG_SPACE(KEEPER_FDS * sizeof(int))]; };

static struct cmsghdr *enclose(struct msghdr *m, const int *fds, unsigned count)
{
	struct cmsghdr *with = CMSG_FIRSTHDR(m);
	with->cmsg_level = SOL_SOCKET;
	with->cmsg_type = SCM_RIGHTS;
	with->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(with), fds, count * sizeof(int));
	return with;
}

/* ── the server's end ── */

static bool ask(int keeper, struct question *q, enum wish wish, unsigned thread, struct span address)
{
	*q = (struct question){ .from = { getpid(), thread, clock_now_us() }, .wish = wish, .len = (unsigned)address.len };
	if (address.len > sizeof(q->address))
		return false;
	memcpy(q->address, address.at, address.len);
	return send(keeper, q, sizeof(*q), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*q);
}

static int receive(int keeper, struct answer *a)
{
	union room room;
	struct iovec bytes = { a, sizeof(*a) };
	struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room) };
	int fd = -1;
	ssize_t n = recvmsg(keeper, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *with = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (with && with->cmsg_level == SOL_SOCKET && with->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(with), sizeof(fd));
	if (n != sizeof(*a))
		*a = (struct answer){ .to.who = 0 };
	return fd;
}

static int await(int keeper, const struct question *q, char why[SOCKETS_WHY])
{
	uint64_t until = clock_now_us() + PATIENCE_US;
	for (uint64_t now; (now = clock_now_us()) < until; ) {
		struct pollfd on = { .fd = keeper, .events = POLLIN };
		struct answer a;
		if (poll(&on, 1, (int)((until - now + 999) / 1000)) <= 0)
			continue;
		int fd = receive(keeper, &a);
		if (a.to.who == q->from.who && a.to.at_us == q->from.at_us && a.to.thread == q->from.thread) {
			snprintf(why, SOCKETS_WHY, "%.*s", SOCKETS_WHY - 1, a.why);
			return fd;
		}
		if (fd >= 0)
			close(fd);
		if (on.revents & POLLHUP)
			break;
	}
	snprintf(why, SOCKETS_WHY, "the supervisor does not answer");
	return -1;
}

struct socket_row *keeper_open(int keeper, struct sockets *into, struct span address, char why[SOCKETS_WHY])
{
	if (keeper < 0)
		return sockets_add(into, address, why);
	struct socket_row *row = sockets_add_empty(into, address);
	snprintf(why, SOCKETS_WHY, "out of memory");
	for (unsigned k = 0; row && k < into->threads; k++) {
		struct question q;
		snprintf(why, SOCKETS_WHY, "the supervisor cannot be asked");
		row->fds[k] = ask(keeper, &q, WISH_OPEN, k, address) ? await(keeper, &q, why) : -1;
		if (row->fds[k] >= 0)
			continue;
		sockets_drop(into, row);
		keeper_release(keeper, address);
		row = NULL;
	}
	return row;
}

void keeper_release(int keeper, struct span address)
{
	struct question q;
	if (keeper < 0)
		sockets_unlink(address);
	else
		ask(keeper, &q, WISH_RELEASE, 0, address);
}

void keeper_leave(int keeper, struct span address, const int *fds, unsigned count)
{
	struct question q = { .from = { .who = 0 }, .wish = WISH_TAKE, .len = (unsigned)address.len };
	union many room = { .bytes = { 0 } };
	struct iovec bytes = { &q, sizeof(q) };
	struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	if (keeper < 0 || address.len > sizeof(q.address))
		return;
	memcpy(q.address, address.at, address.len);
	enclose(&m, fds, count);
	ssize_t sent = sendmsg(keeper, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)sent;
}

/* ── the supervisor's end ── */

bool keeper_pair(int *ours, int *theirs)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	*ours = pair[0];
	*theirs = pair[1];
	return true;
}

static void reply(int ours, struct answer *a, int fd)
{
	union room room = { .bytes = { 0 } };
	struct iovec bytes = { a, sizeof(*a) };
	struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1 };
	if (fd >= 0) {
		m.msg_control = &room;
		m.msg_controllen = sizeof(room);
		enclose(&m, &fd, 1);
	}
	ssize_t sent = sendmsg(ours, &m, MSG_NOSIGNAL | MSG_DONTWAIT);     /* no room: nobody reads, and who asked gives up by itself */
	(void)sent;
}

static void carry_out(int ours, struct sockets *s, const struct question *q)
{
	struct span address = { q->address, q->len };
	struct socket_row *row = sockets_row(s, address);
	struct answer a = { .to = q->from };
	if (q->wish == WISH_RELEASE) {
		if (!row)
			return;
		sockets_drop(s, row);
		sockets_unlink(address);
		return;
	}
	if (!row)
		row = sockets_add(s, address, a.why);
	reply(ours, &a, row && q->from.thread < s->threads ? row->fds[q->from.thread] : -1);
}

/* Whatever came with it, with or without a good reason, is ours now. */
static void take_enclosed(struct msghdr *m, const struct question *q, struct survivors *into)
{
	for (struct cmsghdr *with = CMSG_FIRSTHDR(m); with; with = CMSG_NXTHDR(m, with)) {
		if (with->cmsg_level != SOL_SOCKET || with->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= with->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int fd;
			memcpy(&fd, CMSG_DATA(with) + at, sizeof(fd));
			if (q->wish == WISH_TAKE && q->len <= sizeof(q->address))
				survivors_add(into, fd, (struct span){ q->address, q->len });
			else
				close(fd);
		}
	}
}

void keeper_answer(int ours, struct sockets *s, struct survivors *survivors)
{
	for (unsigned left = MESSAGES_MAX; left > 0; left--) {      /* whatever a server may do, its supervisor has other things to do too */
		struct question q = { .len = 0 };
		union many room;
		struct iovec bytes = { &q, sizeof(q) };
		struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room) };
		ssize_t n = recvmsg(ours, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return;
		take_enclosed(&m, &q, survivors);
		if (n == sizeof(q) && q.len <= sizeof(q.address) && q.wish != WISH_TAKE)
			carry_out(ours, s, &q);
	}
}
