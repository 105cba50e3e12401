#!/usr/bin/env python3
"""What many functions cost: memory, reloads, and cold starts while Prometheus scrapes.

    ./dev bench many [--functions N] [--called N] [--times N] [--quick]

Memory: a daemon with 10,000 functions that were never called beside one with a single function; resident memory once it
has stopped changing, by function. Target: less than 4 KiB each.

Reload: the same daemon; the file is written with another `timeout` for every function and `rouse reload` is run, timed from
before its start until it ends, several times. Meanwhile a client calls one function without a pause, on one connection:
none of its requests may fail, and its slowest one is told beside the slowest of as long a time without a reload.
Target: less than 1 s, no failures.

Scrapes: 1,000 functions that were called once each, so that /metrics has their series, all at zero again; then starts of
another function from zero, in turns of ten: while /metrics is read in a loop; while that of a second daemon like the first
is read in the same way (the control: as much of the machine is taken, by what the first has nothing to do with); and while
none is. Beside the time to the first byte the daemon's own account of each start's wait for the control thread is told
(`rouse_control_wait_seconds`). Targets: that wait is at most 1 ms; a start takes at most 1 ms more at the median than in the
control.
"""

import argparse
import contextlib
import math
import re
import socket
import sys
import threading
import time

from common import Timer, machine, median, program, quantile, save, table
from harness import Connection, Daemon, run_rouse, wait_for
from idle import settled


def many(functions, command, timeout="60s", **keys):
    """A config of `functions` functions called f00000, f00001, ..."""
    return {"functions": {f"f{i:05d}": {"command": [command], "timeout": timeout, **keys} for i in range(functions)}}


def memory(functions, command):
    """Resident KiB of a daemon with so many functions."""
    with Daemon(many(functions, command)) as rouse:
        return settled(rouse.pid)


class Caller(threading.Thread):
    """Calls one function without a pause until it is told to stop."""

    def __init__(self, port, path):
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.ended = threading.Event()
        self.requests, self.failures, self.slowest = 0, [], 0.0

    def run(self):
        try:
            with Connection(self.port) as connection:
                while not self.ended.is_set():
                    begin = time.perf_counter()
                    answer = connection.request("GET", self.path)
                    self.slowest = max(self.slowest, time.perf_counter() - begin)
                    self.requests += 1
                    if answer.status != 200:
                        self.failures.append(repr(answer))
        except (OSError, AssertionError) as error:
            self.failures.append(f"the connection: {error}")

    def __enter__(self):
        self.start()
        wait_for(lambda: self.requests > 0 or self.failures, 20, "the first request is answered")
        self.slowest = 0.0  # that one may have met a cold start
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(30)


def reloads(functions, command, times):
    """[{seconds, slowest, quiet, requests, failures}], and the resident KiB before and after."""
    out = []
    with Daemon(many(functions, command)) as rouse:
        before = settled(rouse.pid)
        for i in range(times):
            rouse.write_config(many(functions, command, timeout=f"{61 + i}s"))
            with Caller(rouse.port, "/function/f00000") as caller:
                begin = time.perf_counter()
                done = run_rouse("reload", "--admin", f"http://127.0.0.1:{rouse.admin_port}", timeout=120)
                seconds = time.perf_counter() - begin
            if done.returncode != 0:
                sys.exit(f"bench: rouse reload ended with status {done.returncode}: {done.stdout}{done.stderr}")
            with Caller(rouse.port, "/function/f00000") as quiet:
                quiet.ended.wait(seconds)
            out.append({"seconds": seconds, "slowest": caller.slowest, "quiet": quiet.slowest,
                        "requests": caller.requests, "failures": caller.failures + quiet.failures})
        return out, before, settled(rouse.pid)


