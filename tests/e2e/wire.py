"""wire.py - HTTP/1 bytes, read strictly: the reference that both pretend ends, client and upstream, judge outrigger by.

It shares nothing with outrigger's own parser. Whatever is not exactly one well-formed message raises Malformed.
"""
import re
import time

START = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*")
CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})")


class Malformed(Exception):
    pass


class Closed(Exception):
    """The peer closed where a message, or the rest of one, was due."""


class Fields(list):
    """[(name, value)] in the order received."""

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.all(name)
        if len(found) > 1:
            raise AssertionError(f"{name} came {len(found)} times: {found}")
        return found[0] if found else default

    def __contains__(self, name):
        return bool(self.all(name)) if isinstance(name, str) else list.__contains__(self, name)


class Message:
    def __init__(self):
        self.fields, self.trailers, self.body = Fields(), Fields(), b""
        self.head, self.chunks = b"", []      # raw bytes of the head; sizes of the chunks as they came
        self.at = time.monotonic()


class Reply(Message):
    status, reason, minor = 0, "", 1
    until_close = False

    def json(self):
        import json
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


class Request(Message):
    method = target = ""
    minor = 1
    connection = None                     # number of the upstream's connection
    over = False                          # the body was read to its end

    def __repr__(self):
        return f"<#{self.connection} {self.method} {self.target} {self.fields} {len(self.body)} B>"


class Stream:
    """A socket with what was read ahead."""

    def __init__(self, sock):
        self.sock, self.ahead, self.raw = sock, b"", bytearray()

    def more(self, size=65536):
        got = self.sock.recv(size)
        if not got:
            raise Closed(f"closed; unread: {self.ahead[:200]!r}")
        self.raw += got
        self.ahead += got

    def line(self):
        while b"\n" not in self.ahead:
            if len(self.ahead) > 1 << 20:
                raise Malformed("endless line")
            self.more()
        line, self.ahead = self.ahead.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1] or b"\0" in line:
            raise Malformed(f"line end in {line!r}")
        return line[:-1]

    def exactly(self, n):
        parts, have = [], 0
        while have < n:
            if not self.ahead:
                self.more(min(1 << 20, max(n - have, 65536)))
            part, self.ahead = self.ahead[:n - have], self.ahead[n - have:]
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def fields(self, into):
        raw = b""
        while True:
            line = self.line()
            raw += line + b"\r\n"
            if not line:
                return raw
            m = FIELD.fullmatch(line)
            if not m:
                raise Malformed(f"field {line!r}")
            into.append((m[1].decode(), m[2].decode("latin-1")))

    def chunked(self, message):
        while True:
            m = CHUNK.fullmatch(self.line())
            if not m:
                raise Malformed("chunk size")
            size = int(m[1], 16)
            if size == 0:
                self.fields(message.trailers)
                return
            message.chunks.append(size)
            message.body += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Malformed("chunk end")

    def rest(self):
        """Everything until the peer closes."""
        try:
            while True:
                self.more()
        except Closed:
            got, self.ahead = self.ahead, b""
            return got

    # ── heads ──

    def reply_head(self):
        r, line = Reply(), self.line()
        m = START.fullmatch(line)
        if not m:
            raise Malformed(f"status line {line!r}")
        r.minor, r.status, r.reason = int(m[1]), int(m[2]), m[3].decode("latin-1")
        r.head = line + b"\r\n" + self.fields(r.fields)
        return r

    def reply_body(self, r, method):
        te, length = r.fields.get("transfer-encoding"), r.fields.get("content-length")
        if te is not None and length is not None:
            raise Malformed("Transfer-Encoding and Content-Length")
        if r.status < 200 or r.status == 204:
            if te is not None or length is not None:
                raise Malformed(f"framing in a {r.status}")
            return
        if method == "HEAD" or r.status == 304:
            return
        if te is not None:
            if te != "chunked" or r.minor != 1:
                raise Malformed(f"Transfer-Encoding {te!r} in 1.{r.minor}")
            self.chunked(r)
        elif length is not None:
            if not length.isdigit():
                raise Malformed(f"Content-Length {length!r}")
            r.body = self.exactly(int(length))
        else:
            if "close" not in r.fields.get("connection", "").lower() and r.minor == 1:
                raise Malformed("until close, but not said so")
            r.until_close, r.body = True, self.rest()

    def request_head(self):
        q, line = Request(), self.line()
        m = REQUEST.fullmatch(line)
        if not m:
            raise Malformed(f"request line {line!r}")
        q.method, q.target, q.minor = m[1].decode(), m[2].decode("latin-1"), int(m[3])
        q.head = line + b"\r\n" + self.fields(q.fields)
        if len(q.fields.all("host")) != 1:
            raise Malformed("Host")
        te, length = q.fields.all("transfer-encoding"), q.fields.all("content-length")
        if len(te) + len(length) > 1 or te not in ([], ["chunked"]) or any(not n.isdigit() for n in length):
            raise Malformed(f"framing {te} {length}")
        return q

    def request_body(self, q):
        if q.fields.get("transfer-encoding"):
            self.chunked(q)
        else:
            q.body = self.exactly(int(q.fields.get("content-length", "0")))
        q.over = True
