"""A control line for programs that run beside a real part (with_docker.py, with_kubernetes.py): faults to order.

The program connects to the address in ROUSE_TEST_CONTROL (127.0.0.1:PORT), writes words and a line's end, and reads `ok`, perhaps
with an answer behind it, or `failed: ` and why. Several lines on a connection; one connection at a time.
"""

import os
import socket
import threading


def serve(commands):
    """Serves {first word: function of the other words} in a thread until the program ends; returns the address."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server, commands), daemon=True).start()
    return "{}:{}".format(*server.getsockname())


def _serve(server, commands):
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as lines:
            try:
                for line in lines:
                    lines.write(_answer(line.split(), commands) + "\n")
                    lines.flush()
            except OSError:
                pass


def _answer(words, commands):
    try:
        if not words or words[0] not in commands:
            raise AssertionError(f"the commands are: {', '.join(sorted(commands))}")
        said = commands[words[0]](*words[1:])
        return f"ok {said}" if isinstance(said, (str, int)) else "ok"
    except Exception as error:
        return "failed: " + repr(error).replace("\n", " ")


def environment(**more):
    """The environment of the program, with these variables."""
    return {**os.environ, **more}
