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
another function from zero, in turns of ten while /metrics is read in a loop and ten while it is not. Target: at most 1 ms
more at the median.
"""

import argparse
import socket
import sys
import threading
import time

from common import Timer, distributions, machine, median, program, save, table
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


def starts(called, command, times):
    """Milliseconds of starts (while scraped, while not), scrapes made, and the size of one."""
    config = many(called, command, scale={"idle": "200ms", "max": 1})
    config["functions"]["fast"] = {"command": [command], "scale": {"idle": "50ms", "max": 1}}
    timer = Timer()
    times_of = {True: [], False: []}
    try:
        with Daemon(config) as rouse:
            for i in range(called):
                if rouse.get(f"/function/f{i:05d}").status != 200:
                    sys.exit(f"bench: f{i:05d} does not answer")
            wait_for(lambda: not any(one["instances"] for one in rouse.functions().values()), 60, "all are at zero", interval=0.5)
            scraper = Scraper(rouse.admin_port)
            scraper.start()
            for turn in range(2 * times // 10):
                scraped = turn % 2 == 1
                (scraper.on.set if scraped else scraper.on.clear)()
                seen = scraper.scrapes
                if scraped:
                    wait_for(lambda: scraper.scrapes > seen or scraper.problem, 20, "/metrics is being read")  # noqa: B023
                for _ in range(10):
                    wait_for(lambda: at_zero(rouse, "fast"), 20, "the function is at zero")
                    times_of[scraped].append(timer.ask(f"through {rouse.port} /function/fast"))
            scraper.ended.set()
            scraper.join(30)
            counted = rouse.metric("rouse_cold_start_duration_seconds_count", function="fast")
    finally:
        timer.stop()
    if scraper.problem:
        sys.exit(f"bench: /metrics: {scraper.problem}")
    if counted != len(times_of[True]) + len(times_of[False]):
        sys.exit(f"bench: {counted:g} cold starts: some request did not find the function at zero")
    return times_of[True], times_of[False], scraper.scrapes, scraper.bytes


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
    parser.add_argument("--times", type=int, default=200, help="starts with scrapes, and as many without; default: 200")
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

    scraped, quiet, scrapes, size = starts(options.called, command, options.times)
    print(f"\n{len(scraped)} starts from zero each, milliseconds to the first byte; {scrapes} scrapes of "
          f"{size / 1e6:.1f} MB ({options.called:,} functions):\n")
    print(distributions({"while /metrics is read": scraped, "while it is not": quiet}))
    save("many", {"functions": options.functions, "rss_kib": {"one": one, "all": all_of_them}, "reloads": made,
                  "scraped_ms": scraped, "quiet_ms": quiet, "scrapes": scrapes, "scrape_bytes": size})
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
