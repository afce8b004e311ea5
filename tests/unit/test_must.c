/* test_must.c - a false claim is told, the witness is heard once, the process dies of SIGABRT. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"

static void tells(void *self)
{
	fprintf(stderr, "witness saw %s\n", (const char *)self);
}

static void fails_itself(void *self)
{
	tells(self);
	must(self == NULL);
}

/* Runs the claim in a child; what it wrote to stderr goes to `said`. */
static int die(void (*witness)(void *), char *said, size_t size)
{
	static char name[] = "exchange 17";
	int ends[2], status;
	size_t len = 0;

	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (!child) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		signal(SIGABRT, SIG_DFL);
		dup2(ends[1], STDERR_FILENO);
		must_witness(witness, name);
		int two = 2;
		must(two == 2);
		must(two == 3);
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t n; len < size - 1 && (n = read(ends[0], said + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	said[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void says_what_was_claimed_and_aborts(void **state)
{
	(void)state;
	char said[4096];
	int status = die(tells, said, sizeof(said));

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(said, "must(two == 3) is false in die"));
	assert_non_null(strstr(said, "test_must.c:"));
	assert_null(strstr(said, "two == 2"));
	assert_non_null(strstr(said, "witness saw exchange 17"));
}

static void needs_no_witness(void **state)
{
	(void)state;
	char said[4096];
	int status = die(NULL, said, sizeof(said));

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(said, "must(two == 3)"));
}

static void a_witness_that_fails_is_not_asked_again(void **state)
{
	(void)state;
	char said[4096];
	int status = die(fails_itself, said, sizeof(said));
	char *first = strstr(said, "witness saw");

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(first);
	assert_null(strstr(first + 1, "witness saw"));
	assert_non_null(strstr(said, "must(self == NULL)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_was_claimed_and_aborts), cmocka_unit_test(needs_no_witness),
		cmocka_unit_test(a_witness_that_fails_is_not_asked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
