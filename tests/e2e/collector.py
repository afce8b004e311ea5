"""collector.py - an OTLP/HTTP collector that takes spans in JSON, checks their shape, and keeps them as plain dicts."""
import http.server
import json
import re
import threading
import time

HEX32, HEX16 = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
SERVER, CLIENT = 2, 3


def attributes(pairs):
    out = {}
    for a in pairs:
        assert set(a) == {"key", "value"} and len(a["value"]) == 1 and a["key"] not in out, a
        kind, value = next(iter(a["value"].items()))
        assert isinstance(value, {"stringValue": str, "intValue": str, "doubleValue": (int, float)}[kind]), a
        out[a["key"]] = int(value) if kind == "intValue" else value
    return out


class Span:
    def __init__(self, s, resource):
        assert HEX32.fullmatch(s["traceId"]) and HEX16.fullmatch(s["spanId"]) and s["kind"] in (SERVER, CLIENT) and s["name"]
        self.trace, self.id, self.parent, self.kind, self.name = s["traceId"], s["spanId"], s.get("parentSpanId"), s["kind"], s["name"]
        assert self.parent is None or HEX16.fullmatch(self.parent)
        self.start, self.end = int(s["startTimeUnixNano"]) / 1e9, int(s["endTimeUnixNano"]) / 1e9
        assert self.start <= self.end and abs(self.end - time.time()) < 120
        self.of, self.resource = attributes(s["attributes"]), resource
        self.events = {e["name"]: attributes(e["attributes"]) for e in s.get("events", [])}
        for e in s.get("events", []):
            assert self.start - 1e-6 <= int(e["timeUnixNano"]) / 1e9 <= self.end + 1e-6, e
        self.links = [(x["traceId"], x["spanId"]) for x in s.get("links", [])]
        self.failed, self.message = s["status"].get("code") == 2, s["status"].get("message")
        assert s["status"].get("code") in (None, 2)

    def __repr__(self):
        return f"{'SERVER' if self.kind == SERVER else 'CLIENT'} {self.name} {self.of} {self.events}"


class Collector:
    """Answers 200; or what `answers` says, one by one: a status, or None for a connection that is cut. Paths are kept as they came."""

    def __init__(self, port=0):
        self.spans, self.posts, self.answers, self.wrong = [], [], [], []
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    answer = outer.answers.pop(0) if outer.answers else 200
                    outer.posts.append((self.path, answer, len(body)))
                if answer == 200:
                    try:
                        outer.take(self.headers, body)
                    except Exception as e:                     # told by check()
                        outer.wrong.append(f"{e!r}: {body[:2000]!r}")
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def take(self, headers, body):
        assert headers["Content-Type"] == "application/json"
        found = []
        for r in json.loads(body)["resourceSpans"]:
            resource = attributes(r["resource"]["attributes"])
            for scope in r["scopeSpans"]:
                assert scope["scope"]["name"] == "outrigger"
                found += [Span(s, resource) for s in scope["spans"]]
        assert found
        with self.lock:
            self.spans += found

    def wait_for(self, count, patience=8, **want):
        """SERVER spans with these attributes (dots written as __), oldest first; waits until there are so many."""
        end = time.monotonic() + patience
        while True:
            with self.lock:
                found = [s for s in self.spans if s.kind == SERVER and all(s.of.get(k.replace("__", ".")) == v for k, v in want.items())]
            if len(found) >= count:
                return found
            assert not self.wrong and time.monotonic() < end, (len(found), count, want, self.wrong, self.posts, self.spans)
            time.sleep(0.02)

    def children(self, span):
        return sorted((s for s in self.spans if s.trace == span.trace and s.parent == span.id), key=lambda s: s.start)

    def check(self):
        assert not self.wrong, self.wrong[:2]
        ids = [s.id for s in self.spans]
        assert len(ids) == len(set(ids)), "a span id came twice"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
