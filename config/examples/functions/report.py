"""A function that takes its time: for callers who ask for the result later."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Report(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections open between requests

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(2)
        reply = b"a report about " + asked + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Report).serve_forever()
