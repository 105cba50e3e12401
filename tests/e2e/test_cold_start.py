"""Functions at zero: the first requests wait for an instance and are answered, and the function goes back to zero."""

import random
import re

from harness import *
from load import wait_metric

HELLO = ROOT / "config" / "examples" / "functions"
WAITED = re.compile(r"park;dur=(\d+(?:\.\d+)?), ?cold;dur=(\d+(?:\.\d+)?)")


class ColdStart(unittest.TestCase):
    def test_first_request_is_answered_and_says_what_it_waited(self):
        functions = {
            "python": {"command": [PYTHON, str(HELLO / "hello.py")]},
            "node": {"command": [NODE, str(HELLO / "hello.js")]},
            "compiled": fast_function(),
        }
        with Daemon({"functions": functions}) as rouse:
            for name in functions:
                with self.subTest(name), rouse.connect() as caller:
                    self.assertEqual(rouse.instances(name), [], "nothing runs before it is asked for")
                    began = time.monotonic()
                    first = caller.request("GET", f"/function/{name}")
                    took = (time.monotonic() - began) * 1000
                    self.assertEqual(first.status, 200, first)
                    found = WAITED.search(first.header("server-timing", ""))
                    self.assertTrue(found, first)
                    park, cold = float(found[1]), float(found[2])
                    self.assertGreater(cold, 0)
                    self.assertLessEqual(cold, park + 1, "the start is a part of the wait")
                    self.assertLessEqual(park, took)
                    warm = caller.request("GET", f"/function/{name}")
                    self.assertEqual(warm.status, 200, warm)
                    self.assertIsNone(warm.header("server-timing"), "nothing to tell when nothing was waited for")
                    self.assertEqual(len(rouse.instances(name, "ready")), 1)
                    self.assertEqual(rouse.function(name)["cold_starts"], 1)

    def test_a_wait_without_a_start_is_park_only(self):
        config = {"functions": {"gated": python_function("gated.py", concurrency=1, scale={"min": 1, "max": 1})}}
        with Daemon(config) as rouse, rouse.connect() as first, rouse.connect() as second:
            rouse.wait_instances("gated", 1)
            first.send_request("GET", f"/function/gated?until={rouse.path}/go")
            rouse.wait_load("gated", 1)
            second.send_request("GET", "/function/gated")
            rouse.wait_parked("gated", 1)
            (rouse.path / "go").touch()
            self.assertEqual(first.read_response().status, 200)
            answer = second.read_response()
            self.assertEqual(answer.status, 200)
            self.assertRegex(answer.header("server-timing"), r"^park;dur=\d+(\.\d+)?$")

    def test_many_first_requests_are_one_start(self):
        with Daemon({"functions": {"echo": python_function("echo.py")}}) as rouse:
            answers = parallel(50, lambda i: rouse.post(f"/function/echo/{i}", f"body {i}"))
            for i, answer in enumerate(answers):
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual((answer.json()["target"], answer.json()["body"]), (f"/{i}", f"body {i}"))
            self.assertEqual(len({answer.json()["pid"] for answer in answers}), 1)
            self.assertEqual(rouse.function("echo")["cold_starts"], 1)
            self.assertEqual(rouse.metric("rouse_scale_decisions_total", function="echo", direction="up"), 1)
            self.assertEqual(rouse.metric("rouse_cold_start_duration_seconds_count", function="echo"), 1)
            wait_metric(rouse, 50, "rouse_requests_total", function="echo", code="200")

    def test_back_to_zero_when_idle_and_up_again(self):
        idle = 0.4
        config = {"functions": {"echo": python_function("echo.py", scale={"idle": f"{int(idle * 1000)}ms"})}}
        with Daemon(config) as rouse:
            first = rouse.get("/function/echo").json()["pid"]
            asked = time.monotonic()
            self.assertEqual(rouse.get("/function/echo").json()["pid"], first)
            rouse.wait_zero("echo")
            self.assertGreaterEqual(time.monotonic() - asked, idle, "not before it was idle for so long")
            self.assertFalse(process_alive(first))
            self.assertEqual(rouse.metric("rouse_instances", function="echo"), 0)
            again = rouse.get("/function/echo")
            self.assertEqual(again.status, 200)
            self.assertNotEqual(again.json()["pid"], first)
            self.assertRegex(again.header("server-timing"), WAITED)
            reasons = [decision["reason"] for decision in rouse.function("echo")["decisions"]]
            self.assertTrue(any("idle for" in reason for reason in reasons), reasons)

    def test_a_request_in_flight_is_not_idle(self):
        config = {"functions": {"gated": python_function("gated.py", scale={"idle": "50ms"})}}
        with Daemon(config) as rouse, rouse.connect() as caller:
            caller.send_request("GET", f"/function/gated?until={rouse.path}/go")
            began = rouse.wait_log(r"begin ") and time.monotonic()
            # Ten times `idle`, watched all the time.
            while time.monotonic() - began < 0.5:
                self.assertEqual(len(rouse.instances("gated", "ready")), 1)
            (rouse.path / "go").touch()
            self.assertEqual(caller.read_response().status, 200)
            rouse.wait_zero("gated")
            rouse.wait_log("SIGTERM with 0 in flight")

    def test_requests_that_race_the_stop(self):
        idle = 0.05
        rng = random.Random(7)
        with Daemon({"functions": {"fast": fast_function(scale={"idle": "50ms"})}}) as rouse, rouse.connect() as caller:
            for i in range(100):
                # Not waiting for anything: the aim is to hit the moment at which the instance is told to stop.
                time.sleep(max(0.0, rng.gauss(idle, 0.01)))
                method = "POST" if i % 2 else "GET"
                answer = caller.request(method, "/function/fast", body=None)
                self.assertEqual((answer.status, answer.body), (200, b"ok\n"), f"request {i}")
            starts = rouse.function("fast")["cold_starts"]
            self.assertGreater(starts, 1, "the function went to zero now and then")
            wait_metric(rouse, 100, "rouse_requests_total", function="fast", code="200")


