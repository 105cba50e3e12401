"""Several revisions of one function: who gets which, by weight, name, lane and stickiness; and traffic that is moved by hand,
at once, and kept."""

from collections import Counter

from harness import *
from load import closed_loop, wait_metric


def revisions(weights, *args, names=("v1", "v2"), **keys):
    """Config of `work`, whose revisions differ in their environment; each answers with its name."""
    made = {name: {"env": {"VERSION": name}} for name in names}
    return {"work": python_function("gated.py", *(args or ("--quiet",)), revisions=made, traffic=weights, **keys)}


def which(answer):
    if answer.status != 200:
        raise AssertionError(answer)
    return answer.json()["revision"]


class Weights(unittest.TestCase):
    def test_exact_for_each_worker(self):
        weights = {"v1": 17, "v2": 3}
        with Daemon({"server": {"workers": 2}, "functions": revisions(weights)}) as rouse:
            with rouse.connect() as one, rouse.connect() as other:  # each new one goes to the worker with the fewest
                for caller in (one, other, one):
                    got = [which(caller.request("GET", "/function/work")) for _ in range(20)]
                    self.assertEqual(Counter(got), Counter(weights))
                    at = [i for i, name in enumerate(got) if name == "v2"]
                    self.assertLessEqual(max(b - a for a, b in zip(at, at[1:])), 8, f"evenly spaced: {at}")

    def test_within_one_percent_over_two_workers(self):
        weights = {"v1": 63, "v2": 30, "v3": 7, "v4": 0}
        requests = 50 if is_sanitized() else 500
        with Daemon({"server": {"workers": 2}, "functions": revisions(weights, names=weights)}) as rouse:
            samples = closed_loop(rouse.port, "/function/work", 20, requests, scaled(60))
            self.assertEqual(Counter(sample.status for sample in samples), {200: 20 * requests})
            got = Counter(json.loads(sample.body)["revision"] for sample in samples)
            for name, weight in weights.items():
                self.assertAlmostEqual(got[name] / len(samples), weight / 100, delta=0.01, msg=str(got))
            shown = {one["revision"]: one["weight"] for one in rouse.function("work")["revisions"]}
            self.assertEqual(shown, weights)
            for name, count in got.items():
                wait_metric(rouse, count, "rouse_requests_total", function="work", revision=name, code="200")

    def test_by_name_at_weight_zero_and_unknown(self):
        with Daemon({"functions": revisions({"v1": 1, "v2": 0})}) as rouse:
            self.assertEqual({which(rouse.get("/function/work")) for _ in range(10)}, {"v1"})
            self.assertEqual(rouse.metric("rouse_instances", function="work", revision="v2"), 0, "nothing runs for nothing")
            self.assertEqual(which(rouse.get("/function/work@v2/deep?x=1")), "v2")
            self.assertEqual(which(rouse.post("/function/work@v2", "body")), "v2")
            self.assertEqual(which(rouse.get("/function/work@v1")), "v1")
            for absent in ("/function/work@v3", "/function/work@", "/function/work@V2", "/function/absent@v1"):
                answer = rouse.get(absent)
                self.assertEqual((absent, answer.status, answer.problem()["type"]), (absent, 404, "no-route"))

    def test_one_without_names_has_one_all_the_same(self):
        with Daemon({"functions": {"work": python_function("gated.py")}}) as rouse:
            name = which(rouse.get("/function/work"))
            self.assertRegex(name, r"^work-\w+$")
            self.assertEqual(rouse.function("work")["revision"], name)
            self.assertEqual(which(rouse.get(f"/function/work@{name}")), name)


