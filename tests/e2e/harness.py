"""What every end-to-end test stands on: a real `rouse` daemon, and an HTTP client that repairs nothing.

Standard library only. A test looks like this:

    from harness import *

    class Echo(unittest.TestCase):
        def test_answers(self):
            with Daemon({"functions": {"echo": python_function("echo.py")}}) as rouse:
                self.assertEqual(rouse.get("/function/echo/hi").status, 200)

    if __name__ == "__main__":
        unittest.main()

Run through ctest (label e2e), or by hand: `ROUSE_BIN=build/release/rouse python3 tests/e2e/test_quickstart.py -v`.

Rules that the harness keeps for its users:
* nothing sleeps for luck: wait_for() polls a condition until a deadline, and the deadline is generous (scaled by
  ROUSE_TIME_SCALE, which the sanitizer builds set);
* the log comes late: the daemon writes it in a thread of its own, what functions say goes through pipes before that, and
  another thread reads it here. What shall be in it is waited for (wait_log()); what shall not be, or so often and no
  more, is looked for when no line can follow any more (whole_log());
* a daemon that leaves a sanitizer report, does not end when told to, or leaves a process behind fails the test;
* the log of the daemon is printed when the test fails.
"""

import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest  # noqa: F401  (re-exported: tests do `from harness import *`)
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FUNCTIONS = HERE / "functions"
ROUSE_BIN = os.environ.get("ROUSE_BIN", str(ROOT / "build" / "release" / "rouse"))
PYTHON = os.path.realpath(sys.executable)
NODE = os.environ.get("ROUSE_NODE") or shutil.which("node") or "node"

#: How much slower than a release build everything may be; multiplies every deadline of the harness.
TIME_SCALE = float(os.environ.get("ROUSE_TIME_SCALE", "1"))

SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak|Undefined\w*)Sanitizer|WARNING: ThreadSanitizer|: runtime error: |ThreadSanitizer:DEADLYSIGNAL"
)


# --- waiting --------------------------------------------------------------------------------------------------------------


def scaled(seconds):
    """A deadline in seconds, made longer for builds that run under a sanitizer."""
    return seconds * TIME_SCALE


def duration(seconds):
    """The same as rouse.yaml has it: for what must not be over before the test has looked."""
    return f"{int(scaled(seconds) * 1000)}ms"


def wait_for(condition, timeout=10.0, what=None, interval=0.01):
    """Polls `condition` until it returns something true, and returns that.

    An AssertionError or OSError raised by the condition counts as "not yet" and is shown when the deadline passes.
    `timeout` is in seconds and scaled by TIME_SCALE.
    """
    deadline = time.monotonic() + scaled(timeout)
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"{name}: not true within {scaled(timeout):g} s (last: {last!r})")
        time.sleep(interval)


def parallel(count, function, *args):
    """Calls `function(index, *args)` in `count` threads at once; returns the results in order, and raises the first error."""
    barrier = threading.Barrier(count)

    def run(index):
        barrier.wait()
        return function(index, *args)

    with ThreadPoolExecutor(max_workers=count) as pool:
        return [future.result() for future in [pool.submit(run, i) for i in range(count)]]


def write_whole(path, text):
    """Writes a file that others look at: they see it with all of its content, or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


def json_lines(path):
    """The values in a file of JSON lines; [] when there is none. A line that is not whole (yet, or because its writer was
    killed over it) is left out."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    out = []
    for line in lines:
        with contextlib.suppress(ValueError):
            out.append(json.loads(line))
    return out


# --- ports and processes --------------------------------------------------------------------------------------------------

_ports_given = {}


