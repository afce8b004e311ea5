/* seccomp.c - the system calls of a server, as a filter that the kernel runs before each of them.
 *
 * Three answers. Allowed: what libc, libuv, c-ares, libcurl and we make once the sockets are open. Deadly: what no server makes and every intruder
 * wants (another program, another process' memory, mounts, modules). Everything else does not exist (ENOSYS): a libc or kernel that is newer than
 * this list finds its older way. Nearly all answers depend on the number alone, so the kernel keeps them in a bitmap and does not run the filter.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/must.h"
#include "sandbox_parts.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef OUR_ARCH
enum { PROGRAM_MAX = 1024 };
struct program { struct sock_filter at[PROGRAM_MAX]; unsigned short len; };

static const uint32_t ALLOW = SECCOMP_RET_ALLOW, DEADLY = SECCOMP_RET_KILL_PROCESS;
static const uint32_t ABSENT = SECCOMP_RET_ERRNO | ENOSYS, REFUSED = SECCOMP_RET_ERRNO | EPERM;

static void put(struct program *p, unsigned code, uint32_t k, unsigned if_true, unsigned if_false)
{
	must(p->len < PROGRAM_MAX);
	p->at[p->len++] = (struct sock_filter){ (unsigned short)code, (unsigned char)if_true, (unsigned char)if_false, k };
}

static void put_answer(struct program *p, uint32_t answer) { put(p, BPF_RET | BPF_K, answer, 0, 0); }
static void put_load(struct program *p, size_t offset) { put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void put_is(struct program *p, uint32_t value, unsigned skip_else) { put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip_else); }
/* The lower half of an argument: all that we look at are ints and flags. */
static void put_argument(struct program *p, unsigned n) { put_load(p, offsetof(struct seccomp_data, args) + n * sizeof(uint64_t)); }

static void call(struct program *p, long number, uint32_t answer)
{
	put_is(p, (uint32_t)number, 1);
	put_answer(p, answer);
}

static void calls(struct program *p, const int *numbers, unsigned count, uint32_t answer)
{
	for (unsigned i = 0; i < count; i++)
		call(p, numbers[i], answer);
}

/* Allowed when the argument is one of these. */
static void call_with(struct program *p, long number, unsigned argument, const uint32_t *values, unsigned count)
{
	put_is(p, (uint32_t)number, 2 + 2 * count);
	put_argument(p, argument);
	for (unsigned i = 0; i < count; i++) {
		put_is(p, values[i], 1);
		put_answer(p, ALLOW);
	}
	put_answer(p, REFUSED);
}

