"""A network of the test program's own, for tests that need addresses beside the machine's: those of containers and pods.

enter() moves this process, before it has a second thread, into a new network namespace with nothing but a loopback. What it
starts from then on is in there too. So the bridge of a Docker Engine and the addresses of pods collide with nobody's, and they
are gone with the last process, however that ended. There is no way out of there: what must reach a package archive cannot.
"""

import ctypes
import os
import subprocess
import threading
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_entered = False


def enter():
    """Once; further calls do nothing."""
    global _entered
    if _entered:
        return
    if threading.active_count() > 1:
        raise AssertionError("a thread was started before the test program moved into a network of its own: it would stay outside")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise AssertionError(f"no network namespace for this test ({why}): tests with Docker and Kubernetes run as root")
    run("ip", "link", "set", "lo", "up")
    _entered = True


def entered():
    """Whether enter() was called."""
    return _entered


def serve_on_loopback(prefix):
    """Makes all addresses of the prefix (`10.244.0.0/16`) addresses of this network's loopback: any program may bind to them."""
    assert _entered, "only in a network of one's own"
    run("ip", "route", "add", "local", prefix, "dev", "lo")


def run(*command):
    """Runs a command that must succeed; returns what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"`{' '.join(command)}` failed: {done.stderr or done.stdout}")
    return done.stdout


def cache_folder():
    """Where `./dev test` keeps what is slow to make."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rouse"