def free_port():
    """A TCP port that nobody listens on, below the ephemeral range, so that no outgoing connection can take it meanwhile.
    It stays bound here for as long as the test runs, without listening: a daemon, which binds with SO_REUSEADDR, may have it
    all the same, as often as it is started, but no other test that looks for a free one."""
    top = 32768
    with contextlib.suppress(OSError, ValueError):
        top = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    choices = range(10000, min(top, 16000)) if top > 11000 else range(61000, 65000)
    for _ in range(1000):
        port = random.choice(choices)
        if port in _ports_given:
            continue
        try:
            with socket.socket() as probe:  # not even a connection of before is left
                probe.bind(("127.0.0.1", port))
            held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", port))
        except OSError:
            continue
        _ports_given[port] = held
        return port
    raise AssertionError("no free port found in " + repr(choices))


def _stat(pid):
    """(parent, state, start time) of a process, or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0], fields[19]


def process_alive(pid, started=None):
    """Whether `pid` runs (zombies do not); `started` guards against the number being used again."""
    stat = _stat(pid)
    return stat is not None and stat[1] not in "ZX" and (started is None or stat[2] == started)


def descendants(pid):
    """{pid: start time} of all children of `pid`, and theirs."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(entry)) and stat[1] not in "ZX":
            children.setdefault(stat[0], []).append((int(entry), stat[2]))
    found, left = {}, [pid]
    while left:
        for child, started in children.get(left.pop(), []):
            if child not in found:
                found[child] = started
                left.append(child)
    return found


def _cgroup_mounts():
    """(directory of the hierarchy that is shown, where) of each cgroup2 mount."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, where = mount.split()[3:5]
            yield root.rstrip("/"), where


def is_frozen(pid):
    """Whether no thread of the process runs until somebody lets it: stopped by a signal, or frozen with its cgroup."""
    states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()}
    if states == {"T"}:
        return True
    own = next((line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::")), None)
    for root, where in _cgroup_mounts() if own else ():
        if (own + "/").startswith(root + "/"):
            with contextlib.suppress(OSError):  # the root cgroup has no such file
                return "frozen 1" in Path(where + own[len(root):] + "/cgroup.events").read_text()
    return False


def command_line(pid):
    """argv of a process as a list; empty when it is gone."""
    try:
        return [part.decode(errors="replace") for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:
        return []


# --- functions ------------------------------------------------------------------------------------------------------------


def python_function(file, *args, **keys):
    """Config of a function that runs tests/e2e/functions/FILE (or an absolute path) with python3. `keys` are added to it."""
    return {"command": [PYTHON, "-u", str(FUNCTIONS / file), *map(str, args)], **keys}


def node_function(file, *args, **keys):
    """The same with node."""
    return {"command": [NODE, str(FUNCTIONS / file), *map(str, args)], **keys}


def fast_function(*args, **keys):
    """Config of the compiled function (tests/functions/fast_function.cpp), which is up in about 2 ms."""
    path = os.environ.get("ROUSE_FAST_FUNCTION", "")
    if not path:
        raise unittest.SkipTest("ROUSE_FAST_FUNCTION is not set: run this test through ctest")
    return {"command": [path, *map(str, args)], **keys}


def faulty_disk():
    """The library that makes a daemon's disk fail when it is preloaded (tests/functions/faulty_disk.cpp)."""
    path = os.environ.get("ROUSE_FAULTY_DISK", "")
    if not path:
        raise unittest.SkipTest("ROUSE_FAULTY_DISK is not set: run this test through ctest")
    return path


# --- HTTP, strictly -------------------------------------------------------------------------------------------------------


class ProtocolError(AssertionError):
    """What the peer sent is not valid HTTP/1.1, or ended too early."""


_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


class Response:
    """One parsed response. `headers` is a list of (lower-case name, value) in the order received; `interim` lists the 1xx
    responses that came before it; `trailers` are those of a chunked body; `closed` tells that the peer announced to close."""

    def __init__(self, version, status, reason, headers):
        self.version, self.status, self.reason, self.headers = version, status, reason, headers
        self.body = b""
        self.trailers = []
        self.interim = []
        self.framing = None

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name, default=None):
        """The field's only value; two of them are an error."""
        values = self.all(name)
        if len(values) > 1:
            raise ProtocolError(f"{name} was sent {len(values)} times: {values}")
        return values[0] if values else default

    @property
    def keep_alive(self):
        options = [o.strip().lower() for value in self.all("connection") for o in value.split(",")]
        return "close" not in options if self.version == "HTTP/1.1" else "keep-alive" in options

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def problem(self):
        """The body of an error of rouse's own, checked for form."""
        if self.header("content-type") != "application/problem+json":
            raise AssertionError(f"not a problem+json response: {self!r}")
        body = self.json()
        if body.get("status") != self.status:
            raise AssertionError(f"the problem's status is not the response's: {self!r}")
        return body

    def __repr__(self):
        return f"<{self.version} {self.status} {self.reason} {self.headers} {self.body[:300]!r}>"