/* Depending on whether the argument has all of these bits. */
static void call_by_bits(struct program *p, long number, unsigned argument, uint32_t bits, uint32_t with, uint32_t without)
{
	put_is(p, (uint32_t)number, 5);
	put_argument(p, argument);
	put(p, BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
	put_is(p, bits, 1);
	put_answer(p, with);
	put_answer(p, without);
}

#define N(name) __NR_##name
static const int busy[] = {               /* of every request */
#ifdef __NR_epoll_wait
	N(epoll_wait),
#endif
	N(epoll_pwait), N(recvfrom), N(sendto), N(sendmsg), N(recvmsg), N(read), N(write), N(writev), N(readv), N(splice),
	N(accept4), N(close), N(connect), N(epoll_ctl), N(setsockopt), N(getsockopt), N(futex), N(shutdown),
	N(clock_gettime),
};

static const int others[] = {
	/* sockets and pipes */
	N(bind), N(listen), N(getsockname), N(getpeername), N(socketpair), N(sendmmsg), N(recvmmsg), N(pipe2), N(dup),
	N(dup3), N(fcntl), N(ppoll), N(pselect6), N(eventfd2), N(epoll_create1), N(accept),
	/* files: which ones is Landlock's business */
	N(openat), N(newfstatat), N(fstat), N(statx), N(lseek), N(pread64), N(pwrite64), N(getdents64), N(readlinkat),
	N(faccessat), N(faccessat2), N(unlinkat), N(getcwd), N(inotify_init1), N(inotify_add_watch), N(inotify_rm_watch),
	N(fadvise64), N(fstatfs), N(statfs), N(fsync), N(fdatasync),
	/* memory */
	N(munmap), N(mremap), N(madvise), N(brk), N(membarrier),
	/* threads, signals, an end */
	N(set_robust_list), N(rseq), N(exit), N(exit_group), N(sched_yield), N(sched_getaffinity), N(gettid), N(getpid),
	N(getppid), N(rt_sigaction), N(rt_sigprocmask), N(rt_sigreturn), N(sigaltstack), N(restart_syscall), N(nanosleep),
	N(clock_nanosleep), N(rt_sigtimedwait),
	/* questions */
	N(getrandom), N(uname), N(sysinfo), N(getrusage), N(gettimeofday), N(clock_getres), N(getuid), N(geteuid), N(getgid),
	N(getegid), N(times), N(getcpu),
#ifdef __x86_64__                             /* their older forms */
	N(open), N(stat), N(lstat), N(access), N(readlink), N(unlink), N(poll), N(select), N(pipe), N(dup2), N(epoll_create),
	N(eventfd), N(inotify_init), N(time), N(getrlimit), N(arch_prctl),
#endif
};

static const int deadly[] = {
	N(execve), N(execveat), N(ptrace), N(process_vm_readv), N(process_vm_writev), N(mount), N(umount2), N(pivot_root),
	N(chroot), N(setns), N(unshare), N(init_module), N(finit_module), N(delete_module), N(kexec_load), N(bpf),
	N(perf_event_open), N(open_by_handle_at), N(reboot), N(swapon),
#ifdef __x86_64__
	N(fork), N(vfork), N(iopl), N(ioperm),
#endif
};

static void write_program(struct program *p)
{
	static const uint32_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK };    /* netlink: libc asks which addresses there are */
	static const uint32_t controls[] = { FIONBIO, FIONREAD, FIOCLEX, TCGETS, TIOCGWINSZ };
	static const uint32_t names[] = { PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA: libc names its memory */ };
	const uint32_t self = (uint32_t)getpid();

	put_load(p, offsetof(struct seccomp_data, arch));
	put_is(p, OUR_ARCH, 1);
	put(p, BPF_JMP | BPF_JA, 1, 0, 0);
	put_answer(p, DEADLY);                    /* another architecture's numbers mean other calls */
	put_load(p, offsetof(struct seccomp_data, nr));
	calls(p, busy, sizeof(busy) / sizeof(*busy), ALLOW);
	call_by_bits(p, N(mmap), 2, PROT_WRITE | PROT_EXEC, REFUSED, ALLOW);      /* no code that was written here */
	call_by_bits(p, N(mprotect), 2, PROT_EXEC, REFUSED, ALLOW);
	/* threads, not processes; clone3 is absent, as its flags are in memory */
	call_by_bits(p, N(clone), 0, CLONE_THREAD | CLONE_VM, ALLOW, DEADLY);
	call_with(p, N(socket), 0, families, sizeof(families) / sizeof(*families));
	call_with(p, N(ioctl), 1, controls, sizeof(controls) / sizeof(*controls));
	call_with(p, N(prctl), 0, names, sizeof(names) / sizeof(*names));
	call_with(p, N(tgkill), 0, &self, 1);     /* abort() */
	call_with(p, N(prlimit64), 2, &(uint32_t){ 0 }, 1);       /* asking only (a pointer whose lower half is 0 is none) */
	calls(p, others, sizeof(others) / sizeof(*others), ALLOW);
	calls(p, deadly, sizeof(deadly) / sizeof(*deadly), DEADLY);
	put_answer(p, ABSENT);
}

const char *seccomp_enter(void)
{
	struct program p = { .len = 0 };
	write_program(&p);
	struct sock_fprog program = { p.len, p.at };
	/* TSYNC: also for threads that a library may have started already */
	long failed = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
	return failed ? "not in this kernel" : "on";
}
#else
const char *seccomp_enter(void) { return "not for this architecture"; }
#endif
