"""test_strict.py - every raw case of tests/raw over the wire: what is not exactly one clean message is refused, and none of it is passed on.

The pretend ends read strictly (wire.py), so whatever outrigger forwards is judged by a second parser as well.
"""
import pathlib
import re

import pytest

from client import PATIENCE, request
from proxy import ROOT
from upstream import raw, reply
from wire import Closed

NOT_FIRST = re.compile(rb"HTTP/1\.1 ([0-9]{3})")


def unescape(text):
    text = re.sub(r"\{(\d+)\*((?:[^{}\\]|\\.)*)\}", lambda m: m.group(2) * int(m.group(1)), text)
    out, simple = bytearray(), {"r": b"\r", "n": b"\n", "t": b"\t", "s": b" ", "\\": b"\\"}
    i = 0
    while i < len(text):
        if text[i] != "\\":
            out += text[i].encode("latin-1")
            i += 1
        elif text[i + 1] == "x":
            out.append(int(text[i + 2:i + 4], 16))
            i += 4
        else:
            out += simple[text[i + 1]]
            i += 2
    return bytes(out)


def cases(name):
    found = []
    for line in (pathlib.Path(ROOT) / "tests" / "raw" / name).read_text(encoding="latin-1").splitlines():
        line = line.strip()
        if line.startswith("=="):
            title, outcome, status, *rest = [p.strip() for p in line[2:].split("|", 3)]
            found.append([title, outcome, status, dict(kv.split("=", 1) for kv in "".join(rest).split()), ""])
        elif line and not line.startswith("#"):
            found[-1][4] += line
    return [pytest.param(t, o, s, k, unescape(text), id=t) for t, o, s, k, text in found]


@pytest.fixture(scope="module")
def pair(shared_rig):
    up = shared_rig.upstream()
    return up, shared_rig.before(up, client={"max_header_size": "32KiB", "max_headers": 100, "max_target_size": "8KiB"},
                                 route={"timeout": "3s", "retry": "off"})


def everything(c, status):
    """All that comes until the proxy closes, or is silent for a moment when it has said what is awaited."""
    got = b""
    try:
        while True:
            c.sock.settimeout(0.12 if first_status(got) == status else PATIENCE)
            part = c.sock.recv(65536)
            if not part:
                break
            got += part
    except (TimeoutError, ConnectionResetError):
        pass
    return got


def first_status(got):
    for m in NOT_FIRST.finditer(got):
        if m.group(1)[:1] != b"1" or m.group(1) == b"101":
            return m.group(1).decode()
    return "-"


@pytest.mark.parametrize("title,outcome,status,facts,data", cases("requests.txt"))
def test_request(pair, title, outcome, status, facts, data):
    up, proxy = pair
    up.forget()
    with proxy.client() as c:
        if title.endswith("split") or len(data) < 60:
            c.drip(data)
        else:
            try:
                c.send(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
        got = everything(c, status)
    if status != "-":
        assert first_status(got) == status, (got[:500], data[:300])
    if outcome != "ok":
        whole = int(facts.get("messages", 0))
        assert len(up.requests) <= whole + 1, up.requests
        assert got.count(b"HTTP/1.1 200") <= whole, got[:500]
    assert proxy.ask().body == b"hello"


@pytest.mark.parametrize("title,outcome,status,facts,data", cases("replies.txt"))
def test_reply(pair, title, outcome, status, facts, data):
    up, proxy = pair
    up.forget()
    up.on["/raw"] = raw(data, close=True)
    method = facts.get("asked", "GET")
    more = ("Upgrade: websocket", "Connection: upgrade") if facts.get("upgrade") == "1" else ()
    with proxy.client() as c:
        c.send(request(method, "/raw", *more, body=b"x" if method in ("POST", "PUT") else None))
        got = everything(c, status)
    if status != "-":
        assert first_status(got) == status, (got[:500], data[:300])
    del up.on["/raw"]
    assert proxy.ask().body == b"hello"       # and nobody else is poisoned


def test_what_comes_behind_an_answer_is_nobodys(rig):
    up = rig.upstream(default=raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    proxy = rig.before(up)
    for _ in range(5):
        with proxy.client() as c:
            assert c.ask().body == b"ok"
    assert len({q.connection for q in up.requests}) == len(up.requests)


def test_too_large_body_is_answered_although_it_is_still_being_sent(rig):
    up = rig.upstream()
    proxy = rig.before(up, client={"max_request_body": "10KiB"})
    for framing in ("Content-Length: 1048576", "Transfer-Encoding: chunked"):
        with proxy.client() as c:
            c.send(f"POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode())
            piece = b"x" * 8192 if framing[0] == "C" else b"2000\r\n" + b"x" * 8192 + b"\r\n"
            try:
                for _ in range(6):
                    c.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            r = c.read("POST")
            assert r.status == 413 and r.json()["reason"] == "request_body_too_large"


def test_two_parsers_cannot_be_played_against_each_other(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    for smuggle in (b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
                    b"Content-Length: 6\r\nContent-Length: 5", b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked"):
        with proxy.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: h\r\n" + smuggle + b"\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: h\r\n\r\n")
            assert c.read("POST").status == 400
            try:
                assert c.ended()
            except Closed:
                pass
    assert not up.requests


def test_slow_drip_of_a_good_request_is_fine(rig):
    up = rig.upstream(default=reply())
    proxy = rig.before(up)
    with proxy.client() as c:
        c.drip(request("POST", "/a?b=c", "X-Long: " + "y" * 500, body=b"12345"))
        assert c.read("POST").status == 200
    assert up.last.body == b"12345"
