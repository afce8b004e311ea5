/* test_sandbox.c - what can no longer be done in the sandbox, tried for real in children that enter it; and what still can. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/sandbox.h"
#include "../../src/app/sandbox_parts.h"

/* The child's answer: 0, an errno, or 1000 + the signal that ended it. Nothing but plain calls in there: a sanitizer's own would not be let through. */
static int in_a_child(int (*try)(void *), void *self)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(try(self));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

enum call { SOCKET_INET, SOCKET_PACKET, EXEC, FORK, PTRACE, WRITABLE_CODE, CODE_LATER, SETUID, RENAME, TERMINAL, KILL_PARENT, RAISE_LIMIT, ASK_LIMIT, ABORT };

static int errno_of(long result) { return result < 0 ? errno : 0; }

static int try_call(void *which)
{
	void *memory;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	pid_t parent = getppid();
	if (strcmp(seccomp_enter(), "on") != 0)
		return 255;
	switch (*(enum call *)which) {
	case SOCKET_INET:   return errno_of(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
	case SOCKET_PACKET: return errno_of(syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0));
	case EXEC:          return errno_of(syscall(SYS_execve, "/bin/true", NULL, NULL));
	case FORK:          return errno_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
	case PTRACE:        return errno_of(syscall(SYS_ptrace, 0, 0, 0, 0));
	case WRITABLE_CODE: return errno_of(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	case CODE_LATER:
		memory = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return memory == MAP_FAILED ? 254 : errno_of(syscall(SYS_mprotect, memory, 4096, PROT_READ | PROT_EXEC));
	case SETUID:        return errno_of(syscall(SYS_setuid, 0));
	case RENAME:        return errno_of(syscall(SYS_renameat2, AT_FDCWD, "/nowhere", AT_FDCWD, "/nobody", 0));
	case TERMINAL:      return errno_of(syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x"));
	case KILL_PARENT:   return errno_of(syscall(SYS_tgkill, parent, parent, 0));
	case RAISE_LIMIT:   return errno_of(syscall(SYS_prlimit64, 0, 7, &(uint64_t[2]){ 100, 100 }, NULL));
	case ASK_LIMIT:     return errno_of(syscall(SYS_prlimit64, 0, 7, NULL, &(uint64_t[2]){ 0 }));
	case ABORT:         return errno_of(syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGABRT));
	}
	return 253;
}

static void test_calls(void **state)
{
	static const struct { enum call call; int answer; } cases[] = {
		{ SOCKET_INET, 0 }, { SOCKET_PACKET, EPERM }, { EXEC, 1000 + SIGSYS }, { FORK, 1000 + SIGSYS }, { PTRACE, 1000 + SIGSYS },
		{ WRITABLE_CODE, EPERM }, { CODE_LATER, EPERM }, { SETUID, ENOSYS }, { RENAME, ENOSYS }, { TERMINAL, EPERM }, { KILL_PARENT, EPERM },
		{ RAISE_LIMIT, EPERM }, { ASK_LIMIT, 0 }, { ABORT, 1000 + SIGABRT },
	};
	(void)state;
	enum call any = SOCKET_INET;
	if (in_a_child(try_call, &any) == 255)
		skip();                           /* a kernel without */
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		enum call call = cases[i].call;
		int answer = in_a_child(try_call, &call);
		if (answer != cases[i].answer)
			fail_msg("call %u: %d, not %d", i, answer, cases[i].answer);
	}
}

/* ── files ── */

struct files { struct conf conf; const char *path; int flags; };

static int try_open(void *self)
{
	const struct files *f = self;
	struct shared *shared = shared_new();
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int version = landlock_enter(&f->conf, shared);
	if (version <= 0)
		return 255;
	return errno_of(open(f->path, f->flags | O_CLOEXEC, 0600));
}

static void write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
}

static void test_files(void **state)
{
	char home[] = "/tmp/sandbox-XXXXXX", conf[64], beside[64], log[64], other[64], secret[64], link[64];
	(void)state;
	assert_non_null(mkdtemp(home));
	snprintf(conf, sizeof(conf), "%s/conf", home);
	snprintf(other, sizeof(other), "%s/other", home);
	assert_true(mkdir(conf, 0700) == 0 && mkdir(other, 0700) == 0);
	snprintf(conf, sizeof(conf), "%s/conf/o.yaml", home);
	snprintf(beside, sizeof(beside), "%s/conf/new.yaml", home);
	snprintf(log, sizeof(log), "%s/log", home);
	snprintf(secret, sizeof(secret), "%s/other/secret", home);
	snprintf(link, sizeof(link), "%s/conf/link", home);
	assert_int_equal(mkdir(log, 0700), 0);
	snprintf(log, sizeof(log), "%s/log/access.log", home);
	write_file(conf);
	write_file(secret);
	assert_int_equal(symlink(secret, link), 0);
	struct files f = { .conf = { .file = span_of(conf), .access_log = { .to = CONF_LOG_FILE, .file = span_of(log) } } };
	const struct { const char *path; int flags, answer; } cases[] = {
		{ conf, O_RDONLY, 0 }, { beside, O_RDONLY, ENOENT }, { beside, O_WRONLY | O_CREAT, EACCES }, { conf, O_WRONLY, EACCES },
		{ log, O_WRONLY | O_APPEND | O_CREAT, 0 }, { log, O_RDONLY, EACCES }, { secret, O_RDONLY, EACCES }, { link, O_RDONLY, EACCES },
		{ "/etc/passwd", O_RDONLY, EACCES }, { "/etc/hosts", O_RDONLY, 0 }, { "/etc/hosts", O_WRONLY, EACCES }, { "/", O_RDONLY | O_DIRECTORY, EACCES },
		{ "/proc/self/statm", O_RDONLY, 0 }, { "/dev/null", O_RDWR, 0 }, { "/dev/zero", O_RDONLY, EACCES },
	};
	f.path = conf;
	f.flags = O_RDONLY;
	if (in_a_child(try_open, &f) == 255)
		skip();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		f.path = cases[i].path;
		f.flags = cases[i].flags;
		int answer = in_a_child(try_open, &f);
		if (answer != cases[i].answer)
			fail_msg("%s: %d, not %d", cases[i].path, answer, cases[i].answer);
	}
	f.conf.file = span_of(link);              /* a configuration that is a link: where it leads is open too */
	f.path = secret;
	f.flags = O_RDONLY;
	assert_int_equal(in_a_child(try_open, &f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_calls), cmocka_unit_test(test_files) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
