#!/usr/bin/python3
"""make bench: the same work through outrigger, nginx and haproxy, side by side in one run.

The proxy has one core for itself, the load generator and the origin share the other. All proxies of a case run at the
same time, but only one has work at a time: work goes round between them in short slices, so that a machine that is
sometimes slower is slower for all of them, and each slice is compared with the slice of its neighbour. Needs Linux;
root for the syscall counts and for setting the congestion control.
"""
import argparse
import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import proxies
import report
import syscalls

TOOLS = os.path.join(proxies.ROOT, "build/release/bench")
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
IDLE_CLIENTS = 10000
PROBLEMS = (RuntimeError, OSError, ValueError, subprocess.SubprocessError)  # of a proxy: noted, the others go on

CASES = {  # name: (words, arguments of load)
    "small_get": ("GET, 100 bytes, 32 clients", "--path /small --expect 100 --clients 32"),
    "get_16k": ("GET, 16 KiB, 32 clients", "--path /16k --expect 16384 --clients 32"),
    "get_1m": ("GET, 1 MiB, 8 clients", "--path /1m --expect 1048576 --clients 8"),
    "post_1k": ("POST, 1 KiB, 32 clients", "--path /small --expect 100 --post 1024 --clients 32"),
    "post_1m": ("POST, 1 MiB, 8 clients", "--path /small --expect 100 --post 1048576 --clients 8"),
    "new_connection": ("GET, 100 bytes, 16 clients, a connection per request",
                       "--path /small --expect 100 --clients 16 --new-connection"),
}
OTHER_CASES = {"idle_memory": "10,000 idle keep-alive clients", "start_up": "exec to the first answer"}


class Bench:
    def __init__(self, args, directory):
        self.args, self.directory = args, directory
        cores = sorted(os.sched_getaffinity(0))
        self.load_core, self.proxy_core = cores[0], cores[-1]
        os.sched_setaffinity(0, {self.load_core})  # load and origin inherit it
        self.proxies = [p for p in proxies.ALL if p.name in args.only and p.found()]
        self.counter = syscalls.find_counter(args.strace)
        self.failures = []
        self.directories = 0
        self.origin_port = proxies.free_port()
        self.origin = subprocess.Popen([os.path.join(TOOLS, "origin"), str(self.origin_port)])
        self.await_origin()

    def await_origin(self):
        for _ in range(500):
            with contextlib.suppress(OSError):
                return self.origin_stats()
            time.sleep(0.01)
        raise SystemExit("bench: the origin did not start")

    def origin_stats(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.origin_port, timeout=5)) as connection:
            connection.request("GET", "/stats")
            words = connection.getresponse().read().split()
        return {"accepted": int(words[1]), "requests": int(words[3])}

    def running(self, proxy, variant):
        self.directories += 1
        directory = os.path.join(self.directory, "%s-%d" % (proxy.name, self.directories))
        return proxies.Running(proxy, variant, self.origin_port, self.proxy_core, directory)

    def load_argv(self, running, arguments):
        return [os.path.join(TOOLS, "load"), "--port", str(running.port)] + arguments.split()

    def load(self, running, arguments):
        out = subprocess.run(self.load_argv(running, arguments), stdout=subprocess.PIPE, text=True, timeout=60)
        result = json.loads(out.stdout)
        if result["errors"] or result["non_200"] or not result["requests"]:
            raise RuntimeError("%(requests)d answers, of them %(non_200)d not 200, and %(errors)d errors" % result)
        return result

    def slice(self, running, case, ms):
        """One slice of work: what it cost the proxy and how long it took."""
        before, cpu = self.origin_stats(), running.cpu_ns()
        result = self.load(running, CASES[case][1] + " --milliseconds %d" % ms)
        used = running.cpu_ns() - cpu
        opened = self.origin_stats()["accepted"] - before["accepted"] - 1  # less the one that asks for the numbers
        result["cpu_us"] = used / 1000 / result["requests"]
        result["busy"] = used / 1e9 / result["seconds"]
        result["opened_share"] = opened / result["requests"]
        return result

    def fail(self, case, name, problem):
        self.failures.append("%s: %s: %s" % (case, name, problem))
        print("  FAILED " + self.failures[-1], flush=True)

    def alternate(self, case, entrants, passes, ms):
        """`passes` times round all of [(key, proxy, variant)]; {key: [slice or None]}, aligned by pass."""
        slices = {key: [] for key, _, _ in entrants}
        with contextlib.ExitStack() as stack:
            alive = {}
            for key, proxy, variant in entrants:
                try:
                    alive[key] = stack.enter_context(self.running(proxy, variant))
                    self.slice(alive[key], case, min(ms, 100))  # warm up: open the connections, fault the memory in
                except PROBLEMS as problem:
                    alive.pop(key, None)
                    self.fail(case, key, problem)
            for turn in range(passes):
                order = list(alive)
                first = turn % max(1, len(order))
                for key in order[first:] + order[:first]:
                    try:
                        slices[key].append(self.slice(alive[key], case, ms))
                    except PROBLEMS as problem:
                        del alive[key]
                        self.fail(case, key, problem)
                for key in set(slices) - set(alive):
                    slices[key].append(None)
        return slices

    def best_variants(self, case):
        """For each proxy the variant that spends the least CPU on this case."""
        entrants = [((p.name, v), p, v) for p in self.proxies for v in p.variants if len(p.variants) > 1]
        slices = self.alternate(case, entrants, self.args.calibration_passes, 120) if entrants else {}
        best = {}
        for proxy in self.proxies:
            cost = {v: statistics.median(s["cpu_us"] for s in slices[proxy.name, v] if s)
                    for v in proxy.variants if any(slices.get((proxy.name, v), []))}
            best[proxy.name] = min(cost, key=cost.get) if cost else next(iter(proxy.variants))
        return best

    def run_case(self, case):
        variants = self.best_variants(case)
        rounds = []
        for _ in range(self.args.rounds):
            entrants = [(p.name, p, variants[p.name]) for p in self.proxies]
            rounds.append(self.alternate(case, entrants, self.args.passes, self.args.slice_ms))
        results = {}
        for proxy in self.proxies:
            results[proxy.name] = {"slices": [s for r in rounds for s in r[proxy.name]], "variant": variants[proxy.name],
                                   "variants": len(proxy.variants), "syscalls": self.count(case, proxy, variants[proxy.name])}
        return results

    def count(self, case, proxy, variant):
        """Syscalls per request, in a run of its own: counting costs time."""
        if not self.counter:
            return None
        try:
            with self.running(proxy, variant) as running:
                self.slice(running, case, 100)
                argv = self.load_argv(running, CASES[case][1] + " --milliseconds 500")
                result, counts = self.counter(running.pids(), argv, running.directory)
            if not result["requests"]:
                raise RuntimeError("no request was answered")
            return {name: n / result["requests"] for name, n in counts.items()}
        except PROBLEMS as problem:
            self.fail(case, proxy.name, "syscalls: %s" % problem)
            return None

    def idle_memory_of(self, proxy):
        with self.running(proxy, next(iter(proxy.variants))) as running:
            self.load(running, CASES["small_get"][1] + " --milliseconds 300")
            time.sleep(0.3)
            before = running.pss_bytes()
            argv = self.load_argv(running, "--path /small --expect 100 --hold --clients %d" % IDLE_CLIENTS)
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
                ready = load.stdout.readline()
                time.sleep(1)
                after = running.pss_bytes()
                rest, _ = load.communicate()
            if ready != "ready\n" or json.loads(rest)["alive"] != IDLE_CLIENTS:
                raise RuntimeError("not all clients stayed connected: " + ready + rest)
        return {"per_client": (after - before) / IDLE_CLIENTS, "before": before, "after": after}

    def run_other(self, case):
        rounds = self.args.rounds if case == "idle_memory" else 5 * self.args.rounds
        results = {p.name: [] for p in self.proxies}
        for _ in range(rounds):
            for proxy in self.proxies:
                try:
                    if case == "idle_memory":
                        results[proxy.name].append(self.idle_memory_of(proxy))
                    else:
                        with self.running(proxy, next(iter(proxy.variants))) as running:
                            results[proxy.name].append({"ms": running.started_ms, "pss": running.pss_bytes()})
                except PROBLEMS as problem:
                    self.fail(case, proxy.name, problem)
        return results


