"""A function for events: an order comes in, and an event of its own, that it was billed, is the answer."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Bill(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections open between requests

    def do_POST(self):
        order = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            amount = json.loads(order)["amount"]
        except (ValueError, KeyError, TypeError):
            return self.answer(422, b"an order needs an amount\n")  # no try will mend that: a dead letter
        # An event may come twice; the same id makes the answer recognisable, and the order can be billed only once.
        self.answer(200, json.dumps({"billed": amount}).encode(), {
            "ce-specversion": "1.0",
            "ce-id": "bill-" + self.headers["ce-id"],
            "ce-source": "/bill",
            "ce-type": "com.shop.order.billed",
            "Content-Type": "application/json",
        })

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Bill).serve_forever()
