"""load.py - a small closed loop of clients in threads, for tests that need something to be going on."""
import threading
import time

from client import Client, request
from wire import Closed


class Load:
    """n clients on keep-alive connections until stop(). Outcomes: (status, seconds into the load); failed: what went wrong."""

    def __init__(self, address, n, method="GET", target="/", body=None):
        self.address, self.request, self.method = address, request(method, target, body=body), method
        self.outcomes, self.failed, self.refused = [], [], 0
        self.over, self.began, self.lock = False, time.monotonic(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.over:
            try:
                c = Client(self.address)
            except OSError:                    # nobody listens (any more): no request was begun
                self.refused += 1
                time.sleep(0.01)
                continue
            with c:
                self.on(c)

    def on(self, c):
        while not self.over:
            sent = False
            try:
                c.send(self.request)
                sent = True
                r = c.read(self.method)
            except (Closed, OSError) as e:
                with self.lock:
                    self.failed.append((sent, time.monotonic() - self.began, repr(e)))
                return
            with self.lock:
                self.outcomes.append((r.status, time.monotonic() - self.began, r))
            if "close" in (r.fields.get("connection") or ""):
                return

    def wait_for(self, count, patience=10):
        end = time.monotonic() + patience
        while len(self.outcomes) < count:
            assert time.monotonic() < end, f"{len(self.outcomes)} of {count}; failed {self.failed[:3]}"
            time.sleep(0.01)

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join(10)
        return self

    def statuses(self):
        return {s: sum(1 for o in self.outcomes if o[0] == s) for s in {o[0] for o in self.outcomes}}
