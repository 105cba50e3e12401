#!/usr/bin/env python3
"""What rouse adds to waking a frozen function.

    ./dev bench thaw [--times N] [--quick]

Two ways to the first byte of a sleeping function's answer, in turns: through rouse, with the function's instance frozen
(`to_zero: freeze`; timed from before the connect); and without it, the same program stopped by SIGSTOP (timed from before
its SIGCONT). The same program times both. Before each, /proc or its cgroup must say that the process does not run, and of
rouse's also the admin interface; and each request must have been counted as a thaw.

The difference of the medians is what rouse adds; that of the p99 compares the tails of two distributions.
Target: at most 1 ms at the median, 5 ms at p99.
"""

import argparse
import os
import signal
import subprocess
import sys

from common import Timer, distributions, machine, program, save
from harness import Daemon, command_line, free_port, http_request, is_frozen, wait_for


def frozen(rouse, pid):
    return is_frozen(pid) and [one["state"] for one in rouse.instances("fast")] == ["frozen"]


def thaws(rouse):
    return sum(one["thaws"] for one in rouse.function("fast")["revisions"])


def pid_of_instance(rouse, function):
    found = [pid for pid in rouse.descendants() if command_line(pid) == [function]]
    if len(found) != 1:
        sys.exit(f"bench: expected one process of {function} below rouse, found {len(found)}")
    return found[0]


def measure(rouse, times, function, timer):
    """Milliseconds of (through, direct)."""
    port = free_port()
    alone = subprocess.Popen([function], env={**os.environ, "PORT": str(port)}, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: http_request(port, "GET", "/").status == 200, 10, "the function without rouse answers")
        if rouse.get("/function/fast").status != 200:
            sys.exit("bench: the function does not answer through rouse")
        instance = pid_of_instance(rouse, function)
        before = thaws(rouse)
        through, direct = [], []
        for _ in range(times + 1):
            wait_for(lambda: frozen(rouse, instance), 20, "the instance is frozen", interval=0.005)
            through.append(timer.ask(f"through {rouse.port} /function/fast"))
            os.kill(alone.pid, signal.SIGSTOP)
            wait_for(lambda: is_frozen(alone.pid), 10, "the function without rouse is stopped", interval=0.001)
            direct.append(timer.ask(f"awake {port} {alone.pid}"))
        thawed = thaws(rouse) - before
    finally:
        alone.kill()
        alone.wait()
    if thawed != times + 1:
        sys.exit(f"bench: {thawed} thaws for {times + 1} requests: some request did not find the instance frozen")
    return through[1:], direct[1:]  # the first of each fills caches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="20 times: that it works, not how fast")
    options = parser.parse_args()
    times = 20 if options.quick else options.times

    function = program("fast_function")
    scale = {"idle": "20ms", "max": 1, "to_zero": "freeze"}
    config = {"functions": {"fast": {"command": [function], "scale": scale}}}
    where = machine()
    timer = Timer()
    try:
        with Daemon(config) as rouse:
            through, direct = measure(rouse, times, function, timer)
    finally:
        timer.stop()
    print(f"{where}\n{times} wakes each, milliseconds to the first byte\n")
    print(distributions({"through rouse": through, "without": direct}))
    save("thaw", {"through_ms": through, "direct_ms": direct})


if __name__ == "__main__":
    main()
