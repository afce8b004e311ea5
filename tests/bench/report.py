"""Turns the slices of bench.py into the table on the terminal and into docs/performance.md."""
import os
import platform
import re
import statistics

OURS = "outrigger"
TARGETS = [  # case, what, most that is allowed, words
    ("small_get", "ratio", 0.85, "CPU per small GET, against the best peer"),
    ("get_16k", "ratio", 0.85, "CPU per GET of 16 KiB, against the best peer"),
    ("post_1k", "ratio", 0.85, "CPU per POST of 1 KiB, against the best peer"),
    ("get_1m", "ratio", 0.85, "CPU per GET of 1 MiB, against the best peer"),
    ("post_1m", "ratio", 0.85, "CPU per POST of 1 MiB, against the best peer"),
    ("new_connection", "ratio", 1.0, "CPU per request on a new connection, against the best peer"),
    ("small_get", "syscalls", 5, "syscalls per small request"),
    ("idle_memory", "per_client", 1024, "bytes of proxy memory per idle keep-alive client"),
]
HEAD = ["case", "proxy", "CPU µs/request", "middle half", "to best peer", "p50 ms", "p99 ms", "syscalls/request", "requests/s",
        "core busy"]
TARGET_HEAD = ["target", "", "measured", ""]
OTHER_HEAD = ["case", "proxy", "median", "lowest to highest", "besides"]

PAGE = """\
# Performance

`make bench` measures outrigger beside nginx and haproxy, all in one run on one machine, and writes this page. **Read the
ratios.** The absolute numbers are those of one machine and of what else it did at that time; another machine has others.

Contents: targets · requests · syscalls by kind · memory and start-up · the machine and the cases · what each number means ·
how the peers are set up · again

## Targets

{targets}

## Requests

{requests}

`to best peer` compares with the peer that spends the least CPU on that case: 0.80 is a fifth less.

{notes}
## Syscalls by kind

Per request, those that come at least once in twenty requests:

{kinds}

## Memory and start-up

{others}

## The machine and the cases

{facts}

## What each number means

- **CPU µs/request**: the CPU time of all threads and processes of the proxy, user and system, as the scheduler accounts for
  it (`/proc/PID/task/*/schedstat`), divided by the requests answered. It holds the kernel's work on behalf of the proxy, and
  so the TCP of loopback too. The median over all slices; `middle half` is from the lower to the upper quartile.
- **to best peer**: the median of the ratios slice by slice, each with the best peer's slice of the same pass. Proxies take
  turns every {slice_ms} ms, {passes} times in each of {rounds} rounds; every round starts fresh processes.
- **p50, p99**: from the request's first byte sent to the answer's last byte received, by clients that ask again at once
  (closed loop). The proxy's core is full or nearly so: they show queueing at full load, not the delay of one quiet request.
- **syscalls/request**: counted by {counter} in a run of its own. They depend a little on load: one wait serves several
  requests when several are ready.
- **core busy**: the share of its core the proxy used. Below 100 % the load generator and the origin, which share the other
  core, were the limit; CPU per request is right in both cases.
- **idle memory**: how much the proxy's proportional set size grew when 10,000 clients had one answer each and stayed
  connected, after a warm-up; per client. Memory of the kernel for the sockets is not in it. `in all` is the whole process
  with them: nginx takes the memory for its table of connections at the start, so its growth alone looks smaller.
- **start-up**: from before exec to the first answer with status 200 that came through the proxy.

## How the peers are set up

All: one worker, pinned to a core of its own; HTTP/1.1 with kept connections to the origin; access log off; `TCP_NODELAY`;
{congestion} as congestion control; loopback only; `Host` passed on and `X-Forwarded-For` added. Outrigger adds what it
always adds (request id, trace headers, `Via`) and keeps its defaults: retry budget, passive ejection, metrics, limits.
For each case, every variant below is tried first and the peer is measured with its cheapest one.

Each as its package ships it: the peers as Debian builds them, outrigger as `make deb` does (`make tuned`: compiled by a
profile of its own work, which is 0.95 to 0.97 of the plain `make` in CPU per request; `tests/bench/train.sh`).

{variants}

The configurations are in `tests/bench/proxies.py`.

## Again

```
make bench                                               # all of it, about four minutes; writes this page
make bench ARGS="--quick"                                # a first look; writes nothing
make bench ARGS="--quick --only outrigger,nginx --cases small_get,post_1k"
```
Needs Linux with two cores, the Debian packages nginx-light, haproxy and strace (or perf), and root for the syscall counts
and the congestion control, which is set for the run and put back. A proxy that is missing is skipped. Keep the machine
quiet; what disturbs it shows as a wide middle half.
"""


