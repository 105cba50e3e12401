#!/usr/bin/env python3
"""Events on an embedded bus: what a durable 202 costs beside a plain request, and beside a bare loop that writes the same batches
into the same tables; what the delivery of an event costs; and what a long backlog does.

    ./dev bench events [--rounds N] [--seconds S] [--backlog N] [--quick] [--directory DIR]

See README.md for how each is measured. CPU time is that of the daemon with all its threads, from /proc/PID/stat.
"""

import argparse
import json
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from common import OUTPUT, machine, median, program, quantile, save, table
from harness import Connection, Daemon, wait_for
from proxy import cpu_seconds

CONNECTIONS = 64
BYTES = 1024
EVENT = ["ce-specversion: 1.0", "ce-id: 5f0c8a7e-2b57-4d0c-9c59-2f2f7a1f3f10", "ce-source: /bench", "ce-type: bench.event"]


class DiskWatch:
    """What bench/disk_watch.cpp counts in a daemon that it is preloaded into."""

    def __init__(self, file):
        self.file = Path(file)
        self.env = {"LD_PRELOAD": program("libdisk_watch.so"), "ROUSE_DISK_WATCH": str(file)}

    def read(self):
        """By descriptor: how often, seconds."""
        with open(self.file, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as at:
            numbers = struct.unpack("=256Q", at[:2048])
        return [(numbers[i], numbers[i + 1] / 1e9) for i in range(0, 256, 2)]

    @staticmethod
    def log_between(before, after):
        """Of the log, which is what most of them are of: how often, and the mean time in ms."""
        calls, seconds = max((now[0] - then[0], now[1] - then[1]) for then, now in zip(before, after))
        return calls, seconds / max(1, calls) * 1000


def functions(**keys):
    return {"sink": {"command": [program("upstream")], "concurrency": 1000, "scale": {"min": 1, "max": 1}, **keys}}


def config(data, triggers=None, **keys):
    return {
        "server": {"data_dir": str(data)},
        "functions": functions(**keys),
        "buses": {"orders": {"retention": "7d"}},
        "triggers": triggers or {},
    }


def load(rouse, path, seconds, warmup, headers=()):
    """One run of the generator: its report, with the CPU time of rouse for each request in it."""
    command = [program("load"), "--port", str(rouse.port), "--connections", str(CONNECTIONS), "--path", path,
               "--seconds", str(seconds), "--warmup", str(warmup), "--body", str(BYTES)]
    for one in headers:
        command += ["--header", one]
    before = cpu_seconds(rouse.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = cpu_seconds(rouse.pid) - before
    if done.returncode != 0:
        sys.exit(f"bench: the load generator failed: {done.stderr or done.stdout}")
    result = json.loads(done.stdout)
    if result["errors"] or result["non_2xx"]:
        sys.exit(f"bench: wrong answers, so nothing to compare: {result}")
    result["cpu_us"] = used * 1e6 / result["all_requests"]
    return result


def bare(folder, group, seconds):
    """The bare loop of store_bench, in groups of this size."""
    done = subprocess.run([program("store_bench"), "--bare", str(group), "--seconds", str(seconds), str(folder / "bare")],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: store_bench failed: {done.stderr}")
    return json.loads(done.stdout)


def measure_hand_in(rouse, watch, folder, options):
    runs = []
    for number in range(options.rounds):
        plain = load(rouse, "/function/sink/0", options.seconds, options.warmup)
        before = watch.read()
        event = load(rouse, "/bus/orders", options.seconds, options.warmup, EVENT)
        syncs, sync_ms = watch.log_between(before, watch.read())
        control = load(rouse, "/function/sink/0", options.seconds, options.warmup)
        group = event["all_requests"] / max(1, syncs)
        loop = bare(folder, round(group), options.seconds)
        runs.append({"plain": plain, "event": event, "control": control, "bare": loop, "group": group, "sync_ms": sync_ms})
        print(f"  round {number + 1}: {event['rps']:,.0f} events/s in groups of {group:.0f}, "
              f"fdatasync {sync_ms:.2f} ms, {event['rps'] / loop['rate']:.0%} of the bare loop, "
              f"CPU {event['cpu_us'] / plain['cpu_us']:.2f} of a plain request", flush=True)
    of = lambda get: median([get(run) for run in runs])
    print()
    print(table(["what", "a second", "CPU us each", "p50 us", "p99 us"], [
        [name, f"{of(lambda r: r[key]['rps']):,.0f}", f"{of(lambda r: r[key]['cpu_us']):.2f}",
         f"{of(lambda r: r[key]['p50_us']):,.0f}", f"{of(lambda r: r[key]['p99_us']):,.0f}"]
        for name, key in (("POST 1 KiB to a function", "plain"), ("the same again (control)", "control"), ("POST 1 KiB to a bus, 202", "event"))
    ] + [["bare loop of the same groups", f"{of(lambda r: r['bare']['rate']):,.0f}", f"{of(lambda r: r['bare']['cpu_us']):.2f}", "", ""],
         ["bare loop without checkpoints", f"{of(lambda r: r['bare']['unchecked_rate']):,.0f}", "", "", ""]]))
    ratio = of(lambda r: r["event"]["cpu_us"] / r["plain"]["cpu_us"])
    off = of(lambda r: r["control"]["cpu_us"] / r["plain"]["cpu_us"])
    share = of(lambda r: r["event"]["rps"] / r["bare"]["rate"])
    print(f"\nA 202 costs {ratio:.2f} times the CPU of a plain request (target 2.5; control {off:.3f}); {share:.0%} of the bare loop (target 70 %); "
          f"groups of {of(lambda r: r['group']):.0f}; one fdatasync of the log {of(lambda r: r['sync_ms']):.2f} ms in the daemon, "
          f"{of(lambda r: r['bare']['sync_ms']):.2f} ms (64 KiB, median) alone.\n")
    return {"runs": runs, "cpu_ratio": ratio, "control": off, "bare_share": share}


def delivered(rouse):
    return rouse.admin("GET", "/api/v1/triggers").json()["triggers"]["all"]["delivered"]


def measure_delivery(rouse, data, options):
    """All that was handed in goes to a trigger that is new; between the first and the last tenth."""
    total = sum(load(rouse, "/bus/orders", options.seconds, 0, EVENT)["all_requests"] for _ in range(options.rounds))
    plain = load(rouse, "/function/sink/0", options.seconds, options.warmup)
    rouse.reload(config(data, {"all": {"bus": "orders", "start": "earliest", "function": "sink", "concurrency": 64}}))
    wait_for(lambda: delivered(rouse) > total / 10, 60, interval=0.1)
    first, cpu, begin = delivered(rouse), cpu_seconds(rouse.pid), time.monotonic()
    wait_for(lambda: delivered(rouse) > total * 0.9, 300, interval=0.25)
    last, used, seconds = delivered(rouse), cpu_seconds(rouse.pid) - cpu, time.monotonic() - begin
    control = load(rouse, "/function/sink/0", options.seconds, options.warmup)
    each = used * 1e6 / (last - first)
    print(f"Delivery: {(last - first) / seconds:,.0f} events/s, {each:.2f} us of CPU each; a plain request {plain['cpu_us']:.2f} us before, "
          f"{control['cpu_us']:.2f} us after: {each / plain['cpu_us']:.2f} times.\n", flush=True)
    return {"events": last - first, "seconds": seconds, "cpu_us": each, "plain": plain, "control": control}


def fill(rouse, count):
    """Hands in so many events of 1 KiB, in batches that are nearly as large as they may be."""
    one = {"specversion": "1.0", "id": "x", "source": "/bench", "type": "bench.event", "data": "x" * BYTES}
    most = (1 << 20) // (len(json.dumps(one)) + 2)
    left = [count]
    lock = threading.Lock()

    def send():
        with Connection(rouse.port) as caller:
            while True:
                with lock:
                    some = min(most, left[0])
                    left[0] -= some
                if some == 0:
                    return
                body = json.dumps([one] * some).encode()
                answer = caller.request("POST", "/bus/orders", {"Content-Type": "application/cloudevents-batch+json"}, body)
                if answer.status != 202:
                    sys.exit(f"bench: {answer}")

    threads = [threading.Thread(target=send) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def seconds_of(line):
    """The time of a line of the log."""
    stamp = re.match(r"(\S+Z) ", line)[1]
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def measure_backlog(folder, options):
    data, first = folder / "backlog", folder / "first"
    begin = time.monotonic()
    # There is no trigger yet; the one that comes begins with the oldest.
    with Daemon(config(data)) as rouse:
        fill(rouse, options.backlog)
        written = {"rss": rouse.rss_kib() / 1024, "peak": rouse.peak_rss_kib() / 1024}
    print(f"Backlog: {options.backlog:,} events written in {time.monotonic() - begin:.0f} s; "
          f"resident {written['rss']:.0f} MiB then, {written['peak']:.0f} at most", flush=True)
    trigger = {"all": {"bus": "orders", "start": "earliest", "function": "sink", "concurrency": 64}}
    # At zero until the events wake it; it takes a while to listen, as most functions do.
    sink = {"command": ["sh", "-c", f"sleep 0.5; exec {program('upstream')}"], "scale": {"max": 1}, "env": {"UPSTREAM_FIRST": str(first)}}
    waits, waiting_rss, peaks = [], [], []
    for start in range(options.starts):
        first.unlink(missing_ok=True)
        last = start == options.starts - 1
        with Daemon(config(data, trigger, **sink)) as rouse:
            line = rouse.wait_log("function sink: instance .* ready after", 60)
            waiting_rss.append(rouse.rss_kib() / 1024)
            wait_for(lambda: first.exists() and first.read_text().endswith("\n"), 60)
            waits.append((float(first.read_text()) - seconds_of(ready_line(rouse))) * 1000)
            if last:
                now = delivered(rouse)
                time.sleep(options.seconds * 3)
                rate = (delivered(rouse) - now) / (options.seconds * 3)
            peaks.append(rouse.peak_rss_kib() / 1024)
    print(f"  first event out after the function was ready: {quantile(waits, 0.5):.0f} ms (median of {len(waits)}), {max(waits):.0f} worst (target 100)")
    print(f"  resident: {max(waiting_rss):.0f} MiB while all wait, {max(peaks):.0f} at most while they are delivered at {rate:,.0f} events/s (target 100)")
    return {"written": written, "first_event_ms": waits, "waiting_mib": waiting_rss, "peak_mib": peaks, "rate": rate}


def ready_line(rouse):
    return next(line for line in rouse.lines if re.search("function sink: instance .* ready after", line))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of one run")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--starts", type=int, default=10, help="with the backlog, for the first event")
    parser.add_argument("--directory", type=Path, default=OUTPUT / "events", help="on the disk to be measured; emptied")
    parser.add_argument("--quick", action="store_true", help="that it works, not how fast")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warmup, options.backlog, options.starts = 2, 0.5, 0.1, 20_000, 2
    shutil.rmtree(options.directory, ignore_errors=True)
    options.directory.mkdir(parents=True)
    print(f"{machine()}\n{options.rounds} rounds of {options.seconds:g} s, {CONNECTIONS} connections\n", flush=True)
    watch = DiskWatch(options.directory / "syncs")
    found = {"options": {key: str(value) for key, value in vars(options).items()}, "load_before": os.getloadavg()}
    try:
        data = options.directory / "data"
        with Daemon(config(data), env=watch.env) as rouse:
            rouse.wait_instances("sink", 1)
            found["hand_in"] = measure_hand_in(rouse, watch, options.directory, options)
        shutil.rmtree(data)
        with Daemon(config(data)) as rouse:
            rouse.wait_instances("sink", 1)
            found["delivery"] = measure_delivery(rouse, data, options)
        found["backlog"] = measure_backlog(options.directory, options)
    finally:
        shutil.rmtree(options.directory, ignore_errors=True)
    save("events", found)


if __name__ == "__main__":
    main()