class Scraper(threading.Thread):
    """Reads /metrics in a loop while `on`, at as little cost as can be: it shares the machine with what is measured."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.on, self.ended = threading.Event(), threading.Event()
        self.scrapes, self.bytes, self.problem = 0, 0, ""
        self.buffer = bytearray(1 << 20)

    def scrape(self):
        """The bytes of one reply."""
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % self.port)
            total = 0
            while got := connection.recv_into(self.buffer):
                if total == 0 and not self.buffer.startswith(b"HTTP/1.1 200"):
                    raise OSError(f"answered {bytes(self.buffer[:40])!r}")
                total += got
        return total

    def run(self):
        while not self.ended.is_set():
            if not self.on.wait(0.05):
                continue
            try:
                self.bytes = self.scrape()
            except OSError as error:
                self.problem = str(error)
                return
            self.scrapes += 1


def at_zero(rouse, function):
    answer = rouse.admin("GET", f"/api/v1/functions/{function}")
    return answer.status == 200 and not answer.json()["instances"]


def control_wait(rouse):
    """How long starts have waited for the control thread: {bound in seconds: how many up to it}, and the sum in ms."""
    text = rouse.admin("GET", "/metrics").body.decode()
    found = re.findall(r'^rouse_control_wait_seconds_(?:bucket{le="([^"]+)"}|(sum)) (\S+)$', text, re.MULTILINE)
    return {float(bound) if bound else name: float(value) * (1000 if name else 1) for bound, name, value in found}


@contextlib.contextmanager
def called_daemon(called, command):
    """A daemon all of whose functions were called once and are at zero again, but for `fast`, which was not."""
    config = many(called, command, scale={"idle": "200ms", "max": 1})
    config["functions"]["fast"] = {"command": [command], "scale": {"idle": "50ms", "max": 1}}
    with Daemon(config) as rouse:
        for i in range(called):
            if rouse.get(f"/function/f{i:05d}").status != 200:
                sys.exit(f"bench: f{i:05d} does not answer")
        wait_for(lambda: not any(one["instances"] for one in rouse.functions().values()), 60, "all are at zero", interval=0.5)
        yield rouse


def ten_starts(rouse, timer, scraper):
    """Milliseconds to the first byte of ten starts, while `scraper` (if any) reads in a loop; and their waits."""
    before = control_wait(rouse)
    if scraper:
        seen = scraper.scrapes
        scraper.on.set()
        wait_for(lambda: scraper.scrapes > seen or scraper.problem, 20, "/metrics is being read")
    took = []
    for _ in range(10):
        wait_for(lambda: at_zero(rouse, "fast"), 20, "the function is at zero")
        took.append(timer.ask(f"through {rouse.port} /function/fast"))
    if scraper:
        scraper.on.clear()
    return took, {key: value - before.get(key, 0) for key, value in control_wait(rouse).items()}


def starts(called, command, times):
    """{way: (milliseconds of starts, their waits)}, scrapes made, and the size of one."""
    timer = Timer()
    ways = {"while /metrics is read": ([], {}), "while another rouse's is": ([], {}), "while none is": ([], {})}
    try:
        with called_daemon(called, command) as rouse, called_daemon(called, command) as other:
            scrapers = [Scraper(rouse.admin_port), Scraper(other.admin_port), None]
            for scraper in scrapers[:2]:
                scraper.start()
            for _ in range(times // 10):
                for (took, waits), scraper in zip(ways.values(), scrapers):
                    more, waited = ten_starts(rouse, timer, scraper)
                    took += more
                    for key, value in waited.items():
                        waits[key] = waits.get(key, 0) + value
            for scraper in scrapers[:2]:
                scraper.ended.set()
                scraper.join(30)
                if scraper.problem:
                    sys.exit(f"bench: /metrics: {scraper.problem}")
            counted = rouse.metric("rouse_cold_start_duration_seconds_count", function="fast")
    finally:
        timer.stop()
    if counted != sum(len(took) for took, _ in ways.values()):
        sys.exit(f"bench: {counted:g} cold starts: some request did not find the function at zero")
    return ways, scrapers[0].scrapes, scrapers[0].bytes


def show_starts(ways, scrapes, size, called):
    each = len(next(iter(ways.values()))[0])
    print(f"\n{each} starts from zero each, milliseconds to the first byte; {scrapes} scrapes of {size / 1e6:.1f} MB "
          f"({called:,} functions):\n")
    own, other, quiet = (took for took, _ in ways.values())
    shares = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    rows = [[name, *(f"{quantile(took, share):.2f}" for _, share in shares)] for name, (took, _) in ways.items()]
    for name, more, less in (("the machine's share", other, quiet), ("rouse's share", own, other)):
        rows.append([name, *(f"{quantile(more, share) - quantile(less, share):.2f}" for _, share in shares)])
    print(table(["", *(name for name, _ in shares)], rows))
    print("\nTheir wait for the control thread:\n")
    rows = []
    for name, (took, waits) in ways.items():
        all_of_them = waits[math.inf]
        rows.append([name, f"{waits['sum'] / all_of_them:.3f}", f"{waits[0.0005]:g}", f"{waits[0.001] - waits[0.0005]:g}",
                     f"{waits[0.0025] - waits[0.001]:g}", f"{all_of_them - waits[0.0025]:g}"])
    print(table(["", "mean ms", "up to 0.5 ms", "up to 1 ms", "up to 2.5 ms", "more"], rows))


def show_reloads(made, before, after):
    print(f"\nReload, every function's `timeout` changed (median of {len(made)}), in ms, while a client calls one function:\n")
    ms = {key: [one[key] * 1000 for one in made] for key in ("seconds", "slowest", "quiet")}
    rows = [[name, f"{median(ms[key]):.1f}", f"{max(ms[key]):.1f}"] for name, key in
            (("`rouse reload`", "seconds"), ("slowest request meanwhile", "slowest"), ("slowest without a reload", "quiet"))]
    print(table(["", "median", "worst"], rows))
    failures = [failure for one in made for failure in one["failures"]]
    print(f"\nRequests: {sum(one['requests'] for one in made):,}, failed: {len(failures)}. Resident before the first: "
          f"{before / 1024:.1f} MiB, after the last: {after / 1024:.1f} MiB.")
    for failure in failures[:5]:
        print(f"  {failure}")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=10_000)
    parser.add_argument("--called", type=int, default=1000, help="functions with series in /metrics; default: 1000")
    parser.add_argument("--times", type=int, default=200, help="starts of each of the three ways; default: 200")
    parser.add_argument("--quick", action="store_true", help="1,000 functions, 50 called, 10 starts: that it works")
    options = parser.parse_args()
    if options.quick:
        options.functions, options.called, options.times = 1000, 50, 10
    command = program("fast_function")

    print(machine())
    one, all_of_them = memory(1, command), memory(options.functions, command)
    each = (all_of_them - one) / (options.functions - 1)
    print(f"\nResident: {one / 1024:.1f} MiB with one function, {all_of_them / 1024:.1f} MiB with {options.functions:,}: "
          f"{each:.2f} KiB for each function that was never called.")

    made, before, after = reloads(options.functions, command, 2 if options.quick else 5)
    failures = show_reloads(made, before, after)

    ways, scrapes, size = starts(options.called, command, options.times)
    show_starts(ways, scrapes, size, options.called)
    save("many", {"functions": options.functions, "rss_kib": {"one": one, "all": all_of_them}, "reloads": made,
                  "starts": {name: {"ms": took, "waits": {str(key): value for key, value in waits.items()}}
                             for name, (took, waits) in ways.items()},
                  "scrapes": scrapes, "scrape_bytes": size})
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
