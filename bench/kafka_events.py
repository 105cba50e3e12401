#!/usr/bin/env python3
"""Events of a Kafka topic: what the delivery of a record costs beside a plain request, and how a long backlog is worked off.

    ./dev bench kafka_events [--backlog N] [--seconds S] [--quick]

A real broker (tests/e2e/kafka.py) runs beside it, so rates are those of a machine that does both; the CPU time is that of the daemon
alone, with all its threads, from /proc/PID/stat. See README.md.
"""

import argparse
import os
import shutil
import sys
import time

from common import OUTPUT, machine, program, save
from events import BYTES, delivered, load
from harness import Daemon, wait_for
from kafka import broker, tearDownModule
from proxy import cpu_seconds

PARTITIONS = 4


def config(folder, triggers=None):
    return {
        "server": {"data_dir": str(folder / "data")},
        "functions": {"sink": {"command": [program("upstream")], "concurrency": 1000, "scale": {"min": 1, "max": 1}}},
        "triggers": triggers or {},
    }


def measure(folder, options, found):
    topic = broker().create_topic(partitions=PARTITIONS)
    begin = time.monotonic()
    payload = "x" * BYTES
    left = options.backlog
    while left > 0:
        some = min(left, 20_000)
        broker().produce(topic, [payload] * some)
        left -= some
    print(f"written in {time.monotonic() - begin:.0f} s", flush=True)
    trigger = {"all": {"kafka": {"brokers": [broker().address], "topics": [topic], "start": "earliest"}, "function": "sink", "concurrency": 64}}
    with Daemon(config(folder)) as rouse:
        rouse.wait_instances("sink", 1)
        before = load(rouse, "/function/sink/0", options.seconds, options.warmup)
        total = options.backlog
        rouse.reload(config(folder, trigger))
        wait_for(lambda: delivered(rouse) > total / 10, 120, interval=0.1)
        first, cpu, start = delivered(rouse), cpu_seconds(rouse.pid), time.monotonic()
        # Looked at often: how long at most nothing is delivered.
        seen, seen_at, pause = first, start, 0.0
        while seen < total * 0.9:
            time.sleep(0.05)
            now, at = delivered(rouse), time.monotonic()
            if now > seen:
                pause, seen, seen_at = max(pause, at - seen_at), now, at
            elif at - seen_at > 60:
                sys.exit(f"bench: nothing is delivered any more, after {seen} of {total}")
        used, seconds = cpu_seconds(rouse.pid) - cpu, time.monotonic() - start
        wait_for(lambda: delivered(rouse) >= total, 120, interval=0.1)
        peak = rouse.peak_rss_kib() / 1024
        after = load(rouse, "/function/sink/0", options.seconds, options.warmup)
        twice = delivered(rouse) - total
    each = used * 1e6 / (seen - first)
    plain = (before["cpu_us"] + after["cpu_us"]) / 2
    print(f"{(seen - first) / seconds:,.0f} records/s, {each:.2f} us of CPU of rouse each; a plain POST of {BYTES} bytes {before['cpu_us']:.2f} us "
          f"before and {after['cpu_us']:.2f} us after: {each / plain:.2f} times (target 1.4)")
    print(f"the longest time without a delivery {pause:.2f} s; {twice} delivered twice; the daemon took {peak:.0f} MiB at most")
    found.update(cpu_us=each, plain=[before, after], ratio=each / plain, rate=(seen - first) / seconds, pause=pause, peak_mib=peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one run of plain requests")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--quick", action="store_true", help="that it works, not how fast")
    options = parser.parse_args()
    if options.quick:
        options.backlog, options.seconds, options.warmup = 20_000, 0.5, 0.1
    folder = OUTPUT / "kafka_events"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"{machine()}\nbacklog of {options.backlog:,} records of {BYTES} bytes on {PARTITIONS} partitions\n", flush=True)
    found = {"options": vars(options), "load_before": os.getloadavg()}
    try:
        measure(folder, options, found)
    finally:
        tearDownModule()
    shutil.rmtree(folder, ignore_errors=True)
    save("kafka_events", found)


if __name__ == "__main__":
    main()