class Environment(unittest.TestCase):
    def test_what_an_instance_is_given(self):
        named = {"LEVEL": "3", "GREETING": "a b=c"}
        config = {
            "functions": {
                "echo": python_function("echo.py", env=named, directory="work"),
                "plain": python_function("echo.py"),
            }
        }
        rouse = Daemon(config, env={"A_SECRET": "of the daemon", "ROUSE_ADMIN_TOKEN": "", "LC_TIME": "C", "TZ": "UTC"})
        (rouse.path / "work").mkdir()
        with rouse:
            got = rouse.get("/function/echo").json()
            environment = got["environment"]
            self.assertEqual(environment["PORT"], str(got["port"]))
            self.assertEqual(environment["K_SERVICE"], "echo")
            self.assertEqual(environment["K_CONFIGURATION"], "echo")
            self.assertEqual(environment["K_REVISION"], rouse.function("echo")["revision"])
            for name, value in {**named, "LC_TIME": "C", "TZ": "UTC"}.items():
                self.assertEqual(environment[name], value)
            self.assertEqual(environment.get("PATH"), os.environ.get("PATH"))
            allowed = {"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION", "PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", *named}
            others = {name for name in environment if name not in allowed and not name.startswith("LC_")}
            self.assertEqual(others, set(), "everything else is named in the configuration or not there")
            self.assertEqual(os.path.realpath(got["directory"]), os.path.realpath(rouse.path / "work"))
            plain = rouse.get("/function/plain").json()
            self.assertNotIn("LEVEL", plain["environment"])
            self.assertEqual(plain["environment"]["K_SERVICE"], "plain")
            self.assertEqual(os.path.realpath(plain["directory"]), os.path.realpath(rouse.path))
            self.assertNotEqual(plain["port"], got["port"])

    def test_no_descriptor_of_the_daemon_is_inherited(self):
        with Daemon({"functions": {"echo": python_function("echo.py")}}) as rouse:
            rouse.get("/function/echo")
            (pid,) = rouse.instance_pids("echo.py")
            sockets = {}
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    sockets[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            self.assertTrue(set(range(3)) <= set(sockets), sockets)
            self.assertTrue(sockets[0].startswith("/dev/null"), sockets)
            shared = set()
            for fd in os.listdir(f"/proc/{rouse.pid}/fd"):
                with contextlib.suppress(OSError):  # it may be closed meanwhile
                    shared.add(os.readlink(f"/proc/{rouse.pid}/fd/{fd}"))
            self.assertGreater(len(shared), 5)
            theirs = {where for fd, where in sockets.items() if fd > 2}
            self.assertEqual({where for where in theirs & shared if where.startswith(("socket:", "pipe:"))}, set())


if __name__ == "__main__":
    unittest.main()
