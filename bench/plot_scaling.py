#!/usr/bin/env python3
"""Draws the time series of `rouse simulate --csv` as an SVG: load above, instances and parked requests below it.

    rouse simulate -c rouse.yaml --trace trace.csv --csv scaling.csv
    python3 bench/plot_scaling.py scaling.csv -o scaling.svg --target 7

With --target (load per instance that the configuration aims at), the load that the ready instances are meant to carry
is drawn behind the load itself: what lies between the two is what scaling costs. Standard library only.

scaling_plots.py draws several settings into one picture with compare().
"""

import argparse
import csv
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1000, 560
LEFT, RIGHT, TOP, GAP, BOTTOM = 64, 20, 48, 56, 44
PANEL = (HEIGHT - TOP - GAP - BOTTOM) / 2
COLOURS = {"load": "#1f6feb", "capacity": "#d0d7de", "desired": "#bf8700", "ready": "#1a7f37", "parked": "#cf222e"}


def read(path, function):
    with open(path, newline="", encoding="utf-8") as source:
        rows = [row for row in csv.DictReader(source) if row["function"] == function]
    if not rows:
        sys.exit(f"plot_scaling: {path} has no rows of `{function}`; `*` is all functions together")
    return {key: [float(row[key]) for row in rows] for key in rows[0] if key != "function"}


def nice_steps(most, about):
    """Round numbers from 0 to just above `most`."""
    size = 1.0
    while size * about < most:
        for factor in (2, 2.5, 2):
            size *= factor
            if size * about >= most:
                break
    while most > 0 and size * about >= most * 10:
        size /= 10
    out = [0.0]
    while out[-1] < most:
        out.append(out[-1] + size)
    return out if len(out) > 1 else [0.0, 1.0]


class Panel:
    """One diagram: its place, its scales, and what is drawn in it."""

    def __init__(self, top, times, most, begin=0.0):
        self.top, self.times = top, times
        self.begin, self.end = begin, times[-1]
        self.steps = nice_steps(most, 5)
        self.parts = []

    def x(self, time):
        return LEFT + (time - self.begin) / (self.end - self.begin or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return self.top + PANEL * (1 - value / self.steps[-1])

    def line(self, values, colour, stepped=False, dashed=False):
        points = []
        for i, (time, value) in enumerate(zip(self.times, values)):
            same = i and value == values[i - 1]
            if stepped and same and i + 1 < len(values):
                continue
            if stepped and i and not same:
                points.append((self.x(time), self.y(values[i - 1])))
            points.append((self.x(time), self.y(value)))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 3"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')

    def area(self, values, colour):
        points = [(self.x(self.times[0]), self.y(0))]
        points += [(self.x(time), self.y(value)) for time, value in zip(self.times, values)]
        points.append((self.x(self.times[-1]), self.y(0)))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polygon points="{path}" fill="{colour}"/>')

    def frame(self, title, legend, hours):
        out = [f'<text x="{LEFT}" y="{self.top - 10}" font-weight="600">{escape(title)}</text>']
        at = WIDTH - RIGHT
        for name, colour in reversed(legend):
            at -= 12 + 7.2 * len(name) + 14
            out.append(f'<rect x="{at}" y="{self.top - 19}" width="10" height="10" fill="{colour}"/>')
            out.append(f'<text x="{at + 14}" y="{self.top - 10}">{escape(name)}</text>')
        for value in self.steps:
            y = self.y(value)
            out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eaeef2"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        for time, label in hours:
            x = self.x(time)
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.top + PANEL}" stroke="#eaeef2"/>')
            anchor = "end" if x > WIDTH - RIGHT - 20 else "middle"
            out.append(f'<text x="{x:.1f}" y="{self.top + PANEL + 18:.1f}" text-anchor="{anchor}">{label}</text>')
        return out + self.parts


def ticks(end, begin=0):
    for step, unit, name in ((60, 1, "s"), (600, 60, "min"), (3600, 60, "min"), (3 * 3600, 3600, "h"), (86400, 3600, "h")):
        if (end - begin) / step <= 12:
            break
    else:
        step, unit, name = 86400 * max(1, int((end - begin) / 86400 / 10)), 3600, "h"
    first = -(-int(begin) // step) * step
    return [(at, f"{at / unit:g} {name}") for at in range(first, int(end) + 1, step)]


def draw(series, title, target):
    times = series["time"]
    capacity = [ready * target for ready in series["ready"]] if target else []
    hours = ticks(times[-1])
    above = Panel(TOP, times, max(series["load"] + capacity))
    legend = [("load", COLOURS["load"])]
    if target:
        above.area(capacity, COLOURS["capacity"])
        legend.insert(0, (f"ready x {target:g}", COLOURS["capacity"]))
    above.line(series["load"], COLOURS["load"])
    below = Panel(TOP + PANEL + GAP, times, max(series["desired"] + series["ready"] + series["parked"]))
    below.line(series["parked"], COLOURS["parked"])
    below.line(series["desired"], COLOURS["desired"], stepped=True, dashed=True)
    below.line(series["ready"], COLOURS["ready"], stepped=True)
    parts = above.frame(f"{title}: requests parked or in flight", legend, hours)
    names = [(name, COLOURS[name]) for name in ("ready", "desired", "parked")]
    parts += below.frame("instances, and parked requests", names, hours)
    return svg(parts)


def compare(settings, target):
    """One panel above the other: [(title, series as of read(), note)], all on one scale. Load is drawn as the instances
    that it needs, by `target` requests each; where it is far beyond what there is, it is cut."""
    instances = max(max(series["desired"] + series["ready"]) for _, series, _ in settings)
    load = max(max(series["load"]) / target for _, series, _ in settings)
    most = max(instances, min(load, instances * 1.4))
    parts = []
    for index, (title, series, note) in enumerate(settings):
        needed = [load / target for load in series["load"]]
        times = series["time"]
        panel = Panel(TOP + index * (PANEL + GAP), times, most, times[0])
        panel.line([min(value, panel.steps[-1]) for value in needed], COLOURS["load"])
        panel.line(series["desired"], COLOURS["desired"], stepped=True, dashed=True)
        panel.line(series["ready"], COLOURS["ready"], stepped=True)
        legend = [(f"load / {target:g}", COLOURS["load"]), ("desired", COLOURS["desired"]), ("ready", COLOURS["ready"])]
        parts += panel.frame(f"{title}: {note}", legend, ticks(times[-1], times[0]))
    return svg(parts)


def svg(parts):
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#24292f">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *parts, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", metavar="CSV", help="what `rouse simulate --csv` wrote")
    parser.add_argument("-o", "--output", metavar="SVG", help="default: the CSV's name with .svg")
    parser.add_argument("--function", default="*", help="default: *, all together")
    parser.add_argument("--target", type=float, help="load per instance that is aimed at")
    given = parser.parse_args()
    title = "all functions" if given.function == "*" else given.function
    drawn = draw(read(given.csv, given.function), title, given.target)
    output = given.output or given.csv.rsplit(".", 1)[0] + ".svg"
    with open(output, "w", encoding="utf-8") as out:
        out.write(drawn)
    print(output)


if __name__ == "__main__":
    main()
