"""Everything at once: load that comes, nearly goes and goes, three times, while configurations, revisions and instances change
under it. No request fails, and none reaches an instance that was told to end or is kept from work.

    ROUSE_STORM=500 python3 tests/e2e/test_storm.py -v     # the long form: so many callers at once
"""

import itertools
from collections import Counter

from harness import *
from load import Load

CALLERS = int(os.environ.get("ROUSE_STORM", "0"))
LONG = CALLERS > 0


class Disturber:
    """Reloads, restarts and traffic shifts in a thread of its own, one after the other without a pause to speak of."""

    def __init__(self, rouse, config):
        self.rouse, self.config = rouse, config
        self.done = {"reload": 0, "restart": 0, "traffic": 0, "timeout": 0}
        self.rounds = 0
        self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(scaled(60))

    def _run(self):
        try:
            for number in itertools.count(1):
                for step in (self.traffic, self.restart, self.timeout, self.traffic, self.reload):
                    if self._stop.wait(scaled(0.3)):
                        return
                    step(number)
                self.rounds = number
        except BaseException as error:
            self.error = error

    def traffic(self, number):
        shares = (("v1=1", "v2=0"), ("v1=50", "v2=50"), ("v1=0", "v2=1"), ("v1=90", "v2=10"))[(number + self.done["traffic"]) % 4]
        self.rouse.must("traffic", "work", *shares)
        self.done["traffic"] += 1

    def restart(self, _):
        self.rouse.must("restart", "work")
        self.done["restart"] += 1

    def timeout(self, number):  # a reload that changes nothing of an instance
        self.rouse.reload(self.config(self.version, timeout=f"{60 + number}s"))
        self.done["timeout"] += 1

    version = 0

    def reload(self, number):  # one that makes all of them new
        self.version = number
        self.rouse.reload(self.config(number))
        self.done["reload"] += 1


class Storm(unittest.TestCase):
    def config(self, version, **keys):
        function = python_function(
            "gated.py", "--quiet", "--linger", "0.3", concurrency=50 if LONG else 20, env={"VERSION": str(version)}, **keys
        )
        scale = {"max": 8, "window": "2s", "panic_window": "1s", "idle": "700ms"}
        function["scale"] = {**scale, "max": 16} if LONG else scale
        function["revisions"] = {"v1": {}, "v2": {"env": {"VERSION": f"{version}+"}}}
        function["traffic"] = {"v1": 50, "v2": 50}
        return {"functions": {"work": function}}

    def test_zero_many_few_zero(self):
        many = CALLERS or (40 if is_sanitized() else 100)
        few, answers = max(4, many // 25), many * (20 if LONG else 8)
        began = time.monotonic()
        with Daemon({**self.config(0)}) as rouse, Disturber(rouse, self.config) as disturber:
            with Load(rouse.port, "/function/work?work=0.01", 0, think=0.01) as load:
                for wave in (1, 2, 3):
                    load.set(many)
                    load.wait_settled(120)
                    load.wait_answers(answers, 240)
                    load.set(few)
                    load.wait_settled(120)
                    load.wait_answers(few * 30, 120)
                    # Everything is disturbed at least once in each wave, however fast it is.
                    wait_for(lambda: disturber.rounds >= wave or disturber.error or load.failures, 60)
                    load.set(0)
                    load.wait_settled(120)
                    self.assertEqual(load.failures[:3], [])
                    if LONG:
                        rouse.wait_zero("work", 120)
                disturber.__exit__()
                self.assertIsNone(disturber.error)
                wait_for(lambda: not rouse.function("work")["rollout"], 60, "the last rollout is over")
                load.set(1)
                load.wait_answers(20)
            self.assertEqual(load.failures[:3], [])
            rouse.wait_zero("work", 60)
            self.assertEqual(rouse.function("work")["parked_bytes"], 0)
            took = time.monotonic() - began
            self.assertEqual(rouse.whole_log("late "), [], "forwarded to an instance that was told to end")
            self.assertEqual(rouse.whole_log(" error |ended by itself"), [])
            ended = len(rouse.whole_log("SIGTERM with"))
            rate = load.answered / took
            print(f"{load.answered} requests, {rate:.0f}/s, slowest {load.longest:.2f} s; {ended} instances ended; {disturber.done}", end=" ")

    def test_none_to_what_is_ejected(self):
        """One of the instances fails now and then; while it is ejected and has nothing left to do, it gets nothing."""
        scale = {"min": 3, "max": 6, "window": "2s"}
        function = python_function("gated.py", "--quiet", concurrency=20, scale=scale, outlier={"failures": 5, "eject": "700ms"})
        callers, rounds = 30, 12 if LONG else 4
        with Daemon({"functions": {"work": function}}) as rouse, Load(rouse.port, f"/function/work?sick={rouse.path}", callers) as load:
            rouse.wait_instances("work", 3)
            load.wait_answers(100)
            looked_at = failed = 0
            times = Counter()
            for number in itertools.count(1):
                # Never more than one at a time: at most half may be ejected.
                wait_for(lambda: not rouse.instances("work", "ejected") and len(rouse.instances("work", "ready")) >= 3, 30)
                one = min(rouse.instances("work", "ready"), key=lambda one: times[one["name"]])
                name, port, before = one["name"], int(one["address"].rpartition(":")[2]), self.ejections(rouse)
                pid = self.pid_on(rouse, port)
                if not pid:
                    continue  # it has ended meanwhile, as the work is less
                times[name] += 1
                sick = rouse.path / str(pid)
                write_whole(sick, "500")
                wait_for(lambda: self.ejections(rouse) > before or name not in self.names(rouse), 30, "it is ejected", 0.002)
                wait_for(lambda: name not in self.names(rouse) or self.resting(rouse, name, port), 30, "it has nothing to do")
                first = self.resting(rouse, name, port)
                load.wait_answers(50)
                sick.unlink()
                again = self.resting(rouse, name, port)
                load.wait_turn()
                more, failed = len(load.failures) - failed, len(load.failures)
                ejections = self.ejections(rouse) - before
                if first and again and ejections == 1:
                    self.assertEqual(again - first, 1, "only this test's own question came")
                    self.assertLessEqual(more, 5 + callers)
                    looked_at += 1
                else:  # a slow machine: it was let in again while it was still sick
                    self.assertLessEqual(more, (ejections + 1) * (5 + callers))
                if number >= rounds and (looked_at or number >= 5 * rounds):
                    break
            self.assertTrue(all(failure.startswith("500 ") for failure in load.failures), load.failures[:3])
            self.assertGreater(looked_at, 0)
            print(f"{looked_at} times ejected and looked at, {load.answered} requests, {failed} failed", end=" ")

    def pid_on(self, rouse, port):
        for pid in rouse.instance_pids("gated.py"):
            with contextlib.suppress(OSError):  # it has ended
                if f"PORT={port}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    return pid
        return None

    def names(self, rouse):
        return {one["name"] for one in rouse.instances("work")}

    def ejections(self, rouse):
        return rouse.metric("rouse_ejections_total", function="work")

    def resting(self, rouse, name, port):
        """How many requests the instance has had (asked of itself), while it is ejected without work; else None."""
        mine = [one for one in rouse.instances("work", "ejected") if one["name"] == name]
        if not mine or mine[0]["in_flight"] > 0:
            return None
        try:
            return http_request(port, "GET", "/").json()["number"]
        except OSError:
            return None


if __name__ == "__main__":
    unittest.main()
