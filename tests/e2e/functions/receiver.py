"""Writes down every request as one line of JSON in the file RECORD, and answers as the file RULES says at that moment:
a list of {"match": TEXT, "status": N, "headers": {}, "body": TEXT, "sleep": S, "wait": FILE, "times": N}; the first one
whose TEXT stands in the request's path, headers (but for those of random digits) or body counts, for the first N requests that it matches; else 204. One
that has a `wait` is noted in RECORD.begun when it comes, and answered once the FILE is there."""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RECORD, RULES = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
lock = threading.Lock()
used = {}


def rule_for(text):
    try:
        with open(RULES) as file:
            rules = json.load(file)
    except (OSError, ValueError):
        rules = []
    for index, rule in enumerate(rules):
        if rule.get("match", "") not in text:
            continue
        if "times" in rule:
            with lock:
                used[index] = used.get(index, 0) + 1
                if used[index] > rule["times"]:
                    continue
        return rule
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("latin-1")
        fields = {name.lower(): value for name, value in self.headers.items()}
        line = json.dumps({"method": self.command, "path": self.path, "headers": fields, "body": body, "pid": os.getpid()})
        told = {name: value for name, value in fields.items() if name not in ("traceparent", "x-request-id")}
        rule = rule_for(json.dumps({"path": self.path, "headers": told, "body": body}))
        begun = time.time()
        if "wait" in rule:
            with lock, open(RECORD + ".begun", "a") as file:
                file.write(line + "\n")
            while not os.path.exists(rule["wait"]):
                time.sleep(0.01)
        time.sleep(rule.get("sleep", 0))
        answer = rule.get("body", "").encode()
        with lock, open(RECORD, "a") as file:
            record = json.loads(line)
            record.update(status=rule.get("status", 204), begun=begun, ended=time.time())
            file.write("\n" + json.dumps(record) + "\n")  # half a line of one that was killed is a line
        self.send_response(rule.get("status", 204))
        for name, value in rule.get("headers", {}).items():
            self.send_header(name, value)
        if answer or rule.get("status", 204) != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
