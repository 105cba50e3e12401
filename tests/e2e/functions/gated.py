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


def answer(sock, target, number):
    query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
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
        while left:
            left -= sock.send(block[: min(left, len(block))])
        return
    body = json.dumps({"pid": os.getpid(), "number": number, "most_in_flight": most}).encode()
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def serve(sock, quiet):
    global in_flight, most, served
    with sock, sock.makefile("rb") as stream:
        try:
            while target := read_request(stream):
                with lock:
                    in_flight += 1
                    served += 1
                    number = served
                    most = max(most, in_flight)
                if not quiet:
                    say(f"begin {target}")
                try:
                    answer(sock, target, number)
                finally:
                    if not quiet:
                        say(f"end {target}")
                    with lock:
                        in_flight -= 1
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
