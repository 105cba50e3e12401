#!/usr/bin/env python3
"""Draws the plots of docs/scaling.md: for each, two settings under the same load in the simulator, one above the other.

    python3 bench/scaling_plots.py [NAME...] [--output docs/plots]

It needs `rouse` in the PATH or in ROUSE_BIN (default: build/release/rouse). The same code draws the same plots on every
machine. Standard library only.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import plot_scaling

HERE = Path(__file__).resolve().parent
TARGET = 7  # concurrency 10 x utilization 0.7; also where a plot changes `utilization`, to have one scale



@dataclass
class Setting:
    title: str
    keys: str  # of the function
    pools: str = "{}"


@dataclass
class Plot:
    load: str  # arguments of traces.py
    simulate: str  # arguments of rouse simulate
    settings: list
    shown: tuple = (0, math.inf)  # seconds of the trace that are drawn; what is told of a setting is of all of it


PLOTS = {
    "utilization": Plot(
        "two-peaks --rps 100 --length 3600 --interval 10",
        "--start 3s --step 10s",
        [Setting("utilization: 0.9", "scale: {utilization: 0.9}"), Setting("utilization: 0.5", "scale: {utilization: 0.5}")],
    ),
    "window": Plot(
        "waves --rps 80 --length 7200 --interval 10",
        "--start 3s --step 5s",
        [Setting("window: 20s", "scale: {window: 20s}"), Setting("window: 3m", "scale: {window: 3m}")],
        (1800, 3600),
    ),
    "panic": Plot(
        "flash --rps 100 --length 2400 --interval 5",
        "--start 3s --step 2s",
        [
            Setting("panic_threshold: 2", "scale: {panic_threshold: 2, max: 60}"),
            Setting("panic_threshold: 1000", "scale: {panic_threshold: 1000, max: 60}"),
        ],
        (1140, 1440),
    ),
    "down-rate": Plot(
        "two-peaks --rps 700 --length 1800 --interval 5",
        "--start 3s --step 2s",
        [
            Setting("max_down_rate: 2", "scale: {max_down_rate: 2, window: 10s, max: 100}"),
            Setting("max_down_rate: 1.05", "scale: {max_down_rate: 1.05, window: 10s, max: 100}"),
        ],
        (720, 1080),
    ),
    "down-delay": Plot(
        "waves --rps 80 --length 3600 --interval 10",
        "--start 3s --step 5s",
        [Setting("down_delay: 0s", "scale: {window: 20s}"), Setting("down_delay: 3m", "scale: {window: 20s, down_delay: 3m}")],
        (1800, 3000),
    ),
    "idle": Plot(
        "gaps --rps 0.4 --length 7200 --interval 30",
        "--start 1s --step 10s",
        [Setting("idle: 1m", "scale: {idle: 1m}"), Setting("idle: 15m", "scale: {idle: 15m}")],
    ),
    "schedule": Plot(
        "bulk --rps 80 --length 7200 --interval 10",
        "--start 40s --step 5s",
        [
            Setting("without a schedule", "scale: {min: 1}"),
            Setting("min: 12 from 00:08 to 00:13",
                    'scale: {min: 1, schedule: [{from: "00:08", to: "00:13", timezone: UTC, min: 12}]}'),
        ],
        (300, 1500),
    ),
    "spare": Plot(
        "waves --rps 24 --length 14400 --interval 10",
        "--start 20s --step 10s",
        [Setting("spare: 0", "scale: {spare: 0}"), Setting("spare: 2", "scale: {spare: 2}")],
        (5400, 9000),
    ),
    "pools": Plot(
        "two-peaks --rps 200",
        "--start 3s --step 5m",
        [
            Setting("20 of one's own", "pools: [own]", "{own: {max_instances: 20, reserved: 20, cost: 1}}"),
            Setting("10 of one's own, then cloud", "pools: [own, cloud]",
                    "{own: {max_instances: 10, reserved: 10, cost: 1}, cloud: {max_instances: 10, cost: 1.5}}"),
        ],
    ),
}


def rouse():
    found = os.environ.get("ROUSE_BIN") or shutil.which("rouse") or str(HERE.parent / "build" / "release" / "rouse")
    if not os.access(found, os.X_OK):
        sys.exit(f"scaling_plots: there is no rouse in the PATH, nor at {found}: ./dev build")
    return found


def simulate(folder, trace, how, setting):
    """(series, report) of one setting."""
    config, series = folder / "rouse.yaml", folder / "scaling.csv"
    config.write_text(f"pools: {setting.pools}\nfunctions:\n  f000:\n    command: [./app]\n    concurrency: 10\n    {setting.keys}\n",
                      encoding="utf-8")
    command = [rouse(), "simulate", "-c", str(config), "--trace", str(trace), "--service", "1s", "--csv", str(series), "--json"]
    done = subprocess.run([*command, *how.split()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"scaling_plots: {' '.join(command)} {how}:\n{done.stdout}{done.stderr}")
    return complete(plot_scaling.read(series, "f000"), plot_scaling.read(series, "*")), json.loads(done.stdout)


def complete(series, everything):
    """The simulator leaves out rows of a function in which there is nothing; they are zeros here."""
    known = {time: index for index, time in enumerate(series["time"])}
    out = {"time": everything["time"]}
    for key in ("load", "desired", "ready"):
        out[key] = [series[key][known[time]] if time in known else 0.0 for time in out["time"]]
    return out


def cut(series, shown):
    inside = [index for index, time in enumerate(series["time"]) if shown[0] <= time <= shown[1]]
    return {key: [values[index] for index in inside] for key, values in series.items()}


def note_of(report):
    every = report["all"]
    if len(report["pools"]) > 1:
        spent = f"cost {sum(pool['cost'] for pool in report['pools']):.0f}"
    else:
        spent = f"{every['instance_hours']:.1f} instance-hours"
    text = f"{spent}, {every['cold_starts']} cold start{'s' * (every['cold_starts'] != 1)}, {100 * every['waited'] / every['requests']:.2g} % waited"
    return text + (f", {every['lost']} lost" if every["lost"] else "")


def draw(name, output):
    plot = PLOTS[name]
    with tempfile.TemporaryDirectory(prefix="rouse-plots-") as made:
        folder = Path(made)
        trace = folder / "trace.csv"
        with open(trace, "w", encoding="utf-8") as out:
            subprocess.run([sys.executable, str(HERE / "traces.py"), *plot.load.split(), "--functions", "1"], stdout=out, check=True)
        drawn = []
        for setting in plot.settings:
            series, report = simulate(folder, trace, plot.simulate, setting)
            drawn.append((setting.title, cut(series, plot.shown), note_of(report)))
    file = output / f"{name}.svg"
    file.write_text(plot_scaling.compare(drawn, TARGET), encoding="utf-8")
    print(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"default: all: {', '.join(PLOTS)}")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "plots", help="a folder")
    given = parser.parse_args()
    for name in given.names:
        if name not in PLOTS:
            parser.error(f"there is no plot {name}; there are: {', '.join(PLOTS)}")
    given.output.mkdir(parents=True, exist_ok=True)
    for name in given.names or PLOTS:
        draw(name, given.output)


if __name__ == "__main__":
    main()
