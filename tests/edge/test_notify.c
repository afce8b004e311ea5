/* test_notify.c - sd_notify's datagrams: addresses, whose watchdog it is, what the messages say, and a manager that does not listen. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/notify.h"

static int listen_at(const char *name, char path[64])
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int len = snprintf(path, 64, "%s-%d", name, (int)getpid());
	memcpy(at.sun_path, path, (size_t)len);
	if (path[0] == '@')
		at.sun_path[0] = '\0';
	else
		unlink(path);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len + (path[0] != '@'))), 0);
	return fd;
}

static void expect(int fd, const char *want)
{
	char heard[1024];
	ssize_t n = recv(fd, heard, sizeof(heard) - 1, 0);
	assert_true(n > 0);
	heard[n] = '\0';
	assert_string_equal(heard, want);
}

static void test_messages(void **state)
{
	static const char *const names[] = { "/tmp/outrigger-notify", "@outrigger-notify" };
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		char path[64];
		const char *why = NULL;
		struct notify n;
		int fd = listen_at(names[i], path);
		setenv("NOTIFY_SOCKET", path, 1);
		assert_true(notify_init(&n, -1, &why));
		notify_ready(&n, SPAN("Serving"));
		notify_reloading(&n, 1234567);
		notify_stopping(&n, 35000000);
		notify_alive(&n);
		expect(fd, "READY=1\nSTATUS=Serving");
		expect(fd, "RELOADING=1\nMONOTONIC_USEC=1234567");
		expect(fd, "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=35000000");
		expect(fd, "WATCHDOG=1");
		notify_fini(&n);
		notify_alive(&n);                 /* nobody to tell it to any more */
		assert_int_equal(recv(fd, path, 1, 0), -1);
		close(fd);
		if (names[i][0] == '/')
			unlink(getenv("NOTIFY_SOCKET"));
	}
}

static void test_a_long_status_is_cut(void **state)
{
	char path[64], status[2000], want[400];
	const char *why = NULL;
	struct notify n;
	(void)state;
	memset(status, 'x', sizeof(status));
	int fd = listen_at("@outrigger-notify-long", path);
	setenv("NOTIFY_SOCKET", path, 1);
	assert_true(notify_init(&n, -1, &why));
	notify_ready(&n, (struct span){ status, sizeof(status) });
	snprintf(want, sizeof(want), "READY=1\nSTATUS=%.300s", status);
	expect(fd, want);
	notify_fini(&n);
	close(fd);
}

/* A manager that does not read fills its socket: telling it must not block. */
static void test_a_deaf_manager(void **state)
{
	char path[64];
	const char *why = NULL;
	struct notify n;
	(void)state;
	int fd = listen_at("@outrigger-notify-deaf", path);
	setenv("NOTIFY_SOCKET", path, 1);
	assert_true(notify_init(&n, -1, &why));
	for (unsigned i = 0; i < 5000; i++)
		notify_alive(&n);
	expect(fd, "WATCHDOG=1");
	close(fd);
	notify_alive(&n);                         /* nor does its end matter */
	notify_fini(&n);
}

static void test_addresses(void **state)
{
	char longest[200];
	const char *const bad[] = { "relative", "@", "/", longest, "/no/such/folder/socket", "tcp:127.0.0.1:1" };
	const char *why;
	struct notify n;
	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		why = NULL;
		assert_false(notify_init(&n, -1, &why));
		assert_non_null(why);
		notify_ready(&n, SPAN("nobody hears this"));
		notify_fini(&n);
	}
	setenv("NOTIFY_SOCKET", "", 1);
	assert_true(notify_init(&n, -1, &why));
	assert_int_equal(n.fd, -1);
	unsetenv("NOTIFY_SOCKET");
	assert_true(notify_init(&n, -1, &why));
	assert_int_equal(n.fd, -1);
}

static void test_whose_watchdog(void **state)
{
	char path[64], pid[32];
	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	const struct { const char *us, *pid; uint64_t want; } cases[] = {
		{ "15000000", pid, 15000000 }, { "15000000", NULL, 15000000 }, { "15000000", "1", 0 }, { "15000000", "", 0 }, { "15000000", "x", 0 },
		{ NULL, pid, 0 }, { "", pid, 0 }, { "-5", pid, 0 }, { "5s", pid, 0 }, { "99999999999999999999", pid, 0 }, { "0", pid, 0 },
	};
	int fd = listen_at("@outrigger-notify-dog", path);
	setenv("NOTIFY_SOCKET", path, 1);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *why = NULL;
		struct notify n;
		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].us)
			setenv("WATCHDOG_USEC", cases[i].us, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		assert_true(notify_init(&n, -1, &why));
		assert_int_equal(n.watchdog_us, cases[i].want);
		notify_fini(&n);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages), cmocka_unit_test(test_a_long_status_is_cut), cmocka_unit_test(test_a_deaf_manager),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_whose_watchdog),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
