"""Starts badly, or with company. The first argument says how; every start adds a line to the file `starts` in the working
directory. What works in the end is gated.py.

    exit          writes three lines and ends with status 7
    unless FILE   the same, unless FILE exists
    first         only the first start of all works, the others end with status 7
    mute          runs and never listens
    family        starts children that leave its session, and theirs: eight that sleep; works when all of them do
"""

import os
import subprocess
import sys
import time
from pathlib import Path


def fail():
    print("reading the settings", flush=True)
    print("connecting to the database", file=sys.stderr, flush=True)
    print("fatal: the database is on holiday", file=sys.stderr, flush=True)
    sys.exit(7)


def work():
    gated = str(Path(__file__).with_name("gated.py"))
    os.execv(sys.executable, [sys.executable, "-u", gated])


how = sys.argv[1]
with open("starts", "a+") as starts:
    starts.write(f"{os.getpid()}\n")
    starts.flush()
    starts.seek(0)
    mine = len(starts.readlines())
if how == "exit" or (how == "unless" and not os.path.exists(sys.argv[2])) or (how == "first" and mine > 1):
    fail()
if how == "mute":
    while True:
        time.sleep(3600)
def sleepers():
    """How many processes of this family sleep by now."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == "sleep\n" and mark in (folder / "environ").read_bytes().split(b"\0"):
                found += 1
        except OSError:
            pass  # it has ended meanwhile
    return found


if how == "family":
    mark = b"FAMILY=%d" % os.getpid()
    os.environ["FAMILY"] = str(os.getpid())
    for _ in range(2):  # a session of its own, and a grandchild whose parent ends at once
        subprocess.Popen(["setsid", "sleep", "1000"], stdout=subprocess.DEVNULL)
        subprocess.Popen(["sh", "-c", "setsid sleep 1001 & setsid sh -c 'sleep 1002 & sleep 1003' &"]).wait()
    while sleepers() < 8:  # a freeze in the middle of it would leave some unborn
        time.sleep(0.005)
work()
