"""Reads what it is sent without keeping it, and answers with SIZE bytes, once the file GATE (if one is named) is there."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = b"x" * 65536
SIZE, GATE = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        left = int(self.headers.get("Content-Length", 0))
        while left > 0 and (got := self.rfile.read(min(left, 65536))):
            left -= len(got)
        while GATE and not os.path.exists(GATE):
            time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        for at in range(0, SIZE, len(PIECE)):
            self.wfile.write(PIECE[: SIZE - at])

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
