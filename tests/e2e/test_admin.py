"""What operators see: the admin interface, `rouse status` and `rouse logs`, and the access log, after real use."""

import http.client

from harness import *
from load import wait_metric


class Admin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rouse = Daemon(
            {
                "server": {"access_log": "json"},
                "functions": {"work": python_function("gated.py", scale={"idle": "1h"}), "broken": python_function("trouble.py", "exit"), "unused": fast_function()},
            }
        )
        cls.rouse.__enter__()
        try:
            cls.used()
        except BaseException:
            cls.rouse.__exit__(*sys.exc_info())
            raise

    @classmethod
    def used(cls):
        rouse = cls.rouse
        assert rouse.get("/function/work/first", {"X-Request-Id": "first-1", "User-Agent": 'a "b"\\c'}).status == 200
        assert rouse.post("/function/work/second?x=1", "body").status == 200
        assert rouse.get("/function/broken").status == 502
        assert rouse.get("/nowhere").status == 404
        wait_metric(rouse, 2, "rouse_requests_total", function="work", code="200")
        wait_metric(rouse, 1, "rouse_requests_total", function="broken", code="502")
        wait_for(lambda: rouse.function("work")["in_flight"] == 0)

    @classmethod
    def tearDownClass(cls):
        cls.rouse.__exit__(None, None, None)

    def rouse_command(self, *args):
        return run_rouse(*args, "--admin", f"http://127.0.0.1:{self.rouse.admin_port}")

    def test_health(self):
        self.assertEqual(self.rouse.admin("GET", "/healthz").status, 200)
        self.assertEqual(self.rouse.admin("GET", "/readyz").status, 200)
        self.assertEqual(self.rouse.admin("GET", "/no/such/thing").status, 404)

    def test_only_for_its_own_host(self):
        answer = http_request(self.rouse.admin_port, "GET", "/api/v1/functions", host="evil.example")
        self.assertNotEqual(answer.status, 200)
        self.assertNotIn(b"work", answer.body)
        self.assertEqual(self.rouse.get("/api/v1/functions").status, 404, "not on the callers' listener")
        self.assertEqual(self.rouse.get("/metrics").status, 404)

    def test_functions(self):
        functions = self.rouse.functions()
        self.assertEqual(list(functions), ["broken", "unused", "work"])
        work = functions["work"]
        self.assertEqual((work["parked"], work["in_flight"], work["cold_starts"], work["failure"]), (0, 0, 1, None))
        (instance,) = work["instances"]
        self.assertEqual((instance["state"], instance["in_flight"]), ("ready", 0))
        self.assertRegex(instance["address"], r"^127\.0\.0\.1:\d+$")
        self.assertGreater(instance["age_ms"], 0)
        self.assertEqual([(d["from"], d["to"]) for d in work["decisions"]], [(0, 1)])
        self.assertIn("1 parked", work["decisions"][0]["reason"])
        self.assertEqual((functions["unused"]["instances"], functions["unused"]["decisions"]), ([], []))
        one = self.rouse.admin("GET", "/api/v1/functions/work")
        self.assertEqual((one.status, one.json()["name"]), (200, "work"))
        self.assertEqual(self.rouse.admin("GET", "/api/v1/functions/absent").status, 404)
        listed = self.rouse.admin("GET", "/api/v1/instances").json()["instances"]
        self.assertIn(instance["name"], [one["name"] for one in listed if one["function"] == "work"])

    def test_metrics(self):
        m = self.rouse.metric
        self.assertEqual(m("rouse_requests_total", function="work", code="200"), 2)
        self.assertEqual(m("rouse_requests_total", function="broken", code="502"), 1)
        self.assertEqual(m("rouse_request_duration_seconds_count", function="work"), 2)
        self.assertEqual(m("rouse_park_duration_seconds_count", function="work"), 1)
        self.assertEqual(m("rouse_cold_start_duration_seconds_count", function="work"), 1)
        self.assertGreater(m("rouse_cold_start_duration_seconds_sum", function="work"), 0)
        self.assertEqual(m("rouse_instances", function="work", state="ready", pool="local"), 1)
        self.assertEqual(m("rouse_instances_desired", function="work"), 1)
        self.assertEqual(m("rouse_scale_decisions_total", function="work", direction="up"), 1)
        self.assertEqual(m("rouse_requests_in_flight", function="work"), 0)
        self.assertEqual(m("rouse_requests_parked", function="work"), 0)
        self.assertEqual(m("rouse_start_failures_total", function="broken"), 1)
        self.assertEqual(m("rouse_build_info"), 1)
        every = self.rouse.metrics()
        self.assertFalse([series for series in every if 'function="unused"' in series], "series appear on first use")
        revision = self.rouse.function("work")["revision"]
        for series in every:
            if 'function="work"' in series:
                self.assertIn(f'revision="{revision}"', series)

    def test_metrics_while_busy(self):
        with Daemon({"functions": {"work": python_function("gated.py", concurrency=1, scale={"max": 1})}}) as rouse:
            with rouse.connect() as first, rouse.connect() as second:
                first.send_request("GET", f"/function/work?until={rouse.path}/go")
                wait_for(lambda: rouse.metric("rouse_requests_in_flight", function="work") == 1)
                second.send_request("GET", "/function/work")
                wait_for(lambda: rouse.metric("rouse_requests_parked", function="work") == 1)
                shown = rouse.function("work")
                self.assertEqual((shown["in_flight"], shown["parked"]), (1, 1))
                self.assertEqual(shown["instances"][0]["in_flight"], 1)
                (rouse.path / "go").touch()
                self.assertEqual((first.read_response().status, second.read_response().status), (200, 200))
            wait_for(lambda: rouse.metric("rouse_requests_in_flight", function="work") == 0)
            self.assertEqual(rouse.metric("rouse_requests_parked", function="work"), 0)

    def test_status(self):
        done = self.rouse_command("status")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
        self.assertEqual({"work", "broken", "unused"} & set(rows), {"work", "broken", "unused"}, done.stdout)
        self.assertIn("0 -> 1", rows["work"])
        self.assertNotIn("\x1b", done.stdout, "no colours but on a terminal")
        done = self.rouse_command("status", "work")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(self.rouse.instances("work")[0]["name"], done.stdout)
        self.assertIn("1 parked, none ready", done.stdout)
        done = self.rouse_command("status", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([entry["name"] for entry in json.loads(done.stdout)["functions"]], ["broken", "unused", "work"])

    def test_client_errors(self):
        done = self.rouse_command("status", "absent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("absent", done.stderr)
        done = run_rouse("status", "--admin", f"http://127.0.0.1:{free_port()}")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.strip())
        self.assertEqual(run_rouse("status", "--no-such-option").returncode, 2)
        done = run_rouse("status", env={"ROUSE_ADMIN": f"http://127.0.0.1:{self.rouse.admin_port}"})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_logs(self):
        wait_for(lambda: "end /second" in self.rouse_command("logs", "work").stdout)
        done = self.rouse_command("logs", "work")
        self.assertEqual(done.returncode, 0, done.stderr)
        texts = [line.partition("| ")[2] for line in done.stdout.splitlines()]
        self.assertEqual(texts, ["listening", "begin /first", "end /first", "begin /second?x=1", "end /second?x=1"])
        self.assertIn(self.rouse.instances("work")[0]["name"], done.stdout)
        self.assertIn("the database is on holiday", self.rouse_command("logs", "broken").stdout)
        self.assertEqual(self.rouse_command("logs", "absent").returncode, 1)

    def test_logs_follow(self):
        with Daemon({"functions": {"work": python_function("gated.py")}}) as rouse:
            rouse.get("/function/work/old")
            command = [ROUSE_BIN, "logs", "work", "-f", "--admin", f"http://127.0.0.1:{rouse.admin_port}"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
                try:
                    self.assertIn("listening", follower.stdout.readline())
                    self.assertIn("begin /old", follower.stdout.readline())
                    self.assertIn("end /old", follower.stdout.readline())
                    rouse.get("/function/work/new")
                    self.assertIn("begin /new", follower.stdout.readline())
                finally:
                    follower.kill()

    def test_events(self):
        with Daemon({"functions": {"work": python_function("gated.py"), "broken": {"command": ["false"]}}}) as rouse:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", rouse.admin_port, timeout=30)) as watcher:
                watcher.request("GET", "/api/v1/events?function=work")
                stream = watcher.getresponse()
                self.assertEqual((stream.status, stream.headers["Content-Type"]), (200, "text/event-stream"))
                self.assertEqual(rouse.get("/function/broken").status, 502)
                self.assertEqual(rouse.get("/function/work/x").status, 200)
                seen = []
                while not seen or seen[-1]["type"] != "ready":
                    line = stream.readline().decode()
                    if line.startswith("data: "):
                        seen.append(json.loads(line[6:]))
            self.assertEqual([one["type"] for one in seen], ["scale", "start", "ready"])
            self.assertEqual((seen[0]["from"], seen[0]["to"], seen[0]["cause"]), (0, 1, "demand"))
            self.assertEqual({one["function"] for one in seen}, {"work"})
            self.assertEqual(seen[2]["instance"], rouse.instances("work")[0]["name"])
            self.assertEqual(seen[2]["pool"], "local")

    def test_access_log(self):
        def entries():
            found = {one["target"]: one for one in (json.loads(line) for line in self.rouse.lines if line.startswith("{"))}
            return [found[target] for target in targets] if set(targets) <= set(found) else None

        # In no certain order: an answer is sent before its line is written, and the next request may be another worker's.
        targets = ["/function/work/first", "/function/work/second?x=1", "/function/broken", "/nowhere"]
        first, second, broken, nowhere = wait_for(entries, what="four lines of the access log")
        self.assertEqual((first["method"], first["target"], first["status"]), ("GET", "/function/work/first", 200))
        self.assertEqual((first["function"], first["request_id"], first["user_agent"]), ("work", "first-1", 'a "b"\\c'))
        self.assertEqual((first["peer"], first["version"], first["cold"]), ("127.0.0.1", "1.1", True))
        self.assertGreater(first["park_ms"], 0)
        self.assertGreaterEqual(first["duration_ms"], first["park_ms"])
        self.assertEqual((second["target"], second["cold"], second["park_ms"]), ("/function/work/second?x=1", False, 0))
        self.assertGreaterEqual(second["bytes_in"], 4)
        self.assertTrue(second["request_id"])
        self.assertEqual((broken["status"], broken["function"]), (502, "broken"))
        self.assertEqual((nowhere["status"], nowhere["target"]), (404, "/nowhere"))
        self.assertNotIn("function", {key for key, value in nowhere.items() if value})

    def test_daemon_log_as_json(self):
        with Daemon({"functions": {"fast": fast_function()}}, args=["--log-format", "json"]) as rouse:
            self.assertEqual(rouse.get("/function/fast").status, 200)
            rouse.wait_log("ready after")
            rouse.stop()
            self.assertTrue(rouse.lines)
            for line in rouse.lines:
                self.assertIsInstance(json.loads(line), dict)


if __name__ == "__main__":
    unittest.main()
