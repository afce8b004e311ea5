/* test_keeper.c - sockets asked for: what is given, what cannot be, what is given back, and answers to somebody who has died meanwhile. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/keeper.h"
#include "edge/listen.h"

struct desk { struct sockets kept; struct survivors left; int ours, theirs, over[2]; pthread_t thread; };

/* What the supervisor does between its other chores. */
static void *answer(void *self)
{
	struct desk *d = self;
	for (;;) {
		struct pollfd on[] = { { .fd = d->ours, .events = POLLIN }, { .fd = d->over[0], .events = POLLIN } };
		poll(on, 2, -1);
		keeper_answer(d->ours, &d->kept, &d->left);
		if (on[1].revents)
			return NULL;
	}
}

static void open_desk(struct desk *d, unsigned threads)
{
	*d = (struct desk){ .kept = { .threads = threads, .admin = -1 } };
	assert_true(keeper_pair(&d->ours, &d->theirs));
	assert_int_equal(pipe(d->over), 0);
}

static void work(struct desk *d) { assert_int_equal(pthread_create(&d->thread, NULL, answer, d), 0); }

static void stop_working(struct desk *d)
{
	assert_int_equal(write(d->over[1], "", 1), 1);
	pthread_join(d->thread, NULL);
}

static void close_desk(struct desk *d)
{
	stop_working(d);
	sockets_forget(&d->kept);
	close(d->ours);
	close(d->theirs);
	close(d->over[0]);
	close(d->over[1]);
}

static void test_given_and_given_back(void **state)
{
	struct desk d;
	struct sockets mine = { .threads = 3, .admin = -1 };
	char why[SOCKETS_WHY];
	(void)state;
	open_desk(&d, 3);
	work(&d);
	struct socket_row *row = keeper_open(d.theirs, &mine, SPAN("127.0.0.1:0"), why);
	assert_non_null(row);
	assert_true(span_eq(row->address, SPAN("127.0.0.1:0")));
	for (unsigned k = 0; k < 3; k++) {
		int listens = 0;
		socklen_t len = sizeof(listens);
		assert_int_equal(getsockopt(row->fds[k], SOL_SOCKET, SO_ACCEPTCONN, &listens, &len), 0);
		assert_int_equal(listens, 1);
		assert_int_equal(listen_port(row->fds[k]), listen_port(d.kept.rows[0].fds[k]));   /* the same socket, not another */
	}
	keeper_release(d.theirs, SPAN("127.0.0.1:0"));
	keeper_release(d.theirs, SPAN("127.0.0.1:1"));    /* one that it does not have */
	assert_null(keeper_open(d.theirs, &mine, SPAN("nonsense"), why));
	assert_non_null(strstr(why, "not an address"));
	assert_int_equal(mine.count, 1);
	assert_int_equal(d.kept.count, 0);
	sockets_forget(&mine);
	close_desk(&d);
}

static void test_a_file_is_taken_away(void **state)
{
	struct desk d;
	struct sockets mine = { .threads = 2, .admin = -1 };
	struct stat st;
	char why[SOCKETS_WHY], address[64];
	(void)state;
	int len = snprintf(address, sizeof(address), "unix:/tmp/outrigger-keeper-%d", (int)getpid());
	open_desk(&d, 2);
	work(&d);
	assert_non_null(keeper_open(d.theirs, &mine, span_of(address), why));
	assert_int_equal(stat(address + 5, &st), 0);
	keeper_release(d.theirs, span_of(address));
	assert_null(keeper_open(d.theirs, &mine, SPAN(""), why));     /* answered: so the other was carried out */
	assert_int_equal(stat(address + 5, &st), -1);
	assert_true(len > 5);
	sockets_forget(&mine);
	close_desk(&d);
}

