"""A function whose every step a test can hold and see. One thread per connection, HTTP/1.1 with keep-alive.

Steered by the query:
    until=FILE      answer only once FILE exists
    work=SECONDS    sleep before the answer
    exit=CODE       end the process at once, without an answer
    exit_once=FILE  the same, but only if FILE does not exist yet (it is made)
    bytes=N         a body of N bytes instead of the JSON
    stream=FILE     server-sent events, numbered, until FILE exists
    status=CODE     of the answer
    sick=FOLDER     while FOLDER/PID exists, for its own PID, do what it holds: answer 500, `reset`, or `hang`, which adds a
                    byte to FOLDER/PID.hangs

`gated.py --until FILE` listens only once FILE exists. Prints `listening`, `begin TARGET`, `end TARGET` and, when told to
stop, `SIGTERM with N in flight`. With `--linger SECONDS` it goes on for so long after that, and prints `late TARGET` for
each request that begins then, whatever `--quiet` says.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from urllib.parse import parse_qs, urlsplit

lock = threading.Lock()
in_flight = most = served = 0
ending = False
linger = float(sys.argv[sys.argv.index("--linger") + 1]) if "--linger" in sys.argv else 0


def say(text):
    os.write(1, (text + "\n").encode())  # one write is one line, from whichever thread


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def on_term():
    global ending
    ending = True
    say(f"SIGTERM with {in_flight} in flight")
    if not linger:
        os._exit(0)
    timer = threading.Timer(linger, os._exit, (0,))
    timer.daemon = True
    timer.start()


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
        if ending:
            say(f"late {target}")
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

    def be_sick(self, sock, path):
        """What FOLDER/PID says; False when there is nothing to answer any more."""
        try:
            with open(os.path.join(path, str(os.getpid()))) as file:
                how = file.read().strip()
        except OSError:
            return True
        if how == "hang":
            with open(os.path.join(path, f"{os.getpid()}.hangs"), "ab") as file:
                file.write(b"x")
            while os.path.exists(os.path.join(path, str(os.getpid()))):
                time.sleep(0.02)
        if how in ("reset", "hang"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise OSError("as asked")
        self.end()
        sock.sendall(b"HTTP/1.1 500 Sick\r\nContent-Length: 5\r\n\r\nsick\n")
        return False

    def stream(self, sock, path):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        number = 0
        while True:
            last = os.path.exists(path)
            event = b"data: %s\n\n" % (b"end" if last else b"%d" % number)
            if last:
                self.end()
                return sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
            sock.sendall(b"%x\r\n%b\r\n" % (len(event), event))
            number += 1
            time.sleep(0.02)

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
        if "sick" in query and not self.be_sick(sock, query["sick"]):
            return
        if "stream" in query:
            return self.stream(sock, query["stream"])
        if "bytes" in query:
            left = int(query["bytes"])
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            block = b"x" * 65536
            while left > len(block):
                left -= sock.send(block)
            self.end()
            sock.sendall(block[:left])
            return
        answer = {"pid": os.getpid(), "number": self.number, "most_in_flight": most, "revision": os.environ.get("K_REVISION")}
        body = json.dumps(answer).encode()
        self.end()
        status = int(query.get("status", 200))
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
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


def listen():
    if "--until" in sys.argv:
        wait_for_file(sys.argv[sys.argv.index("--until") + 1])
    quiet = "--quiet" in sys.argv
    where = (os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]))
    with socket.create_server(where, backlog=1024) as server:
        if not quiet:
            say("listening")
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(sock, quiet), daemon=True).start()


def run(work):
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main():
    # Waited for, not handled: a signal that comes on the way into accept() would have its handler run when that returns.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=run, args=(listen,), daemon=True).start()
    signal.sigwait([signal.SIGTERM])
    on_term()
    threading.Event().wait()  # until the timer ends it


main()
