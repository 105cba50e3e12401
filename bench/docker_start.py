#!/usr/bin/env python3
"""What rouse adds to a cold start on Docker, and to waking a paused container.

    ./dev bench docker_start [--times N] [--quick]

Two ways to the first byte of a function's answer, in turns: through rouse, with the function at zero; and by hand, with the
fewest requests to the engine that do the same: create (the same container), start, a look at its address, then connects in a
tight loop until it listens. Then the same of a function that is paused: through rouse, and by one unpause and a connect. This
program times both; it needs root, and starts a Docker Engine of its own.

The difference of the medians is what rouse adds. Target: at most 20 ms for a start.
"""

import argparse
import os
import sys
import time

from common import distributions, machine, program, save


os.environ.setdefault("ROUSE_FAST_FUNCTION", program("fast_function"))

import docker_engine  # noqa: E402
from harness import Connection, Daemon, wait_for  # noqa: E402

PORT = 8080


def first_byte(host, port, target):
    """A request on a new connection that is tried until it is taken."""
    while True:
        try:
            with Connection(port, host, timeout=60) as connection:
                connection.send_request("GET", target)
                if connection.read_response("GET").status != 200:
                    sys.exit(f"bench: {target} was not answered with 200")
                return
        except ConnectionRefusedError:
            pass


class ByHand:
    """The engine's API over one connection that is kept, as a client does that is in a hurry."""

    def __init__(self, engine, image):
        self.engine, self.image = engine, image
        self.connection = docker_engine._UnixConnection(engine.socket, 60)

    def ask(self, method, path, body=None):
        text = None if body is None else docker_engine.json.dumps(body)
        self.connection.request(method, f"/v1.41{path}", text, {"Content-Type": "application/json"} if text else {})
        response = self.connection.getresponse()
        said = response.read()
        if response.status >= 300:
            sys.exit(f"bench: {method} {path}: {response.status} {said}")
        return docker_engine.json.loads(said) if said else None

    def make(self):
        host = {"Init": True, "LogConfig": {"Type": "local"}}
        self.id = self.ask("POST", "/containers/create", {"Image": self.image, "Env": [f"PORT={PORT}"], "HostConfig": host})["Id"]
        self.ask("POST", f"/containers/{self.id}/start")
        networks = self.ask("GET", f"/containers/{self.id}/json")["NetworkSettings"]["Networks"]
        self.address = next(iter(networks.values()))["IPAddress"]

    def start(self):
        began = time.perf_counter()
        self.make()
        first_byte(self.address, PORT, "/")
        return (time.perf_counter() - began) * 1e3

    def thaw(self):
        self.ask("POST", f"/containers/{self.id}/pause")
        began = time.perf_counter()
        self.ask("POST", f"/containers/{self.id}/unpause")
        first_byte(self.address, PORT, "/")
        return (time.perf_counter() - began) * 1e3

    def end(self):
        self.ask("DELETE", f"/containers/{self.id}?force=1")


def through(rouse, name):
    began = time.perf_counter()
    first_byte("127.0.0.1", rouse.port, f"/function/{name}")
    return (time.perf_counter() - began) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="5 times: that it works, not how fast")
    options = parser.parse_args()
    times = 5 if options.quick else options.times

    where = machine()
    engine = docker_engine.engine()
    try:
        image = engine.function_image()
        paused = {"to_zero": "freeze", "idle": "50ms", "frozen_for": "1h", "max": 1}
        functions = {"cold": {"scale": {"idle": "50ms", "max": 1}}, "paused": {"scale": paused}}
        config = {"pools": {"docker": {"backend": "docker", "socket": engine.socket}}}
        config["functions"] = {name: {"image": image, "pools": ["docker"], **keys} for name, keys in functions.items()}
        hand = ByHand(engine, image)
        starts, starts_by_hand, thaws, thaws_by_hand = [], [], [], []
        with Daemon(config) as rouse:
            for _ in range(times + 1):
                rouse.wait_zero("cold")
                wait_for(lambda: not engine.containers(label="rouse.owner"), 30)
                starts.append(through(rouse, "cold"))
                rouse.wait_zero("cold")
                starts_by_hand.append(hand.start())
                hand.end()
            first_byte("127.0.0.1", rouse.port, "/function/paused")
            hand.make()
            first_byte(hand.address, PORT, "/")
            for _ in range(times + 1):
                label = "rouse.function=paused"
                wait_for(lambda: [one["State"] for one in engine.containers(label=label)] == ["paused"], 30)
                rouse.wait_instances("paused", 1, "frozen")
                thaws.append(through(rouse, "paused"))
                thaws_by_hand.append(hand.thaw())
            hand.end()
            cold = rouse.function("cold")["cold_starts"]
        if cold != times + 1:
            sys.exit(f"bench: {cold} cold starts for {times + 1} requests: some request did not find the function at zero")
    finally:
        docker_engine.tearDownModule()

    # The first of each fills caches.
    results = {"starts": starts[1:], "starts_by_hand": starts_by_hand[1:], "thaws": thaws[1:], "thaws_by_hand": thaws_by_hand[1:]}
    print(f"{where}\n{times} times each, milliseconds to the first byte\n\nfrom zero\n")
    print(distributions({"through rouse": results["starts"], "by hand": results["starts_by_hand"]}))
    print("\npaused\n")
    print(distributions({"through rouse": results["thaws"], "by hand": results["thaws_by_hand"]}))
    save("docker_start", results)


if __name__ == "__main__":
    main()
