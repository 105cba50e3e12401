"""Answers every request with what it got, as JSON. Threaded, HTTP/1.1 with keep-alive.

Steered by the query: `?sleep=SECONDS` before the answer, `?status=CODE`, `?exit=CODE` ends the process at once (no answer).
Prints one line per request, so that logs can be tested.
"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

lock = threading.Lock()
in_flight = most = served = 0


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self):
        global in_flight, most, served
        with lock:
            in_flight += 1
            served += 1
            most = max(most, in_flight)
        try:
            body = self.body()
            query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            if "exit" in query:
                os._exit(int(query["exit"]))
            time.sleep(float(query.get("sleep", 0)))
            reply = json.dumps(
                {
                    "method": self.command,
                    "target": self.path,
                    "headers": [[name.lower(), value] for name, value in self.headers.items()],
                    "body": body.decode("latin-1"),
                    "pid": os.getpid(),
                    "port": int(os.environ["PORT"]),
                    "environment": dict(os.environ),
                    "directory": os.getcwd(),
                    "most_in_flight": most,
                    "served": served,
                }
            ).encode()
            self.send_response(int(query.get("status", 200)))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply)
        finally:
            with lock:
                in_flight -= 1

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, form, *args):
        print(f"{self.command} {self.path}", flush=True)


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
