"""A function for events: writes down which came. 2xx says that the event needs no more delivery."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Note(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections open between requests

    def do_POST(self):
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(self.headers["ce-type"], self.headers["ce-id"], data.decode(errors="replace"), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass  # no line of its own for each request


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Note).serve_forever()