@contextlib.contextmanager
def congestion_control(name):
    """All sockets of the run use `name`; the machine gets its own setting back."""
    with open(CONGESTION) as f:
        before = f.read().strip()
    try:
        with open(CONGESTION, "w") as f:
            f.write(name)
    except OSError as problem:
        print("note: congestion control stays %s for the proxies' sockets (%s)" % (before, problem.strerror))
        yield before
        return
    try:
        yield name
    finally:
        with open(CONGESTION, "w") as f:
            f.write(before)


def parse_arguments():
    every = list(CASES) + list(OTHER_CASES)
    names = [p.name for p in proxies.ALL]
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--only", default=",".join(names), help="proxies, by comma: " + ",".join(names))
    p.add_argument("--cases", default=",".join(every), help="cases, by comma: " + ",".join(every))
    p.add_argument("--quick", action="store_true", help="one round of few, short slices; writes no document")
    p.add_argument("--rounds", type=int, default=5, help="rounds with fresh processes (5)")
    p.add_argument("--passes", type=int, default=5, help="slices of each proxy in a round (5)")
    p.add_argument("--slice-ms", type=int, default=200, help="length of a slice (200)")
    p.add_argument("--strace", action="store_true", help="count syscalls with strace even where perf could")
    p.add_argument("--out", help="write the document here, whatever was measured")
    args = p.parse_args()
    args.only, args.cases = args.only.split(","), args.cases.split(",")
    for given, known in ((args.only, names), (args.cases, every)):
        for word in set(given) - set(known):
            p.error("'%s' is none of %s" % (word, ", ".join(known)))
    args.complete = set(args.only) == set(names) and set(args.cases) == set(every) and not args.quick
    args.calibration_passes = 2 if args.quick else 5
    if args.quick:
        args.rounds, args.passes = 1, 3
    return args


def run(args, directory, congestion):
    for proxy in proxies.ALL:
        if proxy.name in args.only and not proxy.found():
            print("%s is missing and is skipped" % proxy.name)
    bench = Bench(args, directory)
    try:
        results = {}
        for case in args.cases:
            print("measuring %s …" % case, flush=True)
            results[case] = bench.run_case(case) if case in CASES else bench.run_other(case)
    finally:
        bench.origin.kill()
        bench.origin.wait()
    facts = report.machine_facts(bench, congestion)
    found = report.Report(results, {**{c: w for c, (w, _) in CASES.items()}, **OTHER_CASES}, facts, bench.failures)
    print(found.text())
    missing = [p.name for p in proxies.ALL if not p.found()]
    out = args.out or os.path.join(proxies.ROOT, "docs/performance.md")
    if args.out or (args.complete and not missing and not bench.failures):
        with open(out, "w") as f:
            f.write(found.markdown())
        print("written: %s" % os.path.relpath(out))
    else:
        print("docs/performance.md is left as it is: it takes a complete run of all proxies without a failure")
    return 1 if bench.failures else 0


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        hard = max(hard, 40000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = tempfile.mkdtemp(prefix="outrigger-bench-")
    try:
        with congestion_control("cubic") as congestion:
            return run(args, directory, congestion)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
