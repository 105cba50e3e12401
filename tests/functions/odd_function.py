#!/usr/bin/python3
"""A function that does what tests of the process backend need. The first argument says what:

report          print environment, descriptors, directory and input as JSON, then serve
serve           serve on 127.0.0.1
v6              serve on ::1 only
brief           serve, and end with status 0 after 0.2 s
die STATUS      write three lines, the last without its end, and exit
silent          never listen
elsewhere       listen on a port of its own choice on all addresses
late N          answer 503 to the first N requests, 200 to the others
slow            accept, and never answer
stubborn        ignore SIGTERM and serve
family          start a child, a child in a session of its own, and a daemon (double fork); print their pids; serve
family-die      the same, but exit with status 7 in place of serving
ticks           serve, and write "tick MINE" every few milliseconds from a thread, a child, a child in a session of its
                own and a daemon; SIGTERM ends it with "bye" and status 0
forks           serve, and fork without pause: lines of short-lived processes, each in a session of its own
flood MIB       write MIB mebibytes of lines, then serve
"""
import json
import os
import signal
import socket
import sys
import threading
import time

PORT = int(os.environ["PORT"])
REPLY = b"HTTP/1.1 %s\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def listen(host="127.0.0.1", port=PORT):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, port))
    server.listen(128)
    return server


def serve(host="127.0.0.1", refuse=0):
    server = listen(host)
    while True:
        connection, _ = server.accept()
        with connection:
            if b"\r\n\r\n" not in connection.recv(65536):
                continue
            print("request", flush=True)
            connection.sendall(REPLY % (b"503 Not Yet" if refuse > 0 else b"200 OK"))
            refuse -= 1


def say(**values):
    print(json.dumps(values), flush=True)


def refuse_to_end():
    """Answers each SIGTERM with a line. Not by a handler: Python runs those between two instructions of the main thread, and
    one that is just about to block in accept() or recv() would sit on it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def answer():
        while True:
            signal.sigwait({signal.SIGTERM})
            print("not now", flush=True)

    threading.Thread(target=answer, daemon=True).start()


def wait_for_ever():
    while True:
        time.sleep(3600)


def family():
    pids = [os.getpid()]
    child = os.fork()
    if child == 0:
        wait_for_ever()
    pids.append(child)
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_for_ever()
    pids.append(child)
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        os.write(writer, b"%d\n" % os.getpid())
        os.environ.clear()
        # Nothing of the instance's marks is left: other session, other group, other parent, other environment.
        os.execve("/bin/sleep", ["sleep", "3600"], {})
    os.waitpid(middle, 0)
    pids.append(int(os.read(reader, 32)))
    say(pids=pids)


def tick(name):
    while True:
        os.write(1, b"tick %s\n" % name)
        time.sleep(0.004)


def ticks():
    def end():
        # Waited for, not handled: Python may miss a signal on its way into a system call, until the next one.
        signal.sigwait([signal.SIGTERM])
        os.write(1, b"bye\n")
        os._exit(0)

    for escapes, name in ((0, b"child"), (1, b"session"), (2, b"daemon")):
        child = os.fork()
        if child == 0:
            if escapes > 0:
                os.setsid()
            if escapes > 1 and os.fork() > 0:
                os._exit(0)
            tick(name)
        if escapes > 1:
            os.waitpid(child, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=end, daemon=True).start()
    threading.Thread(target=tick, args=(b"thread",), daemon=True).start()


def forks():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if os.fork() > 0:
        return
    while True:
        if os.fork() == 0:
            for _ in range(3):
                time.sleep(0.005)
                if os.fork() > 0:
                    os._exit(0)
                os.setsid()
            os._exit(0)
        time.sleep(0.002)


def main(mode, *args):
    if mode == "report":
        say(
            environment=dict(os.environ),
            descriptors=sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
            directory=os.getcwd(),
            input=sys.stdin.read(),
            group=os.getpgrp() == os.getpid(),
            blocked=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            ignored=[int(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if signal.getsignal(s) == signal.SIG_IGN],
        )
        serve()
    elif mode == "serve":
        serve()
    elif mode == "v6":
        serve("::1")
    elif mode == "brief":
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        serve()
    elif mode == "die":
        sys.stderr.write("first line\nsecond \x1b[31mline\nlast line")
        sys.stderr.flush()
        os._exit(int(args[0]))
    elif mode == "silent":
        say(pids=[os.getpid()])
        wait_for_ever()
    elif mode == "elsewhere":
        server = listen("0.0.0.0", 0)
        say(port=server.getsockname()[1])
        wait_for_ever()
    elif mode == "late":
        serve(refuse=int(args[0]))
    elif mode == "slow":
        server = listen()
        wait_for_ever()
    elif mode == "stubborn":
        refuse_to_end()
        serve()
    elif mode == "family":
        family()
        serve()
    elif mode == "family-die":
        family()
        os._exit(7)
    elif mode == "ticks":
        ticks()
        serve()
    elif mode == "forks":
        forks()
        serve()
    elif mode == "flood":
        line = b"y" * 99 + b"\n"
        begun = time.monotonic()
        for _ in range(int(args[0])):
            os.write(1, line * 10486)
        say(seconds=time.monotonic() - begun)
        serve()
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
