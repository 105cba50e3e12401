"""Many callers in one thread: keep-alive connections over epoll, each sending its next request when it has the answer.
And what waits for the count of what they did."""

import re
import selectors
import socket
import time

from harness import wait_for

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Sample:
    """One answered request: when it was sent and answered (time.monotonic()), its status and its body."""

    __slots__ = ("sent", "answered", "status", "body")

    def __init__(self, sent, answered, status, body):
        self.sent, self.answered, self.status, self.body = sent, answered, status, body

    @property
    def took(self):
        return self.answered - self.sent


class _Caller:
    def __init__(self, port, left):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.left = left
        self.sent = 0.0

    def send(self, request):
        self.left -= 1
        self.sent = time.monotonic()
        self.socket.sendall(request)

    def receive(self):
        """A Sample once the answer is whole, else None."""
        part = self.socket.recv(65536)
        if not part:
            raise AssertionError(f"the connection ended in the middle of an exchange, after {self.buffer!r}")
        self.buffer += part
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = _LENGTH.search(head)
        if not length:
            raise AssertionError(f"no Content-Length in {head!r}")
        if len(body) < int(length[1]):
            return None
        if len(body) > int(length[1]):
            raise AssertionError(f"more than one answer to one request: {self.buffer!r}")
        self.buffer = b""
        return Sample(self.sent, time.monotonic(), int(head[9:12]), body)


def closed_loop(port, target, callers, requests, timeout):
    """`callers` connections, all at once, send `requests` GETs each, one after the other. Returns all Samples; an
    AssertionError when they are not through within `timeout` seconds."""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    deadline = time.monotonic() + timeout
    samples = []
    everyone = [_Caller(port, requests) for _ in range(callers)]
    try:
        with selectors.DefaultSelector() as selector:
            for one in everyone:
                selector.register(one.socket, selectors.EVENT_READ, one)
            for one in everyone:
                one.send(request)
            while len(samples) < callers * requests:
                left = deadline - time.monotonic()
                events = selector.select(max(left, 0))
                if not events and left <= 0:
                    raise AssertionError(f"only {len(samples)} of {callers * requests} requests were answered in {timeout:g} s")
                for key, _ in events:
                    if sample := key.data.receive():
                        samples.append(sample)
                        if key.data.left:
                            key.data.send(request)
    finally:
        for one in everyone:
            one.socket.close()
    return samples


def wait_metric(rouse, value, name, **labels):
    """Waits until rouse.metric(name, **labels) is `value`: a request is counted when it is over, which its caller may know
    a little earlier."""

    def as_wanted():
        found = rouse.metric(name, **labels)
        if found != value:
            raise AssertionError(f"it is {found:g}")
        return True

    wait_for(as_wanted, what=f"{name}{labels} is {value:g}")