class Choice(unittest.TestCase):
    def stays(self, **sticky):
        """Callers stay where they are; a change of weights moves only as many as it must, and only one way."""
        config = revisions({"v1": 50, "v2": 50}, sticky=sticky)
        users = [f"user-{i}" for i in range(120)]

        def ask(caller, user):
            name = sticky.get("header")
            fields = {name: user} if name else {"Cookie": f'a=1; {sticky["cookie"]}="{user}"; b=2'}
            return which(caller.request("GET", "/function/work", fields))

        with Daemon({"server": {"workers": 2}, "functions": config}) as rouse, rouse.connect() as one, rouse.connect() as other:
            before = {user: ask(one, user) for user in users}
            self.assertEqual({user: ask(other, user) for user in users}, before, "whatever the worker")
            self.assertEqual({user: ask(one, user) for user in users}, before)
            count = Counter(before.values())
            self.assertTrue(35 < count["v1"] < 85, count)
            rouse.must("traffic", "work", "v1=25", "v2=75")
            after = {user: ask(one, user) for user in users}
            self.assertEqual({user: ask(other, user) for user in users}, after)
            moved = [user for user in users if before[user] != after[user]]
            self.assertTrue(all(before[user] == "v1" for user in moved), "only from what has less now")
            self.assertTrue(15 <= len(moved) <= 48, f"{len(moved)} of {count} moved, about 30 have to")
            rouse.must("traffic", "work", "v1=50", "v2=50")
            self.assertEqual({user: ask(one, user) for user in users}, before, "and back")
            # Who has no such field goes by the weights.
            anonymous = Counter(which(one.request("GET", "/function/work")) for _ in range(20))
            self.assertEqual(anonymous, {"v1": 10, "v2": 10})

    def test_sticky_by_header(self):
        self.stays(header="x-user")

    def test_sticky_by_cookie(self):
        self.stays(cookie="who")

    def test_lanes_before_all_else(self):
        lanes = [{"header": {"x-lane": "blue"}, "revision": "v2"}, {"header": {"x-lane": "red"}, "revision": "v3"}]
        config = revisions({"v1": 1, "v2": 0, "v3": 0}, names=("v1", "v2", "v3"), sticky={"header": "x-user"}, lanes=lanes)
        with Daemon({"functions": config}) as rouse:

            def ask(lane, target="/function/work", **fields):
                return which(rouse.get(target, {"X-Lane": lane, **fields}))

            self.assertEqual([ask(lane) for lane in ("blue", "red", "blue", "green", "Blue")], ["v2", "v3", "v2", "v1", "v1"])
            self.assertEqual(ask("red", **{"x-user": "somebody"}), "v3")
            self.assertEqual(ask("red", "/function/work@v1"), "v1", "a name in the URL is meant")


class Traffic(unittest.TestCase):
    def test_what_is_parked_is_chosen_again(self):
        """v1 never becomes ready; who waits for it is answered by v2 once the traffic has moved, who named it waits on."""
        config = revisions({"v1": 1, "v2": 0}, concurrency=1, scale={"max": 2})
        config["work"]["revisions"]["v1"]["command"] = python_function("gated.py", "--until", "open")["command"]
        with Daemon({"server": {"workers": 2}, "functions": config}) as rouse, contextlib.ExitStack() as stack:
            callers = [stack.enter_context(rouse.connect()) for _ in range(8)]
            for i, caller in enumerate(callers):
                caller.send_request("POST", f"/function/work/{i}", body=f"body of {i}")
            rouse.wait_parked("work", 8)
            named = stack.enter_context(rouse.connect())
            named.send_request("GET", "/function/work@v1")
            rouse.wait_parked("work", 9)
            self.assertIn("v2", rouse.must("traffic", "work", "v1=0", "v2=1"))
            for caller in callers:
                self.assertEqual(which(caller.read_response()), "v2")
            self.assertEqual(rouse.function("work")["parked"], 1)
            (rouse.path / "open").touch()
            self.assertEqual(which(named.read_response()), "v1")
            self.assertEqual(rouse.function("work")["parked"], 0)
            self.assertEqual(rouse.function("work")["parked_bytes"], 0)

    def test_at_once_and_what_is_in_flight_stays(self):
        with Daemon({"functions": revisions({"v1": 1, "v2": 0})}) as rouse, rouse.connect() as caller, rouse.connect() as long:
            long.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1)
            for name in ("v2", "v1", "v2"):
                rouse.must("traffic", "work", f"{name}=1")
                wait_for(lambda: which(caller.request("GET", "/function/work")) == name, 2)
                self.assertEqual({which(caller.request("GET", "/function/work")) for _ in range(20)}, {name})
            (rouse.path / "go").touch()
            self.assertEqual(which(long.read_response()), "v1")

    def test_what_cannot_be(self):
        with Daemon({"functions": revisions({"v1": 1, "v2": 0})}) as rouse:
            for args, code, word in (
                (("traffic", "work", "v3=1"), 1, "v1, v2"),
                (("traffic", "work", "v1=0", "v2=0"), 2, "above 0"),
                (("traffic", "work", "v1"), 2, "v1=90"),
                (("traffic", "absent", "v1=1"), 1, "absent"),
                (("scale", "work", "--min", "3", "--max", "2"), 2, "above"),
                (("scale", "work", "--min", "21"), 1, "max"),
                (("pool", "cordon", "absent"), 1, "absent"),
                (("restart", "absent"), 1, "absent"),
            ):
                done = rouse.command(*args)
                self.assertEqual((args, done.returncode), (args, code), done.stderr)
                self.assertIn(word, done.stderr)
            self.assertEqual(which(rouse.get("/function/work")), "v1")
            self.assertEqual(rouse.function("work")["set"], {})


