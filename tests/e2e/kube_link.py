"""A way to a server on this machine that can be cut: what a test puts between rouse and an API server."""

import contextlib
import socket
import threading


class Link:
    """Passes connections from `port` on to a server's port, byte for byte.

    cut()       ends all connections, and refuses new ones, until restore()
    hang()      lets nothing through in either direction, and keeps connections, until restore()
    drop()      ends all connections, once; new ones pass
    """

    def __init__(self, to):
        self.to = to
        self._state = threading.Condition()
        self._open, self._half = set(), set()
        self._hanging = self._closed = False
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._server.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def cut(self):
        # accept() in the other thread keeps a listening socket alive that is merely closed.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()

    def hang(self):
        self._hanging = True

    def drop(self):
        with self._state:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def restore(self):
        with self._state:
            self._hanging = False
            self._state.notify_all()
        if self._server.fileno() < 0:
            self._server = socket.create_server(("127.0.0.1", self.port), backlog=128)
            threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def close(self):
        self._closed = True
        if self._server.fileno() >= 0:
            self.cut()
        with self._state:
            self._state.notify_all()

    def _accept(self, server):
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            self.accepted += 1
            try:
                far = socket.create_connection(("127.0.0.1", self.to), 10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._state:
                self._open |= {near, far}
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._state:
                    self._state.wait_for(lambda: not self._hanging or self._closed)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._state:
            both = {source, sink}
            # The second of the two threads closes them.
            pair = frozenset(both)
            if pair in self._half:
                self._half.discard(pair)
                self._open -= both
                source.close()
                sink.close()
            else:
                self._half.add(pair)
