"""What the benches share: where the programs are, the daemon, and tables. Standard library only."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

BUILD = Path(os.environ.get("ROUSE_BUILD", ROOT / "build" / "release"))
os.environ.setdefault("ROUSE_BIN", str(BUILD / "rouse"))
OUTPUT = ROOT / "build" / "bench"


def program(name):
    """The path of a compiled helper, wherever in the build folder it is."""
    for found in sorted(BUILD.rglob(name)):
        if found.is_file() and os.access(found, os.X_OK):
            return str(found)
    sys.exit(f"bench: {name} is not in {BUILD}. Build it: ./dev build release all")


class Timer:
    """bench/first_byte.cpp, asked line by line."""

    def __init__(self):
        self.process = subprocess.Popen([program("first_byte")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        """The time taken, in milliseconds."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer.isdigit():
            sys.exit(f"bench: `{line}`: {answer or 'the timer ended'}")
        return int(answer) / 1e6

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def quantile(values, share):
    """The smallest value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def table(head, rows):
    """A Markdown table, padded to be read as text too."""
    cells = [[str(c) for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.rjust(w) if n else c.ljust(w) for n, (c, w) in enumerate(zip(row, widths))) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + (":" if n else "-") for n, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def distributions(ways):
    """A table of {name: values}, two ways, and of the difference of their quantiles."""
    shares = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    rows = [[name, *(f"{quantile(values, share):.2f}" for _, share in shares)] for name, values in ways.items()]
    first, second = ways.values()
    rows.append(["difference", *(f"{quantile(first, share) - quantile(second, share):.2f}" for _, share in shares)])
    return table(["", *(name for name, _ in shares)], rows)


def machine():
    """One line about where this was measured."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, load {os.getloadavg()[0]:.2f} at the start"


def version(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def save(name, data):
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / f"{name}.json"
    data = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine(), **data}
    file.write_text(json.dumps(data, indent=1) + "\n")
    print(f"\nEvery measurement: {file.relative_to(ROOT)}")