class Kept(unittest.TestCase):
    def config(self, traffic, scale, **keys):
        return {"pools": {"own": {}}, "functions": revisions(traffic, scale=scale, pools=["local", "own"], **keys)}

    def settings(self, rouse):
        return rouse.function("work")["set"], rouse.pools()["own"]["cordoned"]

    def test_over_a_restart_until_a_reload_changes_that_very_key(self):
        weights, bounds = {"v1": 1, "v2": 0}, {"min": 0, "max": 5}
        with Daemon(self.config(weights, bounds)) as rouse:
            self.assertEqual(self.settings(rouse), ({}, False))
            rouse.must("scale", "work", "--min", "2", "--max", "3")
            rouse.must("traffic", "work", "v2=1")
            rouse.must("pool", "cordon", "own")
            all_set = ({"min": 2, "max": 3, "traffic": True}, True)
            self.assertEqual(self.settings(rouse), all_set)

            def of_v2():  # those of v1 that were begun in between stay until they have been idle for long enough
                return [one for one in rouse.instances("work", "ready") if one["revision"] == "v2"]

            wait_for(lambda: len(of_v2()) == 2, 20, "v2 has its min")
            for end in (lambda: self.assertEqual(rouse.stop(), 0), rouse.kill):
                end()
                rouse.start()
                self.assertEqual(self.settings(rouse), all_set)
                self.assertEqual({one["revision"] for one in rouse.wait_instances("work", 2)}, {"v2"})
                self.assertEqual(which(rouse.get("/function/work")), "v2")

            rouse.reload(self.config(weights, bounds, timeout="7s"))
            self.assertEqual(self.settings(rouse), all_set, "another key is no reason")
            rouse.reload(self.config(weights, {"min": 1, "max": 5}))
            self.assertEqual(self.settings(rouse), ({"max": 3, "traffic": True}, True))
            rouse.reload(self.config({"v1": 2, "v2": 1}, {"min": 1, "max": 5}))
            self.assertEqual(self.settings(rouse), ({"max": 3}, True))
            with rouse.connect() as caller:
                got = Counter(which(caller.request("GET", "/function/work")) for _ in range(6))
            self.assertEqual(got, {"v1": 4, "v2": 2})
            rouse.reload(self.config({"v1": 2, "v2": 1}, {"min": 1, "max": 6}))
            self.assertEqual(self.settings(rouse), ({}, True))
            rouse.must("pool", "uncordon", "own")
            rouse.stop()
            rouse.start()
            self.assertEqual(self.settings(rouse), ({}, False), "what is gone stays gone")

    def test_a_file_changed_while_it_was_down(self):
        with Daemon(self.config({"v1": 1, "v2": 0}, {"min": 0})) as rouse:
            rouse.must("scale", "work", "--min", "1")
            rouse.must("traffic", "work", "v2=1")
            rouse.stop()
            rouse.write_config(self.config({"v1": 3, "v2": 1}, {"min": 0}))
            rouse.start()
            self.assertEqual(self.settings(rouse)[0], {"min": 1})


if __name__ == "__main__":
    unittest.main()
