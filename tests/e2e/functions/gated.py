"""A function whose every step a test can hold and see. One thread per connection, HTTP/1.1 with keep-alive.

Steered by the query:
    until=FILE      answer only once FILE exists
    work=SECONDS    sleep before the answer
    exit=CODE       end the process at once, without an answer
    exit_once=FILE  the same, but only if FILE does not exist yet (it is made)
    bytes=N         a body of N bytes instead of the JSON

`gated.py --until FILE` listens only once FILE exists. Prints `listening`, `begin TARGET`, `end TARGET` and, when told to
stop, `SIGTERM with N in flight`.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

lock = threading.Lock()
in_flight = most = served = 0


def say(text):
    os.write(1, (text + "\n").encode())  # one write is one line, from whichever thread


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def on_term(*_):
    say(f"SIGTERM with {in_flight} in flight")
    os._exit(0)


def read_request(stream):
    line = stream.readline()
    if not line:
        return None
    length = 0
    while (field := stream.readline()) not in (b"\r\n", b""):
        if field.lower().startswith(b"content-length:"):
            length = int(field[15:])
    stream.read(length)
    return line.split(b" ")[1].decode("latin-1")


class Exchange:
    """One request. It is over before the last byte of its answer leaves: the gateway may send the next one at that moment,
    and a request that is counted a little longer would look like one too many."""

    def __init__(self, target, quiet):
        global in_flight, most, served
        self.target, self.quiet, self.open = target, quiet, True
        with lock:
            in_flight += 1
            served += 1
            self.number = served
            most = max(most, in_flight)
        if not quiet:
            say(f"begin {target}")

    def end(self):
        global in_flight
        if not self.open:
            return
        self.open = False
        with lock:
            in_flight -= 1
        if not self.quiet:
            say(f"end {self.target}")

    def answer(self, sock):
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.target).query).items()}
        if "exit" in query:
            os._exit(int(query["exit"]))
        if "exit_once" in query and not os.path.exists(query["exit_once"]):
            open(query["exit_once"], "w").close()
            os._exit(1)
        if "until" in query:
            wait_for_file(query["until"])
        if "work" in query:
            time.sleep(float(query["work"]))
        if "bytes" in query:
            left = int(query["bytes"])
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            block = b"x" * 65536
            while left > len(block):
                left -= sock.send(block)
            self.end()
            sock.sendall(block[:left])
            return
        body = json.dumps({"pid": os.getpid(), "number": self.number, "most_in_flight": most}).encode()
        self.end()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        sock.sendall(head + body)


def serve(sock, quiet):
    with sock, sock.makefile("rb") as stream:
        try:
            while target := read_request(stream):
                exchange = Exchange(target, quiet)
                try:
                    exchange.answer(sock)
                finally:
                    exchange.end()
        except OSError:
            pass


def main():
    signal.signal(signal.SIGTERM, on_term)
    if "--until" in sys.argv:
        wait_for_file(sys.argv[sys.argv.index("--until") + 1])
    quiet = "--quiet" in sys.argv
    with socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024) as server:
        if not quiet:
            say("listening")
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock, quiet), daemon=True).start()


main()
