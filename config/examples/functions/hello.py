"""A function: any program that serves HTTP on $PORT."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections open between requests

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = f"Hello from Python! {self.command} {self.path} (instance {os.getpid()})\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer


# rouse sends it when nothing is in flight. In a container, nothing but this would make it end.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
# A container says HOST=0.0.0.0: nobody reaches its loopback.
ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Hello).serve_forever()
