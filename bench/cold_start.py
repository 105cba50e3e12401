#!/usr/bin/env python3
"""What rouse adds to a cold start.

    ./dev bench cold_start [--times N] [--quick]

Two ways to the first byte of a function's answer, in turns: through rouse, with the function at zero (timed from before the
connect); and without it (timed from before the spawn, then connecting in a tight loop until it listens). The same program
times both, and the function is the same: one that is up in about 2 ms. Between two starts the function goes back to zero,
which is waited for on the admin interface.

The difference of the medians is what rouse adds; that of the p99 compares the tails of two distributions.
"""

import argparse
import sys

from common import Timer, distributions, machine, program, save
from harness import Daemon, free_port


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="20 times: that it works, not how fast")
    options = parser.parse_args()
    times = 20 if options.quick else options.times

    function = program("fast_function")
    config = {"functions": {"fast": {"command": [function], "scale": {"idle": "50ms", "max": 1}}}}
    through, direct = [], []
    where = machine()
    timer = Timer()
    try:
        with Daemon(config) as rouse:
            port = free_port()
            for _ in range(times + 1):
                rouse.wait_zero("fast")
                through.append(timer.ask(f"through {rouse.port} /function/fast"))
                direct.append(timer.ask(f"direct {port} {function}"))
            starts = rouse.metric("rouse_cold_start_duration_seconds_count")
    finally:
        timer.stop()
    # The first of each fills caches.
    through, direct = through[1:], direct[1:]
    if starts != times + 1:
        sys.exit(f"bench: {starts:g} cold starts for {times + 1} requests: some request did not find the function at zero")

    print(f"{where}\n{times} starts each, milliseconds to the first byte\n")
    print(distributions({"through rouse": through, "without": direct}))
    save("cold_start", {"through_ms": through, "direct_ms": direct})


if __name__ == "__main__":
    main()
