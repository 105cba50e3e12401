"""Functions that do not start, crash or linger, callers that are slow or gone: who is told what, and who is not disturbed."""

from harness import *
from load import wait_metric


def trouble(how, *args, **keys):
    return python_function("trouble.py", how, *args, **keys)


def starts(rouse):
    """How often trouble.py was started."""
    path = rouse.path / "starts"
    return len(path.read_text().split()) if path.exists() else 0


class Start(unittest.TestCase):
    def refused(self, answer):
        """The problem of a 502 start-failed, checked for form."""
        self.assertEqual(answer.status, 502, answer)
        problem = answer.problem()
        self.assertEqual(problem["type"], "start-failed")
        self.assertGreaterEqual(int(answer.header("retry-after")), 1)
        return problem

    def test_what_ends_at_once_fails_all_who_wait(self):
        with Daemon({"functions": {"broken": trouble("exit")}}) as rouse:
            answers = parallel(10, lambda _: rouse.post("/function/broken", "work"))
            for answer in answers:
                problem = self.refused(answer)
                self.assertEqual(problem["function"], "broken")
                self.assertIn("status 7", problem["detail"])
                for line in ("reading the settings", "connecting to the database", "the database is on holiday"):
                    self.assertIn(line, problem["detail"])
            self.assertGreater(rouse.metric("rouse_start_failures_total", function="broken"), 0)
            self.assertEqual(rouse.function("broken")["parked"], 0)
            self.assertIsNotNone(rouse.function("broken")["failure"])

    def test_during_the_back_off_the_answer_comes_at_once_and_nothing_is_started(self):
        with Daemon({"functions": {"broken": trouble("exit")}}) as rouse:
            self.refused(rouse.get("/function/broken"))
            began, slowest, asked = time.monotonic(), 0.0, 0
            while time.monotonic() - began < 2.5:  # callers who do not give up
                at, before = time.monotonic(), starts(rouse)
                self.refused(rouse.get("/function/broken"))
                asked += 1
                if starts(rouse) == before:  # else this one waited for a start that failed
                    slowest = max(slowest, time.monotonic() - at)
            # Back-off of 1 s, then 2 s, 10 % less at most: the second start after 0.9 s, the third after 2.7 s.
            self.assertLessEqual(starts(rouse), 3)
            self.assertGreaterEqual(starts(rouse), 2, "it is tried again")
            self.assertGreater(asked, 5)
            self.assertLess(slowest, scaled(0.8))
            self.assertEqual(rouse.metric("rouse_start_failures_total", function="broken"), starts(rouse))
            wait_metric(rouse, asked + 1, "rouse_requests_total", function="broken", code="502")
            wait_metric(rouse, asked + 1, "rouse_shed_total", function="broken", reason="start-failed")

    def test_once_mended_it_works_again(self):
        with Daemon({"functions": {"broken": trouble("unless", "mended")}}) as rouse:
            problem = self.refused(rouse.get("/function/broken"))
            self.assertIn("on holiday", problem["detail"])
            (rouse.path / "mended").touch()
            wait_for(lambda: rouse.get("/function/broken").status == 200, 15)
            self.assertIsNone(rouse.function("broken")["failure"])

    def test_details_stay_inside_when_they_are_not_to_be_exposed(self):
        with Daemon({"server": {"expose_errors": False}, "functions": {"broken": trouble("exit")}}) as rouse:
            problem = self.refused(rouse.get("/function/broken"))
            for inside in ("holiday", "settings", "status 7", "trouble.py"):
                self.assertNotIn(inside, json.dumps(problem))
            rouse.wait_log("the database is on holiday")

    def test_command_not_found(self):
        with Daemon({"functions": {"absent": {"command": ["/no/such/program", "--flag"]}}}) as rouse:
            problem = self.refused(rouse.get("/function/absent"))
            self.assertIn("/no/such/program", problem["detail"])

    def test_what_never_listens_has_start_timeout(self):
        config = {"functions": {"mute": trouble("mute", start_timeout="700ms", stop_grace="1s")}}
        with Daemon(config) as rouse:
            began = time.monotonic()
            problem = self.refused(rouse.get("/function/mute"))
            self.assertGreaterEqual(time.monotonic() - began, 0.7)
            self.assertRegex(problem["detail"], r"700 ?ms")
            self.assertGreater(rouse.metric("rouse_start_failures_total", function="mute"), 0)
            wait_for(lambda: not rouse.instance_pids("trouble.py"), what="what did not start is ended")

    def test_a_failed_start_beside_a_ready_instance_fails_nobody(self):
        function = trouble("first", concurrency=1, scale={"max": 2})
        with Daemon({"functions": {"work": function}}) as rouse, rouse.connect() as first, rouse.connect() as second:
            first.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1)
            second.send_request("POST", "/function/work", body="wait")
            wait_for(lambda: rouse.metric("rouse_start_failures_total", function="work") >= 1)
            rouse.wait_load("work", 1, 1)  # still waits for the instance that works
            (rouse.path / "go").touch()
            self.assertEqual(first.read_response().status, 200)
            self.assertEqual(second.read_response().status, 200)


