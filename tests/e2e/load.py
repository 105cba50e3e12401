"""Many callers in one thread: keep-alive connections over epoll, each sending its next request when it has the answer.
Either so many requests each (closed_loop), or in the background until told otherwise (Load). And what waits for the count
of what they did."""

import heapq
import re
import selectors
import socket
import threading
import time
from collections import Counter

from harness import TIME_SCALE, wait_for

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


class Load:
    """Callers that go on in a thread of their own: as many as set() said last, each on a connection of its own, with a pause
    of `think` seconds between an answer and the next request. They POST, which nobody may try again, unless told otherwise.
    A context manager; at its end each caller gets the answer it waits for. What was not a 200 is in `failures`."""

    def __init__(self, port, target, callers=0, think=0.002, method="POST", headers=(), keep=False):
        self.port, self.think, self.keep = port, think * TIME_SCALE, keep
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        length = "Content-Length: 4\r\n" if method == "POST" else ""
        body = "work" if method == "POST" else ""
        self.request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}".encode()
        self.wanted = callers
        self.answered = 0
        self.statuses, self.failures, self.samples = Counter(), [], []
        self.longest = 0.0
        self.tag = None  #: a function of a body; what it gives is counted in `tags`
        self.tags = Counter()
        self._busy, self._idle, self._stop = {}, [], False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop = True
        self._thread.join(120 * TIME_SCALE)
        if self._thread.is_alive() and kind is None:
            raise AssertionError(f"{len(self._busy)} callers still wait for an answer")

    def set(self, callers):
        """So many callers from now on; those who leave get their answer first."""
        self.wanted = callers

    def wait_answers(self, more, timeout=30.0):
        """Until so many more requests were answered, or another one failed."""
        goal, failed = self.answered + more, len(self.failures)
        wait_for(lambda: self.answered >= goal or len(self.failures) > failed, timeout, f"{more} more answers", 0.002)

    def wait_turn(self, timeout=30.0):
        """Until nobody waits any more for an answer to what was sent before now: what has happened to any of those requests
        has been counted."""
        now = time.monotonic()
        wait_for(lambda: all(one.sent > now for one in list(self._busy)), timeout, "the answers to all that was sent", 0.002)

    def wait_settled(self, timeout=30.0):
        """Until as many callers are there as set() said, and no more."""
        wait_for(lambda: len(self._busy) + len(self._idle) == self.wanted, timeout, f"{self.wanted} callers", 0.002)

    def _run(self):
        with selectors.DefaultSelector() as self._selector:
            while not (self._stop and not self._busy):
                now = time.monotonic()
                self._adjust(now)
                while self._idle and self._idle[0][0] <= now and not self._stop:
                    self._send(heapq.heappop(self._idle)[2])
                pause = min(0.02, max(0, self._idle[0][0] - now)) if self._idle and not self._stop else 0.02
                for key, _ in self._selector.select(pause):
                    self._receive(key.data)
            for _, _, one in self._idle:
                one.socket.close()

    def _adjust(self, now):
        wanted = 0 if self._stop else self.wanted
        have = len(self._busy) + len(self._idle)
        for _ in range(min(wanted - have, 64)):  # the connections come in portions, answers are read in between
            try:
                one = _Caller(self.port, 0)
            except OSError as error:
                self.failures.append(f"cannot connect: {error}")
                return
            self._selector.register(one.socket, selectors.EVENT_READ, one)
            self._send(one)
        while have > wanted and self._idle:
            self._drop(heapq.heappop(self._idle)[2])
            have -= 1

    def _drop(self, one):
        self._selector.unregister(one.socket)
        one.socket.close()

    def _send(self, one):
        self._busy[one] = True
        try:
            one.send(self.request)
        except OSError as error:
            self._broken(one, error)

    def _broken(self, one, error):
        self.failures.append(f"broken after {time.monotonic() - one.sent:.3f} s: {error!r}")
        self._busy.pop(one, None)
        self._drop(one)

    def _receive(self, one):
        try:
            sample = one.receive()
        except (OSError, AssertionError) as error:
            if one in self._busy:
                return self._broken(one, error)
            self._idle = [entry for entry in self._idle if entry[2] is not one]
            heapq.heapify(self._idle)
            self.failures.append(f"closed between two requests: {error!r}")
            return self._drop(one)
        if not sample:
            return
        del self._busy[one]
        self.statuses[sample.status] += 1
        self.longest = max(self.longest, sample.took)
        if sample.status != 200:
            self.failures.append(f"{sample.status} after {sample.took:.3f} s: {sample.body[:300]!r}")
        elif self.tag:
            self.tags[self.tag(sample.body)] += 1
        if self.keep:
            self.samples.append(sample)
        heapq.heappush(self._idle, (sample.answered + self.think, id(one), one))
        self.answered += 1


def wait_metric(rouse, value, name, **labels):
    """Waits until rouse.metric(name, **labels) is `value`: a request is counted when it is over, which its caller may know
    a little earlier."""

    def as_wanted():
        found = rouse.metric(name, **labels)
        if found != value:
            raise AssertionError(f"it is {found:g}")
        return True

    wait_for(as_wanted, what=f"{name}{labels} is {value:g}")
