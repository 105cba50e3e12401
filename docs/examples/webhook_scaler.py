"""A scaler for rouse in fifty lines: instances are processes of this machine.  SECRET=... webhook_scaler.py PORT MOST COMMAND..."""
import base64, hashlib, hmac, json, os, socket, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, MOST, COMMAND = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
running, latest, lock = {}, {}, threading.Lock()  # by key: {name: instance}; the highest sequence

def is_genuine(headers, body):
    stamp, text = headers.get("webhook-timestamp", ""), f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    digest = hmac.new(os.environ["SECRET"].encode(), text + body, hashlib.sha256).digest()
    good = "v1," + base64.b64encode(digest).decode()
    return (hmac.compare_digest(good.encode(), headers.get("webhook-signature", "").encode())
            and stamp.isdigit() and abs(time.time() - int(stamp)) < 300)

def start(key):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(COMMAND, env={**os.environ, "PORT": str(port)})
    running[key][f"local-{process.pid}"] = {"process": process, "address": f"127.0.0.1:{port}", "ends": float("inf")}

def end(one, grace):
    at = time.monotonic() + grace
    if at > one["ends"] - 1: return  # said already, and not hurried
    one["ends"] = at
    one["process"].terminate()
    threading.Timer(grace, one["process"].kill).start()  # harmless when it has ended by then

def is_ending(one):
    return one["ends"] < float("inf")

def show(name, one):
    status = one["process"].poll()
    state = "terminating" if is_ending(one) else "ready" if status is None else "failed"  # rouse looks itself whether it listens
    return {"name": name, "state": state, "address": one["address"], "reason": "exited", "detail": f"status {status}"}

def scale(want):
    mine = running.setdefault(want["key"], {})
    if want["desired"] is not None and want["sequence"] > latest.get(want["key"], 0):  # else one that was overtaken
        latest[want["key"]] = want["sequence"]
        for gone in want["remove"]:
            if one := mine.get(gone["name"]): end(one, gone["grace"])
        live = [one for one in mine.values() if not is_ending(one) and one["process"].poll() is None]
        for one in live[want["desired"]:]: end(one, 30)
        for _ in range(min(want["desired"], MOST) - len(live)): start(want["key"])
    for name in [name for name, one in mine.items() if is_ending(one) and one["process"].poll() is not None]: del mine[name]
    full = {"reason": "no-capacity", "detail": f"this machine has room for {MOST}"}
    return {"instances": [show(*one) for one in mine.items()], "shortage": full if (want["desired"] or 0) > MOST else None}

class Scaler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        genuine = is_genuine(self.headers, body)
        with lock:
            answer = json.dumps(scale(json.loads(body)) if genuine else {"error": "the signature is wrong"}).encode()
        self.send_response(200 if genuine else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

ThreadingHTTPServer(("127.0.0.1", PORT), Scaler).serve_forever()
