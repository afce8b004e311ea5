"""Counts the system calls of some processes while a command runs: with perf, which counts in the kernel and hardly
disturbs, or with strace. Each counter is called with (pids, argv, directory) and gives back the command's JSON result and
{name: calls}; the name "" is the sum of all calls.
"""
import json
import os
import shutil
import signal
import subprocess
import time

EVENTS = "/sys/kernel/tracing/events/syscalls"
NAMES = """accept accept4 bind clock_gettime close connect epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 fcntl futex
getpeername getpid getsockname getsockopt gettid io_uring_enter ioctl listen madvise mmap munmap newfstat openat pipe2 poll ppoll
pread64 pwrite64 read readv recvfrom recvmsg recvmmsg sched_yield sendfile64 sendmsg sendmmsg sendto setsockopt shutdown socket
splice tee timerfd_settime unlink vmsplice write writev""".split()


def count_by_perf(pids, argv, directory):
    out = os.path.join(directory, "perf.csv")
    known = [n for n in NAMES if os.path.isdir("%s/sys_enter_%s" % (EVENTS, n))]
    events = ["raw_syscalls:sys_enter"] + ["syscalls:sys_enter_" + n for n in known]
    perf = ["perf", "stat", "-x", ",", "-o", out, "-e", ",".join(events), "-p", ",".join(map(str, pids)), "--"]
    result = json.loads(subprocess.run(perf + argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout)
    counts = {}
    with open(out) as f:
        for line in f:
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2].rpartition("sys_enter")[2].lstrip("_")] = int(fields[0])
    return result, counts


def tracer_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith("TracerPid:"))


def count_by_strace(pids, argv, directory):
    out = os.path.join(directory, "strace.txt")
    strace = subprocess.Popen(["strace", "-q", "-f", "-c", "-o", out] + [w for pid in pids for w in ("-p", str(pid))])
    try:
        while not all(tracer_of(pid) for pid in pids):
            if strace.poll() is not None:
                raise RuntimeError("strace cannot attach")
            time.sleep(0.01)
        result = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout)
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)
        strace.wait()
    counts = {"": 0}
    with open(out) as f:
        for line in f:  # % time, seconds, usecs/call, calls, [errors], syscall
            fields = line.split()
            if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                counts[fields[-1]] = int(fields[3])
                counts[""] += int(fields[3])
    return result, counts


def find_counter(strace_wanted):
    """None, with a line that says so, when nothing here can count."""
    if not strace_wanted and shutil.which("perf"):
        probe = ["perf", "stat", "-e", "raw_syscalls:sys_enter", "-p", str(os.getpid()), "--", "true"]
        if subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return count_by_perf
    if shutil.which("strace"):
        return count_by_strace
    print("note: no syscall counts (neither perf with root, nor strace)")
    return None
