#!/usr/bin/env python3
"""rouse beside nginx as a reverse proxy to the same upstream process, in one run.

    ./dev bench proxy [--quick] [--rounds N] [--seconds S]

Each proxy has one worker on core 0; the load generator and the upstream share core 1. Every round measures nginx, rouse and a
second nginx that is the same as the first, one after the other, in an order that changes from round to round. A ratio is the
median over the rounds of rouse's figure divided by nginx's figure of the same round, so that a machine that gets slower or
faster meanwhile does not matter much. The two nginx tell how far to trust it: where their CPU time per request differs by
more than 3 %, there is no verdict.

CPU time is that of the proxy process (all its threads; of nginx the worker), user and system, from /proc/PID/stat.
"""

import argparse
import getpass
import grp
import json
import os
import random
import shutil
import subprocess
import sys

from common import OUTPUT, ROOT, machine, median, program, save, table, version
from harness import Daemon, descendants, free_port, http_request, wait_for

PROXY_CORE, OTHER_CORE = "0", "1"
TRUST = 0.03
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process with all its threads, so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Nginx:
    """One instance of Debian's nginx with bench/nginx.conf.in, and one worker on the proxies' core."""

    def __init__(self, name, upstream_port):
        self.folder = OUTPUT / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        text = (ROOT / "bench" / "nginx.conf.in").read_text()
        group = grp.getgrgid(os.getgid()).gr_name
        for word, value in {
            "USER": f"user {getpass.getuser()} {group};" if os.geteuid() == 0 else "",
            "FOLDER": self.folder,
            "UPSTREAM": upstream_port,
            "LISTEN": self.port,
        }.items():
            text = text.replace(f"@{word}@", str(value))
        config = self.folder / "nginx.conf"
        config.write_text(text)
        binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", PROXY_CORE, binary, "-p", str(self.folder), "-c", str(config)]
        )
        wait_for(lambda: http_request(self.port, "GET", "/function/upstream/0").status == 200, 10, f"{name} answers")
        self.pid = wait_for(lambda: list(descendants(self.process.pid)), 5, "the worker of nginx")[0]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Rouse:
    """A daemon with one worker; the upstream is its function, so it is the very process that nginx proxies to."""

    def __init__(self):
        self.daemon = Daemon(
            {
                "server": {"workers": 1},
                "functions": {
                    "upstream": {
                        "command": ["taskset", "-c", OTHER_CORE, program("upstream")],
                        "concurrency": 1000,
                        "scale": {"min": 1, "max": 1},
                    }
                },
            },
            wrap=["taskset", "-c", PROXY_CORE],
        )
        self.daemon.start()
        self.port, self.pid = self.daemon.port, self.daemon.pid
        ready = self.daemon.wait_instances("upstream", 1)
        self.upstream_port = int(ready[0]["address"].rpartition(":")[2])

    def stop(self):
        self.daemon.finish()


def measure(proxy, connections, body, seconds, warmup):
    """One run of the generator against one proxy."""
    command = ["taskset", "-c", OTHER_CORE, program("load"), "--port", str(proxy.port), "--connections", str(connections),
               "--path", f"/function/upstream/{body}", "--seconds", str(seconds), "--warmup", str(warmup)]
    if body:
        command += ["--body", str(body)]
    before = cpu_seconds(proxy.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used = cpu_seconds(proxy.pid) - before
    if done.returncode != 0:
        sys.exit(f"bench: the load generator failed: {done.stderr or done.stdout}")
    result = json.loads(done.stdout)
    if result["errors"] or result["non_2xx"]:
        sys.exit(f"bench: wrong answers, so nothing to compare: {result}")
    result["cpu_us"] = used * 1e6 / result["all_requests"]
    return result


def compare(runs, name, other, key):
    """Median over the rounds of `name` divided by `other`."""
    return median([a[key] / b[key] for a, b in zip(runs[name], runs[other])])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of one run")
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--bodies", type=int, nargs="+", default=[0, 4096], help="bytes, both ways; 0 is a GET")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.5 s: that it works, not how fast")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warmup = 2, 0.5, 0.1
    if os.cpu_count() < 2:
        sys.exit("bench: needs two cores, one for the proxy and one for the load")

    rouse = Rouse()
    proxies = {"rouse": rouse}
    try:
        for name in ("nginx", "control"):
            proxies[name] = Nginx(name, rouse.upstream_port)
        where = machine()
        print(f"{where}\n{version(['nginx', '-v'])}; {options.rounds} rounds of {options.seconds:g} s\n", flush=True)
        rows, cells, trusted = [], [], True
        for body in options.bodies:
            for connections in options.connections:
                runs = {name: [] for name in proxies}
                for number in range(options.rounds):
                    order = list(proxies)
                    random.Random(number).shuffle(order)
                    for name in order:
                        runs[name].append(measure(proxies[name], connections, body, options.seconds, options.warmup))
                off = abs(compare(runs, "control", "nginx", "cpu_us") - 1)
                trusted = trusted and off <= TRUST
                ratio = compare(runs, "rouse", "nginx", "cpu_us")
                cells.append({"body": body, "connections": connections, "runs": runs, "cpu_ratio": ratio, "control_off": off,
                              "rps_ratio": compare(runs, "rouse", "nginx", "rps")})
                verdict = f"{ratio:.2f}" if off <= TRUST else f"({ratio:.2f}) no verdict: control off by {off:.1%}"
                for name in ("nginx", "rouse", "control"):
                    of = {key: median([run[key] for run in runs[name]]) for key in ("rps", "cpu_us", "p50_us", "p99_us")}
                    rows.append([f"{'GET' if body == 0 else 'POST'} {body} B, {connections} connections", name,
                                 f"{of['rps']:,.0f}", f"{of['cpu_us']:.2f}", f"{of['p50_us']:,.0f}", f"{of['p99_us']:,.0f}",
                                 f"{compare(runs, name, 'nginx', 'rps'):.2f}",
                                 verdict if name == "rouse" else f"{compare(runs, name, 'nginx', 'cpu_us'):.3f}"])
                print(f"  {rows[-2][0]}: rouse/nginx CPU per request {verdict}", flush=True)
    finally:
        for proxy in reversed(list(proxies.values())):
            proxy.stop()
    print()
    print(table(["what", "proxy", "requests/s", "CPU us/request", "p50 us", "p99 us", "requests/s ratio", "CPU ratio"], rows))
    print("\nThe control (the same nginx twice) is within 3 % everywhere." if trusted
          else "\nWhere the control is off by more than 3 % there is no verdict: measure again on a quieter machine.")
    save("proxy", {"nginx": version(["nginx", "-v"]), "options": vars(options), "cells": cells})


if __name__ == "__main__":
    main()
