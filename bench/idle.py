#!/usr/bin/env python3
"""What an idle daemon costs: its resident memory and what it is made of, and how long it takes until it is ready.

    ./dev bench idle [--times N] [--quick]

The daemon runs the quickstart's kind of config (two functions at zero) with default settings. Ready means that /readyz
answers 200, timed from before the fork, asked in a tight loop. Memory is that of /proc/PID/smaps, once it has stopped changing.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from common import machine, median, save, table
from harness import ROUSE_BIN, command_line, descendants, free_port, wait_for

CONFIG = """server: {{listen: "127.0.0.1:{listen}", admin: "127.0.0.1:{admin}"}}
functions:
  hello-python: {{command: [python3, hello.py]}}
  hello-node: {{command: [node, hello.js]}}
"""


def ready(port):
    """Whether /readyz answers 200 now."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Idle:
    """A daemon that does nothing, and when it was ready (`seconds` after its start)."""

    def __init__(self, folder):
        admin = free_port()
        file = Path(folder) / "rouse.yaml"
        file.write_text(CONFIG.format(listen=free_port(), admin=admin))
        begin = time.perf_counter()
        self.process = subprocess.Popen([ROUSE_BIN, "serve", "-c", str(file)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        while not ready(admin):
            if self.process.poll() is not None:
                raise SystemExit(f"bench: rouse ended with status {self.process.returncode}")
            if time.perf_counter() - begin > 20:
                raise SystemExit("bench: rouse is not ready after 20 s")
            time.sleep(0.0002)
        self.seconds = time.perf_counter() - begin

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def mappings(pid):
    """{kind: {"rss": KiB, "private": KiB}} of a process."""
    kinds, kind = {}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if found := re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \d+\s*(.*)", line):
            name = found[2]
            if name.startswith("/") and os.path.realpath(name) == os.path.realpath(ROUSE_BIN):
                kind = "rouse itself: code" if "x" in found[1] else "rouse itself: data"
            elif ".so" in name:
                kind = "library " + re.sub(r"[-.]\d.*", "", re.sub(r"\.so.*", "", Path(name).name))
            elif name == "[heap]" or not name:
                kind = "heap and thread stacks (anonymous)"
            else:
                kind = "other"
        elif found := re.match(r"(Rss|Private_Clean|Private_Dirty):\s+(\d+) kB", line):
            entry = kinds.setdefault(kind, {"rss": 0, "private": 0})
            entry["rss" if found[1] == "Rss" else "private"] += int(found[2])
    return kinds


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def settled(pid):
    """Waits until the resident memory has not changed for a second; returns it in KiB."""
    history = []

    def same():
        history.append(rss(pid))
        return len(history) > 10 and len(set(history[-10:])) == 1

    wait_for(same, 30, "the memory of the daemon has settled", interval=0.1)
    return history[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="3 times")
    options = parser.parse_args()
    where = machine()
    seconds = []
    with tempfile.TemporaryDirectory(prefix="rouse-idle-") as folder:
        for left in reversed(range(3 if options.quick else options.times)):
            daemon = Idle(folder)
            seconds.append(daemon.seconds)
            if left == 0:
                total = settled(daemon.process.pid)
                kinds = mappings(daemon.process.pid)
                keepers = {pid: (rss(pid), " ".join(command_line(pid))) for pid in descendants(daemon.process.pid)}
                threads = len(os.listdir(f"/proc/{daemon.process.pid}/task"))
            daemon.stop()

    print(f"{where}\n\nReady after {median(seconds) * 1000:.1f} ms (median of {len(seconds)}; "
          f"{min(seconds) * 1000:.1f} to {max(seconds) * 1000:.1f}).")
    print(f"Resident: {total / 1024:.1f} MiB with {threads} threads, of which {sum(k['private'] for k in kinds.values()) / 1024:.1f} MiB "
          "are its own (the rest is shared with whoever uses the same libraries).")
    for memory, name in keepers.values():
        print(f"Its child ({name}): {memory / 1024:.1f} MiB resident.")
    print()
    rows = [[kind, f"{size['rss']:,}", f"{size['private']:,}"] for kind, size in
            sorted(kinds.items(), key=lambda item: -item[1]["rss"]) if size["rss"] >= 100]
    small = [size for size in kinds.values() if size["rss"] < 100]
    rows.append(["everything below 100 KiB", f"{sum(s['rss'] for s in small):,}", f"{sum(s['private'] for s in small):,}"])
    print(table(["what", "resident KiB", "of it private KiB"], rows))
    save("idle", {"ready_seconds": seconds, "rss_kib": total, "mappings": kinds, "children": keepers})


if __name__ == "__main__":
    main()
