"""ports.py - TCP ports that are nobody's: each test process has a share of its own, and outgoing connections get none of them."""
import collections
import os
import random
import socket

FIRST = 10000 + 5000 * int((os.environ.get("PYTEST_XDIST_WORKER") or "gw0")[2:])
PORTS = random.Random(os.urandom(8))
GIVEN = collections.deque(maxlen=1000)     # somebody may still mean to listen there


def free_port():
    """Below the range that the kernel gives to outgoing connections, and of this test process' own share, so nobody else takes it between here and
    the bind."""
    while True:
        port = PORTS.randrange(FIRST, FIRST + 5000)
        if port in GIVEN:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN.append(port)
        return port
