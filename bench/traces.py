#!/usr/bin/env python3
"""Makes load traces for `rouse simulate`, and a configuration that fits. The same arguments give the same trace.

    python3 bench/traces.py two-peaks --functions 20 --rps 200 --yaml rouse.yaml > trace.csv
    rouse simulate -c rouse.yaml --trace trace.csv

KIND is the shape of the day; 100 % of it is --rps, over all functions together:
  two-peaks   60 % from 10 to 12 and from 18 to 20 o'clock, 10 % otherwise
  office      a working day: peaks in the morning and in the afternoon, a dip at noon, 2 % at night and at weekends
  bulk        a night job: 100 % from 2 to 4 o'clock, 1 % otherwise
  flash       10 %, and 100 % from one minute to the next at 12 o'clock, which ebbs over an hour
  waves       between 10 and 100 %, 24 times
  gaps        100 % for half an hour of every third hour, else nothing

With --days 7 it goes on for a week, which begins on a Monday. With --length a day passes in less time: --length 3600 makes an
hour of it, and 12 o'clock is at its half.
"""

import argparse
import math
import random
import sys

DAY = 86400


def two_peaks(hour):
    return 0.6 if 10 <= hour < 12 or 18 <= hour < 20 else 0.1


def office(hour, weekday=0):
    if weekday >= 5:
        return 0.02
    day = max(0.0, math.sin(math.pi * (hour - 7.5) / 11.5)) if 7.5 <= hour < 19 else 0.0
    lunch = 0.35 * math.exp(-(((hour - 12.5) / 0.6) ** 2))
    return max(0.02, day - lunch)


def bulk(hour):
    return 1.0 if 2 <= hour < 4 else 0.01


def flash(hour):
    return 0.1 + (0.9 * math.exp(-(hour - 12) * 3) if hour >= 12 else 0.0)


def waves(hour):
    return 0.55 - 0.45 * math.cos(2 * math.pi * hour)


def gaps(hour):
    return 1.0 if hour % 3 < 0.5 else 0.0


KINDS = {"two-peaks": two_peaks, "office": office, "bulk": bulk, "flash": flash, "waves": waves, "gaps": gaps}


def shares(functions, skew):
    """Zipf: the k-th function gets a share that is proportional to 1 / k^skew."""
    weights = [1 / (k + 1) ** skew for k in range(functions)]
    return [w / sum(weights) for w in weights]


def share_at(kind, at, interval, length):
    """The part of 100 % in the interval that begins at `at`, by its middle. Day 0 is a Monday."""
    day, within = divmod(at + interval / 2, length)
    hour = within / length * 24
    return office(hour, int(day) % 7) if kind == "office" else KINDS[kind](hour)


def rows(kind, functions, rps, interval, length, days, skew, rng):
    parts = shares(functions, skew)
    for at in range(0, days * length, interval):
        expected = rps * interval * share_at(kind, at, interval, length)
        for index, part in enumerate(parts):
            mean = expected * part
            # Rounded up as often as the fraction says, so that rare functions are called, too.
            count = int(mean) + (rng.random() < mean - int(mean))
            if count:
                yield at, index, count


def name(index):
    return f"f{index:03d}"


def yaml(functions, concurrency, least, most):
    lines = ["functions:"]
    for index in range(functions):
        lines.append(
            f"  {name(index)}: {{command: [./run], concurrency: {concurrency}, scale: {{min: {least}, max: {most}}}}}"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", metavar="KIND", choices=sorted(KINDS), help=", ".join(sorted(KINDS)))
    parser.add_argument("--functions", type=int, default=10, help="default: 10")
    parser.add_argument("--rps", type=float, default=100, help="requests per second at 100 %%, in all; default: 100")
    parser.add_argument("--requests", type=int, help="in all, about; instead of --rps")
    parser.add_argument("--interval", type=int, default=60, help="seconds of a row; default: 60")
    parser.add_argument("--length", type=int, default=DAY, help="seconds of the day; default: 86400")
    parser.add_argument("--days", type=int, default=1, help="default: 1")
    parser.add_argument("--skew", type=float, default=1, help="how unequal functions are: 0 all alike; default: 1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--yaml", metavar="FILE", help="write a configuration with these functions there")
    parser.add_argument("--concurrency", type=int, default=10, help="for --yaml; default: 10")
    parser.add_argument("--min", type=int, default=0, help="for --yaml; default: 0")
    parser.add_argument("--max", type=int, default=20, help="for --yaml; default: 20")
    given = parser.parse_args()
    if given.functions < 1 or given.interval < 1 or given.length < 1 or given.days < 1 or given.length % given.interval:
        parser.error("--functions and --days must be at least 1, and --interval must divide --length (a day: 86400 seconds)")
    rps = given.rps
    if given.requests:
        starts = range(0, given.days * given.length, given.interval)
        shape = sum(share_at(given.kind, at, given.interval, given.length) for at in starts)
        rps = given.requests / (shape * given.interval)
    if given.yaml:
        with open(given.yaml, "w", encoding="utf-8") as out:
            out.write(yaml(given.functions, given.concurrency, given.min, given.max))
    out = sys.stdout
    out.write("time,function,requests\n")
    rng = random.Random(given.seed)
    for at, index, count in rows(
        given.kind, given.functions, rps, given.interval, given.length, given.days, given.skew, rng
    ):
        out.write(f"{at},{name(index)},{count}\n")


if __name__ == "__main__":
    main()