class Crash(unittest.TestCase):
    def test_a_post_is_told_and_the_next_one_gets_a_new_instance(self):
        with Daemon({"functions": {"echo": python_function("echo.py")}}) as rouse:
            old = rouse.get("/function/echo").json()["pid"]
            with rouse.connect() as caller:
                broken = caller.request("POST", "/function/echo?exit=3", body="work")
                self.assertEqual((broken.status, broken.problem()["type"]), (502, "instance-failed"))
                # It may have been done: it is not tried again. (The next one may be, when it is refused by the dead instance.)
                self.assertEqual(rouse.metric("rouse_retries_total", function="echo"), 0)
                # A process that is just ending may still accept a connection, and what is written to it may not be sent twice.
                rouse.wait_log(r"ended by itself .*status 3")
                after = caller.request("POST", "/function/echo", body="more")
            self.assertEqual((after.status, after.json()["body"]), (200, "more"))
            self.assertNotEqual(after.json()["pid"], old)

    def test_a_get_is_tried_again_on_another_instance(self):
        with Daemon({"functions": {"gated": python_function("gated.py")}}) as rouse:
            old = rouse.get("/function/gated").json()["pid"]
            answer = rouse.get(f"/function/gated?exit_once={rouse.path}/crashed")
            self.assertEqual(answer.status, 200, answer)
            self.assertNotEqual(answer.json()["pid"], old)
            self.assertTrue((rouse.path / "crashed").exists())
            self.assertGreaterEqual(rouse.metric("rouse_retries_total", function="gated"), 1)

    def test_others_in_flight_are_answered_too(self):
        with Daemon({"functions": {"gated": python_function("gated.py")}}) as rouse, contextlib.ExitStack() as stack:
            callers = [stack.enter_context(rouse.connect()) for _ in range(5)]
            for caller in callers:
                caller.send_request("POST", f"/function/gated?until={rouse.path}/never", body="x")
            rouse.wait_line(r"\] begin ", count=5)  # until then one may be sent to another instance as well
            (pid,) = rouse.instance_pids("gated.py")
            os.kill(pid, signal.SIGKILL)
            for caller in callers:
                answer = caller.read_response()
                self.assertEqual((answer.status, answer.problem()["type"]), (502, "instance-failed"))
            self.assertEqual(rouse.get("/function/gated").status, 200)

    def test_min_is_kept_when_an_idle_instance_dies(self):
        with Daemon({"functions": {"gated": python_function("gated.py", scale={"min": 1})}}) as rouse:
            name = rouse.wait_instances("gated", 1)[0]["name"]
            (pid,) = rouse.instance_pids("gated.py")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: [i for i in rouse.instances("gated", "ready") if i["name"] != name], 20)
            answer = rouse.get("/function/gated")
            self.assertEqual(answer.status, 200)
            self.assertNotEqual(answer.json()["pid"], pid)

    def test_what_keeps_crashing_is_not_started_in_a_loop(self):
        with Daemon({"functions": {"work": trouble("unless", ".", scale={"min": 1})}}) as rouse:
            killed = set()
            wait_for(lambda: rouse.instance_pids("gated.py"), what="the first instance runs")
            began = time.monotonic()
            while time.monotonic() - began < 2.5:
                for pid in rouse.instance_pids("gated.py"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                self.assertLess(starts(rouse), 6)
            self.assertGreaterEqual(len(killed), 1)


class NothingIsLeft(unittest.TestCase):
    def family(self):
        rouse = Daemon({"functions": {"family": trouble("family", scale={"max": 2}), "fast": fast_function()}})
        return rouse

    def sleepers(self, rouse):
        return [pid for pid in rouse.descendants() if command_line(pid)[:1] == ["sleep"]]

    def test_after_kill_9(self):
        with self.family() as rouse:
            self.assertEqual(rouse.get("/function/family").status, 200)
            self.assertEqual(rouse.get("/function/fast").status, 200)
            wait_for(lambda: len(self.sleepers(rouse)) == 8, what="eight sleepers")
            before = rouse.descendants()
            rouse.kill()
            wait_for(lambda: not [pid for pid, at in before.items() if process_alive(pid, at)], 10, "all are gone")

    def test_after_kill_9_while_starting(self):
        with Daemon({"functions": {"mute": trouble("mute")}}) as rouse, rouse.connect() as caller:
            caller.send_request("GET", "/function/mute")
            wait_for(lambda: rouse.instance_pids("trouble.py"))
            before = rouse.descendants()
            rouse.kill()
            wait_for(lambda: not [pid for pid, at in before.items() if process_alive(pid, at)], 10, "all are gone")
            self.assertIn(caller.closed_by_peer(), ("eof", "reset"))

    def test_after_a_proper_end(self):
        with self.family() as rouse:
            self.assertEqual(rouse.get("/function/family").status, 200)
            wait_for(lambda: len(self.sleepers(rouse)) == 8, what="eight sleepers")
            before = rouse.descendants()
            self.assertEqual(rouse.stop(), 0)
            wait_for(lambda: not [pid for pid, at in before.items() if process_alive(pid, at)], 10, "all are gone")


class SlowCallers(unittest.TestCase):
    def test_who_does_not_read_disturbs_nobody(self):
        with Daemon({"server": {"workers": 1}, "functions": {"gated": python_function("gated.py", "--quiet")}}) as rouse:
            self.assertEqual(rouse.get("/function/gated").status, 200)
            with contextlib.ExitStack() as stack:
                for _ in range(4):
                    deaf = stack.enter_context(rouse.connect())
                    deaf.send_request("GET", f"/function/gated?bytes={100 << 20}")
                rouse.wait_load("gated", 4)
                slowest = 0.0
                for i in range(50):
                    began = time.monotonic()
                    self.assertEqual(rouse.post("/function/gated", "x" * i).status, 200)
                    slowest = max(slowest, time.monotonic() - began)
                self.assertLess(slowest, scaled(2))
                rouse.wait_load("gated", 4)
                if not is_sanitized():
                    self.assertLess(rouse.peak_rss_kib(), 50 * 1024)
            wait_for(lambda: rouse.function("gated")["in_flight"] == 0, what="those who left free their slots")

    def test_idle_connections_are_kept_and_cost_little(self):
        with Daemon({"functions": {"gated": python_function("gated.py", "--quiet", concurrency=10)}}) as rouse:
            self.assertEqual(rouse.get("/function/gated").status, 200)
            before = rouse.rss_kib()
            with contextlib.ExitStack() as stack:
                idle = [stack.enter_context(rouse.connect()) for _ in range(200)]
                wait_for(lambda: rouse.metric("rouse_connections") == 200)
                if not is_sanitized():
                    self.assertLess(rouse.rss_kib() - before, 200 * 16)
                for _ in range(20):
                    self.assertEqual(rouse.get("/function/gated").status, 200)
                for caller in idle:
                    self.assertEqual(caller.request("GET", "/function/gated").status, 200)
            wait_for(lambda: rouse.metric("rouse_connections") == 0)

    def test_a_head_that_trickles_in_is_cut(self):
        config = {"server": {"limits": {"header_timeout": "500ms"}}, "functions": {"fast": fast_function()}}
        with Daemon(config) as rouse, rouse.connect() as slow:
            began = time.monotonic()
            slow.settimeout(0.05 / TIME_SCALE)
            sent = "GET /function/fast HTTP/1.1\r\nHost: a\r\nX-Slow: "
            while True:  # a byte now and then, so that it never falls silent
                slow.send(sent)
                sent = "x"
                try:
                    slow._fill()
                    break
                except TimeoutError:
                    self.assertLess(time.monotonic() - began, scaled(10), "the head is never cut")
            slow.settimeout(10)
            answer = slow.read_response()
            self.assertEqual((answer.status, answer.problem()["type"]), (408, "request-timeout"))
            self.assertFalse(answer.keep_alive)
            self.assertGreaterEqual(time.monotonic() - began, 0.5)
            slow.shutdown_write()
            self.assertEqual(slow.read_eof(), b"")
            self.assertEqual(rouse.get("/function/fast").status, 200)

    def test_an_idle_connection_is_closed_without_a_word(self):
        config = {"server": {"limits": {"idle_timeout": duration(0.5)}}, "functions": {"fast": fast_function()}}
        with Daemon(config) as rouse, rouse.connect() as idle, rouse.connect() as used:
            self.assertEqual(used.request("GET", "/function/fast").status, 200)
            self.assertEqual(idle.closed_by_peer(), "eof")
            self.assertEqual(used.closed_by_peer(), "eof")


if __name__ == "__main__":
    unittest.main()