def machine_facts(bench, congestion):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    return {"processor": "%s, %d cores" % (model.group(1) if model else platform.machine(), os.cpu_count()),
            "kernel": platform.release(), "congestion": congestion,
            "one_core": bench.load_core == bench.proxy_core,
            "versions": {p.name: p.version() for p in bench.proxies},
            "counter": bench.counter.__name__.split("_")[-1] if bench.counter else "nothing",
            "variants": {p.name: list(p.variants) for p in bench.proxies if len(p.variants) > 1},
            "rounds": bench.args.rounds, "passes": bench.args.passes, "slice_ms": bench.args.slice_ms}


def number(x):
    return "–" if x is None else "%.1f" % x if x < 100 else "%.0f" % x


def aligned(head, rows):
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
                     for row in [head, ["─" * w for w in widths]] + rows)


def piped(head, rows):
    rule = ["---" if i < 2 else "--:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule] + rows)


class Report:
    def __init__(self, results, words, facts, failures):
        self.words, self.facts, self.failures = words, facts, failures
        self.cases = {c: self.summaries(r) for c, r in results.items() if c not in ("idle_memory", "start_up")}
        self.others = {c: r for c, r in results.items() if c in ("idle_memory", "start_up")}

    @staticmethod
    def summaries(results):
        """{proxy: numbers} of one case, cheapest peer known."""
        done = {name: [s for s in r["slices"] if s] for name, r in results.items()}
        cpu = {name: statistics.median(s["cpu_us"] for s in slices) for name, slices in done.items() if slices}
        peers = [name for name in cpu if name != OURS]
        best = min(peers, key=cpu.get) if peers else None
        found = {}
        for name in cpu:
            cost = sorted(s["cpu_us"] for s in done[name])
            pairs = zip(results[name]["slices"], results[best]["slices"]) if best else []
            ratios = [ours["cpu_us"] / its["cpu_us"] for ours, its in pairs if ours and its]
            found[name] = {key: statistics.median(s[key] for s in done[name])
                           for key in ("cpu_us", "p50_us", "p99_us", "busy", "opened_share")}
            found[name].update(
                quartiles=(cost[len(cost) // 4], cost[(3 * len(cost) - 1) // 4]),
                ratio=statistics.median(ratios) if ratios else None,
                rate=statistics.median(s["requests"] / s["seconds"] for s in done[name]), kinds=results[name]["syscalls"],
                syscalls=results[name]["syscalls"] and results[name]["syscalls"][""], best=name == best,
                variant=results[name]["variant"], variants=results[name]["variants"])
        return found

    def request_rows(self):
        rows = []
        for case, found in self.cases.items():
            for i, (name, n) in enumerate(found.items()):
                ratio = "–" if n["ratio"] is None else "best" if n["best"] else "%.2f" % n["ratio"]
                half = "%s–%s" % tuple(map(number, n["quartiles"]))
                rows.append([case if i == 0 else "", name, number(n["cpu_us"]), half, ratio,
                             "%.2f" % (n["p50_us"] / 1000), "%.2f" % (n["p99_us"] / 1000), number(n["syscalls"]), "%.0f" % n["rate"],
                             "%.0f %%" % (100 * n["busy"])])
        return rows

    def kind_rows(self):
        rows = []
        for case, found in self.cases.items():
            for name, n in found.items():
                kinds = dict(n["kinds"] or {})
                total = kinds.pop("", 0)
                shown = [(k, v) for k, v in sorted(kinds.items(), key=lambda kv: -kv[1]) if v >= 0.05]
                shown += [("others", total - sum(v for _, v in shown))]
                rows.append([case, name, ", ".join("%s %s" % (k, "%.2f" % v if v < 10 else number(v))
                                                   for k, v in shown if v >= 0.05) or "–"])
        return rows

    def other_rows(self):
        rows = []
        for case, found in self.others.items():
            for name, samples in found.items():
                if not samples:
                    continue
                if case == "idle_memory":
                    values, unit, total = [s["per_client"] for s in samples], "B/client", [s["after"] for s in samples]
                else:
                    values, unit, total = [s["ms"] for s in samples], "ms", [s["pss"] for s in samples]
                rows.append([case, name, "%s %s" % (number(statistics.median(values)), unit),
                             "%s–%s" % (number(min(values)), number(max(values))),
                             "%.1f MiB in all" % (statistics.median(total) / 1048576)])
        return rows

    def target_rows(self):
        rows = []
        for case, what, most, words in TARGETS:
            if case in self.others:
                samples = self.others[case].get(OURS)
                value = statistics.median(s[what] for s in samples) if samples else None
            else:
                value = self.cases.get(case, {}).get(OURS, {}).get(what)
            shown = "–" if value is None else "%.3f" % value if most <= 1 else "%.2f" % value if most < 100 else "%.0f" % value
            verdict = "not measured" if value is None else "met" if value <= most else "**missed**"
            rows.append([words, "at most %s" % most, shown, verdict])
        return rows

    def notes(self):
        used = {}
        for case, found in self.cases.items():
            for name, n in found.items():
                if n["variants"] > 1:
                    used.setdefault((name, n["variant"]), []).append(case)
        notes = ["%s with %s: %s" % (name, variant, ", ".join(cases)) for (name, variant), cases in sorted(used.items())]
        notes += ["%s: %s opened %.0f upstream connections per 100 requests" % (case, name, 100 * n["opened_share"])
                  for case, found in self.cases.items() for name, n in found.items() if n["opened_share"] > 0.05]
        if self.facts["one_core"]:
            notes.append("there is one core only: the load generator and the origin disturb the proxy")
        return notes

    def text(self):
        parts = [aligned(HEAD, self.request_rows())] if self.cases else []
        parts += ["\n".join("%-15s %-10s %s" % tuple(row) for row in self.kind_rows())] if self.cases else []
        parts += [aligned(OTHER_HEAD, self.other_rows())] if self.others else []
        parts += ["\n".join("note: " + n for n in self.notes())] if self.notes() else []
        targets = [row for row in self.target_rows() if row[2] != "–"]
        parts += [aligned(TARGET_HEAD, targets).replace("**", "")] if targets else []
        parts += ["\n".join("FAILED " + f for f in self.failures)] if self.failures else []
        return "\n" + "\n\n".join(parts) + "\n"

    def markdown(self):
        facts = self.facts
        lines = ["- processor: " + facts["processor"], "- Linux " + facts["kernel"]]
        lines += ["- %s %s" % pair for pair in facts["versions"].items()]
        lines += ["- `%s`: %s" % (c, self.words[c]) for c in list(self.cases) + list(self.others)]
        kinds = piped(["case", "proxy", "calls"], self.kind_rows()).replace("| --: |", "| --- |")
        return PAGE.format(
            targets=piped(TARGET_HEAD, self.target_rows()), requests=piped(HEAD, self.request_rows()), kinds=kinds,
            notes="".join("- %s\n" % n for n in self.notes()), others=piped(OTHER_HEAD, self.other_rows()),
            facts="\n".join(lines),
            variants="\n".join("- %s: %s" % (name, "; ".join(v)) for name, v in facts["variants"].items()),
            **{key: facts[key] for key in ("counter", "congestion", "rounds", "passes", "slice_ms")})
