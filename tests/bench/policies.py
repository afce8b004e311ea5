#!/usr/bin/python3
"""make bench-policies: what the policies cost. Small GETs through outrigger with nothing configured and with more and more of it, slice by slice in
turn, and the best peer beside them with nothing configured. Writes docs/policies-cost.md.
"""
import statistics
import sys
import tempfile
import types

import bench
import proxies

EVERYTHING = "{{circuit_breaker: {{}}, concurrency: {{limit: 1000, queue: 100}}, rate_limit: {{rate: 1000000/s, key: client_ip}}}}"


def outrigger_with(name, top):
    return proxies.Proxy(name, proxies.ALL[0].path, proxies.OUTRIGGER + top, {"default": {}}, ["-c"], ["--version"], proxies.signal.SIGQUIT)


ENTRANTS = [
    (proxies.ALL[0], "as it comes: retry with its budget, passive ejection, shedding, sandbox, supervisor"),
    (outrigger_with("no sandbox", 'sandbox: "off"\n'), "the same without the sandbox (seccomp looks at each system call)"),
    (outrigger_with("everything", f"defaults: {EVERYTHING}\n"), "with circuit breaker, concurrency limit and rate limit by client"),
    (outrigger_with("kept", "defaults: {{cache: {{ttl: 1h}}}}\n"), "an answer from the cache"),
]
PEERS = [(p, v) for p in proxies.ALL[1:] if p.found() for v in p.variants]


def main():
    args = types.SimpleNamespace(only=[], strace=False, calibration_passes=2)
    passes, rounds = (2, 1) if "--quick" in sys.argv else (7, 5)
    with tempfile.TemporaryDirectory() as directory, bench.congestion_control("cubic"):
        b = bench.Bench(args, directory)
        entrants = [(p.name, p, "default") for p, _ in ENTRANTS] + [((p.name, v), p, v) for p, v in PEERS]
        slices = {key: [] for key, _, _ in entrants}
        for _ in range(rounds):
            for key, got in b.alternate("small_get", entrants, passes, 200).items():
                slices[key] += got
        b.origin.kill()
    cost = {key: statistics.median(s["cpu_us"] for s in got if s) for key, got in slices.items() if any(got)}
    peer = min((k for k in cost if isinstance(k, tuple)), key=cost.get)
    lines = ["# What the policies cost", "",
             "`make bench-policies` wrote this: GET of 100 bytes, 32 keep-alive clients, one core for the proxy; CPU of all its processes per request. Ratios are "
             "medians over pairs of neighbouring slices, so a machine that is slow for a moment is slow for both.", "",
             f"| outrigger | µs per request | to itself, as it comes | to the best peer with no policy ({peer[0]}) |", "|---|---|---|---|"]
    for p, words in ENTRANTS:
        pairs = [(a, o, n) for a, o, n in zip(slices[p.name], slices["outrigger"], slices[peer]) if a and o and n]
        own = statistics.median(a["cpu_us"] / o["cpu_us"] for a, o, _ in pairs)
        best = statistics.median(a["cpu_us"] / n["cpu_us"] for a, _, n in pairs)
        lines.append(f"| {words} | {cost[p.name]:.2f} | {own:.3f} | {best:.3f} |")
        print(lines[-1], flush=True)
    lines += ["", "Answers from the cache do not go to the app at all; the peers' do.", ""]
    if "--quick" not in sys.argv:
        with open("docs/policies-cost.md", "w") as f:
            f.write("\n".join(lines))


main()