class Connection:
    """One TCP connection to a server, byte for byte. Not for several threads at once."""

    def __init__(self, port, host="127.0.0.1", timeout=30.0):
        self.socket = socket.create_connection((host, port), scaled(timeout))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def shutdown_write(self):
        self.socket.shutdown(socket.SHUT_WR)

    def settimeout(self, seconds):
        self.socket.settimeout(scaled(seconds))

    # sending

    def send(self, data):
        """Sends the bytes (or text, as latin-1) exactly as they are."""
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def send_request(self, method, target, headers=(), body=None, host="localhost"):
        """Sends a well-formed request. `headers` is a dict or a list of pairs. Content-Length is added for a body of bytes;
        a body that is a list of bytes is sent chunked."""
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        names = {name.lower() for name, _ in pairs}
        lines = [f"{method} {target} HTTP/1.1"]
        if "host" not in names and host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in pairs]
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, (list, tuple)):
            lines.append("Transfer-Encoding: chunked")
            payload = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in body if c) + b"0\r\n\r\n"
        else:
            payload = body or b""
            if body is not None and "content-length" not in names and "transfer-encoding" not in names:
                lines.append(f"Content-Length: {len(payload)}")
        return self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + payload)

    def request(self, method, target, headers=(), body=None, host="localhost"):
        """send_request() and read_response()."""
        self.send_request(method, target, headers, body, host)
        return self.read_response(method)

    # receiving

    def _fill(self):
        """Reads more into the buffer; False at the end of the stream."""
        if not self.eof:
            data = self.socket.recv(65536)
            self.buffer += data
            self.eof = not data
        return not self.eof

    def readable(self):
        """Whether something has come that was not read yet; the end of the stream is something as well."""
        return bool(self.buffer or select.select([self.socket], [], [], 0)[0])

    def read_exactly(self, count):
        chunks, have = [], 0
        while have < count:
            if not self.buffer and not self._fill():
                raise ProtocolError(f"the connection ended after {have} of {count} bytes")
            part, self.buffer = self.buffer[: count - have], self.buffer[count - have :]
            chunks.append(part)
            have += len(part)
        return b"".join(chunks)

    def read_line(self, limit=65536):
        """One line without its CRLF. A bare LF or CR is an error."""
        while (at := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > limit:
                raise ProtocolError(f"a line of more than {limit} bytes: {self.buffer[:100]!r}")
            if not self._fill():
                raise ProtocolError(f"the connection ended in the middle of a head; the last of it: {self.buffer[-200:]!r}")
        line, self.buffer = self.buffer[: at + 1], self.buffer[at + 1 :]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise ProtocolError(f"bare CR or LF in a head: {line!r}")
        return line[:-2]

    def read_some(self, limit=65536):
        """The next bytes as they come, b"" at the end of the stream."""
        if not self.buffer:
            self._fill()
        part, self.buffer = self.buffer[:limit], self.buffer[limit:]
        return part

    def _read_fields(self):
        fields = []
        while line := self.read_line():
            name, colon, value = line.partition(b":")
            if not colon or not _TOKEN.match(name):
                raise ProtocolError(f"not a header field: {line!r}")
            if any(byte < 0x20 and byte != 0x09 or byte == 0x7F for byte in value):
                raise ProtocolError(f"a control character in {line!r}")
            fields.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
        return fields

    def read_head(self):
        """The head of one response, interim ones included (they are returned like any other)."""
        line = self.read_line()
        match = re.fullmatch(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ?([^\0-\x08\x0a-\x1f\x7f]*)", line)
        if not match:
            raise ProtocolError(f"not a status line: {line!r}")
        return Response(match[1].decode(), int(match[2]), match[3].decode("latin-1"), self._read_fields())

    def _framing(self, response, method):
        lengths, encodings = response.all("content-length"), response.all("transfer-encoding")
        if lengths and encodings:
            raise ProtocolError(f"Content-Length together with Transfer-Encoding: {response!r}")
        if len(lengths) > 1 or (lengths and not re.fullmatch(r"[0-9]+", lengths[0])):
            raise ProtocolError(f"bad Content-Length {lengths}")
        if encodings and encodings != ["chunked"]:
            raise ProtocolError(f"bad Transfer-Encoding {encodings}")
        if response.status < 200 or response.status == 204:
            if lengths or encodings:
                raise ProtocolError(f"a {response.status} must not announce a body: {response!r}")
            return "none"
        if method == "HEAD" or response.status == 304:
            return "none"
        return "chunked" if encodings else "length" if lengths else "close"

    def read_chunk(self):
        """The next chunk of a chunked body; b"" is the last one (the trailers are still unread then)."""
        line = self.read_line()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
            raise ProtocolError(f"bad chunk size {line!r}")
        size = int(line, 16)
        data = self.read_exactly(size)
        if size and self.read_exactly(2) != b"\r\n":
            raise ProtocolError("no CRLF behind a chunk")
        return data

    def iter_body(self, response, method="GET"):
        """Yields the pieces of the body as they come, for bodies that must not be held in memory."""
        response.framing = self._framing(response, method)
        if response.framing == "length":
            left = int(response.header("content-length"))
            while left:
                part = self.read_some(min(left, 1 << 20))
                if not part:
                    raise ProtocolError(f"the body ended {left} bytes too early")
                left -= len(part)
                yield part
        elif response.framing == "chunked":
            while chunk := self.read_chunk():
                yield chunk
            response.trailers = self._read_fields()
        elif response.framing == "close":
            while part := self.read_some():
                yield part

    def read_response(self, method="GET"):
        """A whole response with its body. 1xx responses (but 101) are collected in `interim`."""
        interim = []
        while (response := self.read_head()).status < 200 and response.status != 101:
            self._framing(response, method)
            interim.append(response)
        response.interim = interim
        response.body = b"".join(self.iter_body(response, method))
        return response

    def read_eof(self, timeout=10.0):
        """Reads until the peer closes, and returns what came before. A reset is an error here."""
        self.settimeout(timeout)
        while self._fill():
            pass
        rest, self.buffer = self.buffer, b""
        return rest

    def closed_by_peer(self, timeout=10.0):
        """Waits for the end of the connection: "eof" or "reset". Data that comes before is an error."""
        self.settimeout(timeout)
        try:
            rest = self.read_eof(timeout)
        except ConnectionError:
            return "reset"
        if rest:
            raise AssertionError(f"expected the connection to be closed, got {rest[:300]!r}")
        return "eof"


def http_request(port, method, target, headers=(), body=None, host="localhost", timeout=30.0):
    """One request on a connection of its own."""
    with Connection(port, timeout=timeout) as connection:
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        return connection.request(method, target, [*pairs, ("Connection", "close")], body, host)


# --- the daemon -----------------------------------------------------------------------------------------------------------


class Daemon:
    """A running `rouse serve`, as a context manager.

    config:   a dict (written as JSON, which is YAML), or YAML text. `server.listen` and `server.admin` are added with free
              ports unless the dict names them; text must have no `server` key of its own unless ports are given by
              `{listen}` and `{admin}` in it, which are replaced.
    args:     more arguments behind `serve -c FILE`.
    env:      added to the environment of the daemon.
    wrap:     a command put in front, such as ["taskset", "-c", "0"].
    ready:    wait for /readyz before the body of the `with` runs.
    strict:   check at the end that it exits with 0 and leaves no process behind.
    """

    def __init__(self, config, args=(), env=None, wrap=(), ready=True, strict=True, files=None):
        self.port, self.admin_port = free_port(), free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="rouse-e2e-")
        self.path = Path(self.folder.name)
        self.config_path = self.path / "rouse.yaml"
        for name, text in (files or {}).items():
            (self.path / name).write_text(text)
        self.write_config(config)
        self.args, self.extra_env, self.wrap = list(args), dict(env or {}), list(wrap)
        self.wait_ready, self.strict = ready, strict
        self.lines, self._grown = [], threading.Condition()
        self.process = None
        self.exit_code = None
        self._seen = {}

    def write_config(self, config):
        """Replaces the config file (nothing is reloaded by that alone)."""
        listen, admin = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.admin_port}"
        if isinstance(config, str):
            if "{listen}" in config:
                text = config.replace("{listen}", listen).replace("{admin}", admin)
            else:
                text = f'server: {{listen: "{listen}", admin: "{admin}"}}\n{config}'
        else:
            server = {"listen": listen, "admin": admin, **config.get("server", {})}
            text = json.dumps({**config, "server": server}, indent=1)
        self.config_path.write_text(text)

    # life

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        try:
            self.finish(failed=kind is not None)
        except BaseException:
            if kind is None:
                self._print_log()
                raise
            print(f"(the daemon also failed to end cleanly: {sys.exc_info()[1]})", file=sys.stderr)
        if kind is not None and not issubclass(kind, unittest.SkipTest):
            self._print_log()

    def start(self):
        environment = {**os.environ, **self.extra_env}
        # The daemon must not outlive a test that is killed; its keeper then ends the functions.
        command = ["setpriv", "--pdeathsig", "KILL", *self.wrap, ROUSE_BIN, "serve", "-c", str(self.config_path), *self.args]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=self.path
        )
        self.exit_code = None
        self.reader = threading.Thread(target=self._read_output, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        if self.wait_ready:
            try:
                self.wait_until_ready()
            except BaseException:
                self.kill()
                self._print_log()
                raise
        return self

    def _read_output(self, pipe):
        for raw in pipe:
            with self._grown:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._grown.notify_all()
        pipe.close()

    def _print_log(self):
        print(f"--- log of the daemon ({self.config_path}) ---", file=sys.stderr)
        print("\n".join(self.lines[-200:]), file=sys.stderr)
        print("--- end of the log ---", file=sys.stderr)

    def wait_until_ready(self, timeout=20.0):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"rouse ended with status {self.process.returncode} before it was ready:\n{self.log}")
            return self.admin("GET", "/readyz", timeout=5).status == 200

        wait_for(ready, timeout, "/readyz answers 200", interval=0.005)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, which=signal.SIGTERM):
        self._seen.update(self.descendants())
        self.process.send_signal(which)

    def wait(self, timeout=30.0):
        """Waits for the daemon to end; returns its exit code (negative: the signal that ended it)."""
        try:
            self.exit_code = self.process.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"rouse did not end within {scaled(timeout):g} s") from None
        self.reader.join(scaled(5))
        return self.exit_code

    def stop(self, timeout=30.0):
        """SIGTERM, then waits; returns the exit code."""
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """kill -9. What it ran must be gone too; see wait_no_orphans()."""
        if self.alive():
            self._seen.update(self.descendants())
            self.process.kill()
        self.process.wait()
        self.reader.join(scaled(5))

    def finish(self, failed=False):
        """Stops what still runs and checks that it ended well. Called by the context manager."""
        try:
            asked = self.alive()
            if asked:
                self.signal(signal.SIGTERM)
                try:
                    self.wait(5 if failed else 20)
                except AssertionError:
                    self.signal(signal.SIGTERM)  # the second signal: at once
                    try:
                        self.wait(5)
                    except AssertionError:
                        self.process.send_signal(signal.SIGKILL)
                        self.wait(10)
                    if self.strict and not failed:
                        raise AssertionError("rouse did not end on the first SIGTERM")
            self.check_sanitizers()
            if self.strict and not failed:
                if asked and self.exit_code != 0:
                    raise AssertionError(f"rouse ended with status {self.exit_code} on SIGTERM, expected 0")
                self.wait_no_orphans()
        finally:
            for pid, started in self._seen.items():
                if process_alive(pid, started):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self.folder.cleanup()

    def check_sanitizers(self):
        if report := next((line for line in self.lines if SANITIZER_REPORT.search(line)), None):
            raise AssertionError(f"a sanitizer reported: {report}")

    def wait_no_orphans(self, timeout=5.0):
        """Every process that ran below the daemon when it was told to end is gone."""
        wait_for(
            lambda: not [pid for pid, started in self._seen.items() if process_alive(pid, started)],
            timeout,
            f"the processes {list(self._seen)} are gone",
        )

    # what it says

    @property
    def log(self):
        return "\n".join(self.lines)

    def wait_line(self, pattern, timeout=10.0, start=0, count=1):
        """Waits until `count` lines of the log (from index `start`) match the regular expression; the index of the last of
        them. len(lines) is no such index: what the daemon has said by now may not have been read yet."""
        deadline = time.monotonic() + scaled(timeout)
        compiled = re.compile(pattern)
        at, found = start, 0
        with self._grown:
            while True:
                while at < len(self.lines):
                    found += bool(compiled.search(self.lines[at]))
                    if found == count:
                        return at
                    at += 1
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{found} lines of the log match {pattern!r}, not {count}, within {scaled(timeout):g} s")
                self._grown.wait(left)

    def wait_log(self, pattern, timeout=10.0, start=0):
        """Waits until a line of the log (from index `start`) matches the regular expression; returns the match."""
        return re.search(pattern, self.lines[self.wait_line(pattern, timeout, start)])

    def whole_log(self, pattern="", timeout=30.0):
        """Ends the daemon, unless it has ended, and returns the lines of all that it and its functions have said (those that
        match): nothing can follow them any more."""
        if self.alive():
            code = self.stop(timeout)
            if code != 0:
                raise AssertionError(f"rouse ended with status {code} on SIGTERM, expected 0")
        self.reader.join(scaled(timeout))
        if self.reader.is_alive():
            raise AssertionError("rouse has ended, and somebody still holds its standard output open")
        return [line for line in self.lines if re.search(pattern, line)]

    # callers

    def connect(self, timeout=30.0):
        return Connection(self.port, timeout=timeout)

    def request(self, method, target, headers=(), body=None, host="localhost", timeout=30.0):
        return http_request(self.port, method, target, headers, body, host, timeout)

    def get(self, target, headers=(), timeout=30.0):
        return self.request("GET", target, headers, timeout=timeout)

    def post(self, target, body=b"", headers=(), timeout=30.0):
        return self.request("POST", target, headers, body, timeout=timeout)

    # the admin interface

    def admin(self, method, target, headers=(), body=None, timeout=30.0):
        return http_request(self.admin_port, method, target, headers, body, f"127.0.0.1:{self.admin_port}", timeout)

    def command(self, *args, timeout=60.0):
        """Runs a client command of rouse against this daemon; returns the CompletedProcess."""
        return run_rouse(*args, "--admin", f"http://127.0.0.1:{self.admin_port}", timeout=timeout)

    def must(self, *args, timeout=60.0):
        """The same; a failure is an error. Returns what it printed."""
        done = self.command(*args, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"rouse {' '.join(map(str, args))}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def reload(self, config):
        """Writes the config and has it loaded with `rouse reload`; returns what that printed."""
        self.write_config(config)
        return self.must("reload")

    def pools(self):
        """{name: status} of GET /api/v1/pools."""
        return {entry["name"]: entry for entry in self.admin("GET", "/api/v1/pools").json()["pools"]}

    def functions(self):
        """{name: status} of GET /api/v1/functions."""
        answer = self.admin("GET", "/api/v1/functions")
        if answer.status != 200:
            raise AssertionError(f"/api/v1/functions answered {answer!r}")
        body = answer.json()
        return {entry["name"]: entry for entry in (body["functions"] if isinstance(body, dict) else body)}

    def function(self, name):
        return self.functions()[name]

    def instances(self, name, state=None):
        """The instances of a function, as the admin interface shows them; only those in `state` when it is given."""
        return [i for i in self.function(name)["instances"] if state is None or i["state"] == state]

    def wait_instances(self, name, count, state="ready", timeout=20.0):
        """Waits until exactly `count` instances are in `state` (None: any state at all); returns them."""

        def as_wanted():
            found = self.instances(name, state)
            return [found] if len(found) == count else None

        return wait_for(as_wanted, timeout, f"{name} has {count} instances in state {state or 'any'}")[0]

    def wait_zero(self, name, timeout=20.0):
        """Waits until the function has no instance in any state."""
        self.wait_instances(name, 0, None, timeout)

    def wait_load(self, name, in_flight, parked=0, timeout=20.0):
        """Waits until exactly so many requests of the function are in flight and parked. Who was parked may be seen as both
        for a moment, so that looking at one number first and at the other later may find the same request twice."""
        wanted = (in_flight, parked)

        def as_wanted():
            one = self.function(name)
            found = (one["in_flight"], one["parked"])
            if found != wanted:
                raise AssertionError(f"it is {found}")
            return True

        wait_for(as_wanted, timeout, f"{name} has {wanted} requests in flight and parked")

    def wait_parked(self, name, count, timeout=10.0):
        wait_for(lambda: self.function(name)["parked"] == count, timeout, f"{name} has {count} parked")

    def metrics(self):
        """{`name{label="value",...}` exactly as exposed: float}."""
        answer = self.admin("GET", "/metrics")
        if answer.status != 200:
            raise AssertionError(f"/metrics answered {answer!r}")
        found = {}
        for line in answer.text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def metric(self, name, **labels):
        """Sum of the series of one metric whose labels include `labels`; 0 when there is none yet."""
        total = 0.0
        for series, value in self.metrics().items():
            bare, _, rest = series.partition("{")
            if bare == name and all(f'{key}="{label}"' in rest for key, label in labels.items()):
                total += value
        return total

    # the process

    def descendants(self):
        """{pid: start time} of everything below the daemon: its keeper, the instances and their children."""
        return descendants(self.pid) if self.alive() else {}

    def instance_pids(self, text):
        """Pids below the daemon whose command line contains `text` (the file of the function, say)."""
        return [pid for pid in self.descendants() if any(text in part for part in command_line(pid)[1:] or command_line(pid))]

    def rss_kib(self):
        """Resident memory of the daemon itself, in KiB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1])

    def peak_rss_kib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())[1])


def run_rouse(*args, timeout=30.0, env=None, cwd=None, stdin=None):
    """Runs a command of rouse to its end; returns the CompletedProcess with text output."""
    done = subprocess.run(
        [ROUSE_BIN, *map(str, args)],
        stdin=subprocess.DEVNULL if stdin is None else None,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=scaled(timeout),
        env={**os.environ, **(env or {})},
        cwd=cwd,
    )
    if report := SANITIZER_REPORT.search(done.stdout + done.stderr):
        raise AssertionError(f"a sanitizer reported: {report[0]}\n{done.stderr}")
    return done


def documented(part, *changes):
    """The configuration of docs/backends.md that has `part` in it, with (old, new) changed in it."""
    found = [text for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "backends.md").read_text(), re.S) if part in text]
    assert len(found) == 1, f"{len(found)} configurations have `{part}`"
    text = found[0]
    for old, new in changes:
        assert old in text, f"{old} is not in {text}"
        text = text.replace(old, new)
    return text


def is_sanitized():
    """True in builds under ASan or TSan, where limits of memory and time do not hold."""
    return TIME_SCALE > 1