static void test_answers_to_the_dead(void **state)
{
	struct desk d;
	struct sockets mine = { .threads = 1, .admin = -1 };
	char why[SOCKETS_WHY];
	int status;
	(void)state;
	open_desk(&d, 1);
	pid_t child = fork();
	if (child == 0) {                         /* nobody answers it: it gives up */
		bool none = !keeper_open(d.theirs, &mine, SPAN("nonsense"), why) && strstr(why, "does not answer");
		_exit(none ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	work(&d);                                 /* and now it is answered */
	struct socket_row *row = keeper_open(d.theirs, &mine, SPAN("127.0.0.1:0"), why);
	assert_non_null(row);
	assert_true(row->fds[0] >= 0);
	sockets_forget(&mine);
	close_desk(&d);
}

/* What a dying server leaves arrives as what it is, with the address where it came in; also more than one parcel. */
static void test_left_behind(void **state)
{
	struct desk d;
	int pairs[KEEPER_FDS][2], ends[KEEPER_FDS];
	char c = 0;
	(void)state;
	open_desk(&d, 1);
	for (unsigned i = 0; i < KEEPER_FDS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
		ends[i] = pairs[i][0];
	}
	keeper_leave(d.theirs, SPAN("127.0.0.1:1"), ends, KEEPER_FDS);
	keeper_leave(d.theirs, SPAN("127.0.0.1:2"), ends, 1);
	keeper_leave(-1, SPAN("127.0.0.1:2"), ends, 1);
	for (unsigned i = 0; i < KEEPER_FDS; i++)
		close(ends[i]);
	keeper_answer(d.ours, &d.kept, &d.left);
	assert_int_equal(d.left.count, KEEPER_FDS + 1);
	assert_string_equal(d.left.at[0].address, "127.0.0.1:1");
	assert_string_equal(d.left.at[KEEPER_FDS].address, "127.0.0.1:2");
	for (unsigned i = 0; i < KEEPER_FDS; i++) {
		assert_int_equal(write(d.left.at[i].fd, "x", 1), 1);
		assert_int_equal(read(pairs[i][1], &c, 1), 1);
	}
	survivors_close(&d.left);
	for (unsigned i = 0; i < KEEPER_FDS; i++) {
		assert_int_equal(read(pairs[i][1], &c, 1), 0);    /* nobody holds the other end any more */
		close(pairs[i][1]);
	}
	work(&d);
	close_desk(&d);
}

/* Descriptors that come with a wish that has none are closed, not collected; so are those of a message that is not one of ours. */
static void test_nothing_is_smuggled_in(void **state)
{
	struct desk d;
	int pair[2];
	char c, wire[8] = { 0 };
	union { struct cmsghdr head; char bytes[CMSG_SPACE(sizeof(int))]; } room = { .bytes = { 0 } };
	struct iovec bytes = { wire, sizeof(wire) };
	struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof(room) };
	(void)state;
	open_desk(&d, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	*CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &pair[0], sizeof(int));
	assert_int_equal(sendmsg(d.theirs, &m, 0), sizeof(wire));
	close(pair[0]);
	keeper_answer(d.ours, &d.kept, &d.left);
	assert_int_equal(d.left.count, 0);
	assert_int_equal(read(pair[1], &c, 1), 0);
	close(pair[1]);
	work(&d);
	close_desk(&d);
}

static void test_alone(void **state)
{
	struct sockets mine = { .threads = 2, .admin = -1 };
	char why[SOCKETS_WHY];
	(void)state;
	assert_non_null(keeper_open(-1, &mine, SPAN("127.0.0.1:0"), why));
	assert_null(keeper_open(-1, &mine, SPAN("unix:"), why));
	assert_int_equal(mine.count, 1);
	sockets_forget(&mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_given_and_given_back), cmocka_unit_test(test_a_file_is_taken_away),
		cmocka_unit_test(test_answers_to_the_dead), cmocka_unit_test(test_alone),
		cmocka_unit_test(test_left_behind), cmocka_unit_test(test_nothing_is_smuggled_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
