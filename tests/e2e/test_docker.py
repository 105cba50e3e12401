"""The Docker backend with a real engine: what becomes of containers while rouse, the engine and the functions come and go."""

from docker_engine import engine
from docker_engine import tearDownModule  # noqa: F401
from harness import *

#: Nobody listens there: a registry that refuses at once.
NO_REGISTRY = "127.0.0.1:1"


def shell(script):
    return ["/bin/sh", "-c", script]


class Docker(unittest.TestCase):
    def setUp(self):
        engine().clean()
        # Somebody else's, which nothing here may touch: one without labels, one of another rouse.
        self.others = [
            engine().run(name="others", command=["/bin/sleep", "100000"]),
            engine().run(name="rouse-other", command=["/bin/sleep", "100000"],
                         labels={"rouse.owner": "0" * 32, "rouse.pool": "docker", "rouse.function": "work"}),
        ]  # fmt: skip

    def tearDown(self):
        left = {one["Id"]: one["State"] for one in engine().containers()}
        self.assertEqual({one: left.get(one) for one in self.others}, {one: "running" for one in self.others})

    def daemon(self, functions, **more):
        config = {"pools": {"docker": {"backend": "docker", "socket": engine().socket}}, "functions": {}}
        for name, keys in functions.items():
            config["functions"][name] = {"image": engine().function_image(), "pools": ["docker"], **keys}
        return Daemon(config, **more)

    def ours(self, name=None):
        """The containers that are rouse's (those of a function), whatever their state."""
        label = f"rouse.function={name}" if name else "rouse.owner"
        return [one for one in engine().containers(label=label) if one["Id"] not in self.others]

    def wait_ours(self, count, state="running", name=None, timeout=30.0):
        def as_wanted():
            found = self.ours(name)
            return [found] if [one["State"] for one in found] == [state] * count else None

        return wait_for(as_wanted, timeout, f"{count} containers are {state}")[0]

    def wait_gone(self):
        self.wait_ours(0)

    def test_from_zero_and_back(self):
        script = "echo hello; echo level $LEVEL of $K_SERVICE >&2; exec /fast_function"
        limits = {"memory": "64MiB", "cpu": 0.5}
        keys = {"command": shell(script), "env": {"LEVEL": "3"}, "resources": limits, "scale": {"idle": "100ms"}}
        with self.daemon({"work": {**keys, "port": 9000}}) as rouse:
            self.assertEqual(self.ours(), [])
            answer = rouse.get("/function/work")
            self.assertEqual((answer.status, answer.body), (200, b"ok\n"))
            self.assertIn("cold", answer.header("server-timing"))
            rouse.wait_log(r"work.* hello$")
            rouse.wait_log(r"work.* level 3 of work$")
            self.wait_gone()
            rouse.wait_zero("work")
            answers = parallel(4, lambda i: rouse.get("/function/work").status)
            self.assertEqual(answers, [200] * 4)
            with contextlib.suppress(IndexError):  # it may be gone again
                one = engine().inspect(self.ours()[0]["Id"])
                self.assertEqual((one["HostConfig"]["Memory"], one["HostConfig"]["NanoCpus"]), (64 << 20, 500_000_000))
                self.assertEqual(one["Config"]["Labels"]["rouse.function"], "work")
            self.wait_gone()

    def test_networks(self):
        engine().api("POST", "/networks/create", {"Name": "inner", "CheckDuplicate": True})
        pool = {"backend": "docker", "socket": engine().socket}
        pools = {"inner": {**pool, "network": "inner"}, "nowhere": {**pool, "network": "nowhere"}}
        image = engine().function_image()
        config = {"pools": pools, "functions": {name: {"image": image, "pools": [name]} for name in pools}}
        with Daemon(config) as rouse:
            self.assertEqual(rouse.get("/function/inner").status, 200)
            self.assertEqual(list(engine().inspect(self.ours()[0]["Id"])["NetworkSettings"]["Networks"]), ["inner"])
            answer = rouse.get("/function/nowhere")
            self.assertEqual(answer.status, 502)
            self.assertIn("network nowhere not found", answer.problem()["detail"])
            self.assertEqual(rouse.metric("rouse_start_failures_total", function="nowhere", reason="network"), 1)
            rouse.reload({**config, "functions": {}})
            self.wait_gone()
        engine().api("DELETE", "/networks/inner")

    def test_what_runs_is_taken_over(self):
        keys = {"scale": {"min": 1, "idle": "1h"}}
        with self.daemon({"work": keys, "other": keys}) as rouse:
            for name in ("work", "other"):
                rouse.wait_instances(name, 1)
            before = {one["Id"] for one in self.wait_ours(2)}
            for end in (rouse.stop, rouse.kill, rouse.kill):
                end()
                self.assertEqual({one["Id"] for one in self.wait_ours(2)}, before)
                rouse.start()
                for name in ("work", "other"):
                    rouse.wait_instances(name, 1)
                    self.assertEqual(rouse.get(f"/function/{name}").status, 200)
                self.assertEqual({one["Id"] for one in self.wait_ours(2)}, before)
            # A crash is seen of one that was found as of any other.
            engine().api("POST", f"/containers/{sorted(before)[0]}/kill")
            wait_for(lambda: {one["Id"] for one in self.wait_ours(2)} != before, 30, "there is a new one")
            # What is of a revision that is not there any more is ended.
            rouse.kill()
            config = json.loads(rouse.config_path.read_text())
            del config["functions"]["other"]
            config["functions"]["work"]["env"] = {"NEW": "yes"}
            config["functions"]["work"]["scale"] = {"min": 0, "idle": "100ms"}
            rouse.write_config(config)
            rouse.start()
            self.wait_gone()
            self.assertEqual(rouse.get("/function/work").status, 200)
            self.wait_gone()

    def test_killed_at_any_moment_of_a_start(self):
        keys = {"command": shell("sleep 0.2; exec /fast_function"), "scale": {"idle": "1h"}}
        moments = {
            "parked": lambda rouse: rouse.wait_load("parked", 0, 1),
            "made": lambda rouse: wait_for(lambda: self.ours("made"), what="there is a container"),
            "started": lambda rouse: self.wait_ours(1, name="started"),
        }
        with self.daemon({name: keys for name in moments}) as rouse:
            for name, moment in moments.items():
                with rouse.connect() as caller:
                    caller.send_request("GET", f"/function/{name}")
                    moment(rouse)
                    rouse.kill()
                rouse.start()
                self.assertEqual(rouse.get(f"/function/{name}").status, 200)
                rouse.wait_instances(name, 1)
                self.wait_ours(1, name=name)
            rouse.stop()
            self.wait_ours(3)

    def test_an_image_that_is_not_there(self):
        with self.daemon({"work": {"image": f"{NO_REGISTRY}/nothing:1"}}) as rouse:
            began = time.monotonic()
            answer = rouse.get("/function/work")
            self.assertEqual((answer.status, answer.problem()["type"].rpartition("/")[2]), (502, "start-failed"))
            self.assertIn("could not be pulled", answer.problem()["detail"])
            self.assertLess(time.monotonic() - began, scaled(10))
            self.assertEqual(rouse.metric("rouse_start_failures_total", function="work", reason="image"), 1)
            self.assertEqual(self.ours(), [])

    def test_starts_that_fail_say_why(self):
        functions = {
            "dies": {"command": shell("echo dying; exit 3")},
            "wrong": {"command": ["/no/such/program"]},
            "deaf": {"command": ["/bin/sleep", "1000"], "start_timeout": duration(1.5)},
            "local": {"env": {"HOST": "127.0.0.1"}, "start_timeout": duration(1.5)},
            "greedy": {"resources": {"cpu": 1000}},
        }
        said = {}
        with self.daemon(functions) as rouse:
            for name in functions:
                answer = rouse.get(f"/function/{name}")
                said[name] = (answer.status, answer.problem()["detail"])
            self.wait_gone()
        self.assertEqual({name: status for name, (status, _) in said.items() if status != 502}, {"greedy": 503})
        for name, words in {
            "dies": "exited with status 3", "wrong": "No such file or directory", "deaf": "refuses connections", "local": "of all addresses",
        }.items():  # fmt: skip
            self.assertIn(words, said[name][1])
        self.assertIn("dying", said["dies"][1] + str(said["dies"]))

    def test_crash_and_removal_by_hand(self):
        with self.daemon({"work": {"scale": {"idle": "1h"}}}) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            first = self.wait_ours(1)[0]["Id"]
            self.assertEqual(rouse.get("/function/work/crash").status, 502)
            rouse.wait_log(r"ended by itself .*exited with status 7")
            second = self.wait_other(rouse, first)
            self.assertNotEqual(first, second)
            engine().api("DELETE", f"/containers/{second}", force=1)
            rouse.wait_log(r"ended by itself", start=rouse.wait_line("status 7") + 1)
            self.wait_other(rouse, second)

    def wait_other(self, rouse, than):
        """Waits until another container answers; there may be a back-off before it."""
        wait_for(lambda: rouse.get("/function/work").status == 200, 30, "it answers again")
        one = self.wait_ours(1)[0]["Id"]
        self.assertNotEqual(one, than)
        return one

    def test_no_engine_at_all(self):
        config = {"pools": {"docker": {"backend": "docker", "socket": "/nowhere/docker.sock"}}}
        config["functions"] = {"work": {"image": "any", "pools": ["docker"]}}
        with Daemon(config) as rouse:
            answer = rouse.get("/function/work")
            self.assertEqual(answer.status, 503)  # another pool may have an engine
            self.assertIn("there is no socket /nowhere/docker.sock", answer.problem()["detail"])
            self.assertEqual(rouse.metric("rouse_start_failures_total", function="work", reason="unavailable"), 1)

    def test_the_engine_goes_and_comes(self):
        functions = {"work": {"scale": {"idle": "1h"}}, "next": {"scale": {"idle": "1h"}, "start_timeout": duration(60)}}
        with self.daemon(functions) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            first = self.wait_ours(1)[0]["Id"]
            for end in (engine().kill_daemon, engine().stop_daemon):
                end()
                rouse.wait_log("the Docker Engine does not answer")
                for _ in range(20):
                    self.assertEqual(rouse.get("/function/work").status, 200)
                with rouse.connect() as caller:
                    caller.send_request("GET", "/function/next")
                    rouse.wait_load("next", 0, 1)
                    engine().start_daemon()
                    self.assertEqual(caller.read_response("GET").status, 200)
                self.assertEqual(len(self.wait_ours(2)), 2)
                self.assertIn(first, [one["Id"] for one in self.ours()])
                engine().api("DELETE", f"/containers/{self.ours('next')[0]['Id']}", force=1)
                rouse.wait_zero("next")
            engine().freeze_daemon()
            try:
                self.assertEqual(rouse.get("/function/work").status, 200)
            finally:
                engine().freeze_daemon(False)
            wait_for(lambda: rouse.get("/function/next").status == 200, 30, "a new one after the crash")

    def test_frozen_is_paused(self):
        scale = {"to_zero": "freeze", "idle": "100ms", "frozen_for": "1h"}
        with self.daemon({"work": {"scale": scale}}) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            one = self.wait_ours(1, "paused")[0]["Id"]
            for _ in range(5):
                self.assertEqual(parallel(3, lambda i: rouse.get("/function/work").status), [200] * 3)
                self.wait_ours(1, "paused")
            # The next rouse thaws it and freezes it again.
            rouse.kill()
            rouse.start()
            self.assertEqual(rouse.get("/function/work").status, 200)
            self.assertEqual([found["Id"] for found in self.wait_ours(1, "paused")], [one])
            config = json.loads(rouse.config_path.read_text())
            config["functions"] = {}
            rouse.reload(config)
            self.wait_gone()


if __name__ == "__main__":
    unittest.main()
