"""Functions share pools: fill the first, overflow into the next, leave the last; what a full pool, a closed one and one that
others need mean to callers."""

from collections import Counter

from harness import *
from load import Load, wait_metric


def work(pools, *args, version="1", **keys):
    """One request at a time on each instance; as many instances as requests, at once."""
    scale = {"max": 8, "utilization": 1, "window": "1s", "idle": "300ms", **keys.pop("scale", {})}
    made = python_function("gated.py", *(args or ("--quiet",)), env={"VERSION": version}, scale=scale, **keys)
    return {**made, "concurrency": keys.get("concurrency", 1), "pools": pools}


def places(rouse, name="work", state="ready"):
    """{pool: instances in that state}"""
    return dict(Counter(one["pool"] for one in rouse.instances(name, state)))


class Pools(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def hold(self, rouse, count, gate="go", name="work"):
        """Callers that each hold an instance until release()."""
        callers = [self.stack.enter_context(rouse.connect()) for _ in range(count)]
        for caller in callers:
            caller.send_request("POST", f"/function/{name}?until={rouse.path}/{gate}", body="x")
        return callers

    def wait_held(self, rouse, count, name="work", parked=0):
        rouse.wait_load(name, count, parked)

    def wait_places(self, rouse, wanted, why=""):
        """Until so many are ready in each pool. With averages over one second, a moment after a rise fewer may seem to be
        enough: then one of them drains, and comes back where it is."""
        wait_for(lambda: self.same(places(rouse), wanted), 20, f"ready in pools {wanted} {why}")

    def same(self, found, wanted):
        self.assertEqual(found, wanted)
        return True

    def release(self, rouse, callers, gate="go"):
        (rouse.path / gate).touch()
        for caller in callers:
            answer = caller.read_response("POST")
            self.assertEqual(answer.status, 200, answer)

    def test_overflow_and_back(self):
        config = {"pools": {"near": {"max_instances": 2}, "far": {}}, "functions": {"work": work(["near", "far"])}}
        with Daemon(config) as rouse:
            first = self.hold(rouse, 2, "first")
            self.wait_held(rouse, 2)
            self.wait_places(rouse, {"near": 2})
            rest = self.hold(rouse, 2, "rest")
            self.wait_held(rouse, 4)
            self.wait_places(rouse, {"near": 2, "far": 2})
            self.release(rouse, first, "first")
            # Fewer are needed: the last pool is left, though its instances are busy and the others are not.
            wait_for(lambda: places(rouse, state="draining") == {"far": 2}, 20)
            self.wait_places(rouse, {"near": 2})
            self.release(rouse, rest, "rest")
            rouse.wait_zero("work")

    def test_own_max_in_a_pool(self):
        pools = [{"name": "near", "max": 1}, {"name": "far", "max": 2}, "local"]
        with Daemon({"pools": {"near": {"max_instances": 5}, "far": {}}, "functions": {"work": work(pools)}}) as rouse:
            callers = self.hold(rouse, 5)
            self.wait_held(rouse, 5)
            self.wait_places(rouse, {"near": 1, "far": 2, "local": 2})
            self.release(rouse, callers)

    def test_a_full_pool_keeps_room_for_the_min_of_others(self):
        functions = {"greedy": work(["one"]), "modest": work(["one"], scale={"min": 1})}
        with Daemon({"pools": {"one": {"max_instances": 3}}, "functions": functions}) as rouse:
            rouse.wait_instances("modest", 1)
            callers = self.hold(rouse, 4, name="greedy")
            self.wait_held(rouse, 2, "greedy", parked=2)
            shown = rouse.function("greedy")["revisions"][0]
            self.assertIn("no pool has room", shown["waits_for"])
            before = rouse.instances("modest")[0]["name"]
            address = rouse.instances("modest")[0]["address"]
            (modest,) = [pid for pid in rouse.instance_pids("gated.py") if self.listens(pid, address)]
            os.kill(modest, signal.SIGKILL)
            wait_for(lambda: [one for one in rouse.instances("modest", "ready") if one["name"] != before], 20)
            self.assertEqual(rouse.function("greedy")["parked"], 2, "did not take the place of the one that died")
            self.assertEqual(rouse.get("/function/modest").status, 200)
            self.release(rouse, callers)

    def listens(self, pid, address):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return f"PORT={address.rpartition(':')[2]}".encode() in environment

    def test_a_min_that_is_raised_in_a_full_pool_comes_next(self):
        functions = {"greedy": work(["one"]), "modest": work(["one"])}
        config = {"pools": {"one": {"max_instances": 2}}, "functions": functions}
        with Daemon(config) as rouse:
            first = self.hold(rouse, 1, "first", name="greedy")
            self.wait_held(rouse, 1, "greedy")
            rest = self.hold(rouse, 3, "rest", name="greedy")
            self.wait_held(rouse, 2, "greedy", parked=2)
            rouse.must("scale", "modest", "--min", "1")
            self.assertEqual(rouse.instances("modest"), [])
            # Whichever ends first: its slot goes to who waits, so that the place is free only when the work is less.
            self.release(rouse, first, "first")
            self.release(rouse, rest, "rest")
            rouse.wait_instances("modest", 1)
            wait_for(lambda: not rouse.instances("greedy"), 20)

    def test_cordon(self):
        config = {"pools": {"near": {}, "far": {}}, "functions": {"work": work(["near", "far"])}}
        with Daemon(config) as rouse:
            first = self.hold(rouse, 1, "first")
            self.wait_held(rouse, 1)
            rouse.must("pool", "cordon", "near")
            self.assertTrue(rouse.pools()["near"]["cordoned"])
            more = self.hold(rouse, 2, "more")
            self.wait_held(rouse, 3)
            self.wait_places(rouse, {"near": 1, "far": 2}, "what runs stays, what is new goes elsewhere")
            rouse.must("pool", "cordon", "far")
            late = self.hold(rouse, 1, "late")
            self.wait_held(rouse, 3, parked=1)
            rouse.must("pool", "uncordon", "near")
            self.wait_held(rouse, 4)
            self.wait_places(rouse, {"near": 2, "far": 2})
            for callers, gate in ((first, "first"), (more, "more"), (late, "late")):
                self.release(rouse, callers, gate)
            rouse.wait_zero("work")
            self.assertIn("cordoned", rouse.must("status"))

    def test_no_room_within_max_wait(self):
        functions = {"big": work(["one"]), "small": work(["one"], queue={"max_wait": "300ms"}), "patient": work(["one"])}
        with Daemon({"pools": {"one": {"max_instances": 1}}, "functions": functions}) as rouse:
            callers = self.hold(rouse, 1, name="big")
            self.wait_held(rouse, 1, "big")
            patient = self.hold(rouse, 1, "any", name="patient")
            rouse.wait_parked("patient", 1)
            for _ in range(2):
                refused = rouse.get("/function/small")
                self.assertEqual((refused.status, refused.problem()["type"]), (503, "no-capacity"))
                self.assertGreaterEqual(int(refused.header("retry-after")), 1)
            self.assertEqual(rouse.instances("small"), [])
            # Where one is ready and only busy, it is not the pool that is to blame.
            rouse.reload({"pools": {"one": {"max_instances": 1}}, "functions": {**functions, "big": work(["one"], queue={"max_wait": "300ms"})}})
            self.assertEqual(rouse.get("/function/big").problem()["type"], "park-timeout")
            (rouse.path / "any").touch()
            self.release(rouse, callers)
            self.release(rouse, patient, "any")  # served as soon as the other one is idle for long enough
            wait_for(lambda: rouse.get("/function/small").status == 200, 20)

    def test_more_room_by_a_reload(self):
        def sized(most):
            return {"pools": {"one": {"max_instances": most}}, "functions": {"work": work(["one"])}}

        with Daemon(sized(1)) as rouse:
            callers = self.hold(rouse, 3)
            self.wait_held(rouse, 1, parked=2)
            rouse.reload(sized(3))
            self.wait_held(rouse, 3)
            rouse.reload(sized(1))
            self.assertEqual(rouse.function("work")["in_flight"], 3, "nobody is put out")
            self.release(rouse, callers)
            rouse.wait_zero("work")

    def test_a_pool_that_goes_away(self):
        before = {"pools": {"old": {}, "new": {}}, "functions": {"work": work(["old"], scale={"min": 1})}}
        after = {"pools": {"new": {}}, "functions": {"work": work(["new"], scale={"min": 1})}}
        with Daemon(before) as rouse:
            callers = self.hold(rouse, 2)
            self.wait_held(rouse, 2)
            rouse.reload(after)
            more = self.hold(rouse, 1, "more")
            self.wait_held(rouse, 3)
            self.wait_places(rouse, {"old": 2, "new": 1})
            self.release(rouse, callers)
            self.release(rouse, more, "more")
            wait_for(lambda: places(rouse) == {"new": 1}, 20, "scale-in leaves what is not named any more first")

    def test_a_rollout_and_a_restart_in_a_full_pool(self):
        def version(number):
            function = work(["one"], "--quiet", "--linger", "0.05", version=number, scale={"min": 2, "max": 2}, concurrency=10)
            return {"pools": {"one": {"max_instances": 2}}, "functions": {"work": function}}

        with Daemon(version("1")) as rouse:
            old = {one["name"] for one in rouse.wait_instances("work", 2)}
            with Load(rouse.port, "/function/work", 4) as load:
                load.wait_answers(30)
                rouse.reload(version("2"))

                def replaced():
                    self.most = max(self.most, rouse.pools()["one"]["instances"])
                    shown = rouse.instances("work")
                    return len(rouse.instances("work", "ready")) == 2 and not old & {one["name"] for one in shown}

                self.most = 2
                wait_for(replaced, 30, "the new revision has both places")
                wait_for(lambda: rouse.function("work")["rollout"] is None, what="the rollout is over")
                load.wait_answers(30)
                old = {one["name"] for one in rouse.instances("work")}
                rouse.must("restart", "work")
                wait_for(replaced, 30, "both were replaced")
                load.wait_answers(30)
            self.assertEqual(load.failures, [])
            self.assertEqual(self.most, 2, "never more than the pool holds")
            self.assertEqual(rouse.whole_log("late "), [])

    def test_a_rollout_in_a_full_pool_of_one(self):
        """The old one has to go before the new one can come: callers wait, and are answered."""

        def version(number):
            function = work(["one"], version=number, scale={"min": 1, "max": 1}, concurrency=10)
            return {"pools": {"one": {"max_instances": 1}}, "functions": {"work": function}}

        with Daemon(version("1")) as rouse:
            rouse.wait_instances("work", 1)
            with Load(rouse.port, "/function/work", 4) as load:
                load.tag = lambda body: json.loads(body)["revision"]
                load.wait_answers(30)
                rouse.reload(version("2"))
                wait_for(lambda: len(load.tags) == 2, 30, "the new one answers")
                load.wait_answers(30)
            self.assertEqual(load.failures, [])

    def rolls_into_less(self, before, after, end):
        """A rollout from one configuration to the next, where there is less room, comes to its end, and nobody notices."""
        with Daemon(before) as rouse:
            old = {one["name"] for one in rouse.wait_instances("work", before["functions"]["work"]["scale"]["min"])}
            with Load(rouse.port, "/function/work", 4) as load:
                load.wait_answers(30)
                rouse.reload(after)

                def rolled():
                    shown = rouse.function("work")
                    ready = Counter(one["pool"] for one in shown["instances"] if one["state"] == "ready")
                    left = old & {one["name"] for one in shown["instances"]}
                    return not left and shown["rollout"] is None and ready == end

                wait_for(rolled, 60, f"the new ones have their places, {end}, and the old ones are gone")
                load.wait_answers(30)
            self.assertEqual(load.failures, [])
            self.assertFalse([line for line in rouse.lines if "late " in line])

    def rolled(self, version, pools, count):
        keys = {"scale": {"min": count, "max": count}, "concurrency": 10}
        return {"work": work(pools, "--quiet", "--linger", "0.05", version=version, **keys)}

    def test_a_rollout_with_the_limit_of_its_full_pool_lowered(self):
        for limit in (2, 1):
            with self.subTest(limit=limit):
                before = {"pools": {"one": {"max_instances": 3}}, "functions": self.rolled("1", ["one"], 3)}
                after = {"pools": {"one": {"max_instances": limit}}, "functions": self.rolled("2", ["one"], limit)}
                self.rolls_into_less(before, after, {"one": limit})

    def test_a_rollout_with_its_own_bound_in_a_full_pool_lowered(self):
        pools = {"near": {"max_instances": 2}, "far": {"max_instances": 2}}
        before = {"pools": pools, "functions": self.rolled("1", ["near", "far"], 4)}
        after = {"pools": pools, "functions": self.rolled("2", [{"name": "near", "max": 1}, "far"], 3)}
        self.rolls_into_less(before, after, {"near": 1, "far": 2})

    def test_metrics_and_status(self):
        pools = {"own": {"max_instances": 5, "reserved": 5, "cost": 2}, "rented": {"cost": 0}}
        with Daemon({"pools": pools, "functions": {"work": work([{"name": "own", "max": 2}, "rented"])}}) as rouse:
            callers = self.hold(rouse, 3)
            self.wait_held(rouse, 3)
            for name, count in (("own", 2), ("rented", 1), ("local", 0)):
                self.assertEqual(rouse.metric("rouse_pool_instances", pool=name), count)
                self.assertEqual(rouse.pools()[name]["instances"], count)
                wait_metric(rouse, count, "rouse_instances", pool=name, state="ready", function="work")
            self.assertEqual(rouse.metric("rouse_pool_reserved", pool="own"), 5)
            self.assertEqual(rouse.metric("rouse_pool_reserved", pool="rented"), 0)
            # Five are paid for, at 2 an hour, though two run.
            at, before = time.monotonic(), rouse.metric("rouse_pool_cost_total", pool="own")
            wait_for(lambda: rouse.metric("rouse_pool_cost_total", pool="own") > before + 10 * 0.5 / 3600)
            spent, took = rouse.metric("rouse_pool_cost_total", pool="own") - before, time.monotonic() - at
            self.assertGreater(spent, 0)
            self.assertLessEqual(spent, 10 * (took + scaled(0.2)) / 3600)
            self.assertGreaterEqual(spent, 10 * 0.5 / 3600)
            self.assertEqual(rouse.metric("rouse_pool_cost_total", pool="rented"), 0)
            self.release(rouse, callers)
            rouse.wait_zero("work")
            wait_metric(rouse, 0, "rouse_pool_instances", pool="own")
            said = rouse.must("status")
            for word in ("own", "rented"):
                self.assertIn(word, said)

    def test_too_many_min_is_an_error(self):
        functions = {"a": work(["one"], scale={"min": 2}), "b": work(["one"], scale={"min": 2})}
        with Daemon({"pools": {"one": {"max_instances": 4}}, "functions": functions}) as rouse:
            rouse.wait_instances("a", 2)
            rouse.write_config({"pools": {"one": {"max_instances": 3}}, "functions": functions})
            done = rouse.command("reload")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout + done.stderr, r"rouse\.yaml:\d+:\d+: .*min")


if __name__ == "__main__":
    unittest.main()
