"""A server with a fixed number of threads, each busy with one connection from its first byte to its end, as simple servers are:
a connection that is merely kept open takes a thread. Arguments: threads, accept queue, milliseconds of work per request."""

import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

threads, backlog, work = (int(a) for a in sys.argv[1:4])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(work / 1000)
        body = b"%d" % threading.get_ident()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def run(server):
    while True:
        sock, peer = server.accept()
        try:
            Handler(sock, peer, None)
        except OSError:
            pass
        sock.close()


with socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=backlog) as server:
    for _ in range(threads - 1):
        threading.Thread(target=run, args=(server,), daemon=True).start()
    run(server)
