"""The configuration changes under a running daemon: how it is told, what holds at once, what is made ready first; and nobody
who calls meanwhile notices."""

from collections import Counter

from harness import *
from load import Load


def work(version="1", *args, **keys):
    """Config of a function; another `version` is another revision."""
    return python_function("gated.py", *(args or ("--quiet",)), env={"VERSION": version}, **keys)


def revision_of(body):
    return json.loads(body)["revision"]


def serving(rouse, name="work"):
    """The revisions that have traffic, and those that are coming."""
    shown = rouse.function(name)["revisions"]
    return [one["revision"] for one in shown if one["role"] == "serving"], [one for one in shown if one["role"] == "coming"]


class Told(unittest.TestCase):
    """By which ways a reload comes; seen by a route that appears."""

    def config(self, *paths):
        return {"functions": {"fast": fast_function()}, "routes": [{"path": path, "function": "fast"} for path in paths]}

    def wait_route(self, rouse, path):
        wait_for(lambda: rouse.get(path).status == 200, 15, f"{path} is there")

    def test_signal_and_command(self):
        with Daemon(self.config("/a")) as rouse:
            self.assertEqual((rouse.get("/a").status, rouse.get("/b").status), (200, 404))
            rouse.write_config(self.config("/a", "/b"))
            rouse.process.send_signal(signal.SIGHUP)
            self.wait_route(rouse, "/b")
            said = rouse.reload(self.config("/b", "/c"))
            self.assertIn("reloaded: 1 functions, 2 routes", said)
            self.assertEqual([rouse.get(path).status for path in ("/a", "/b", "/c")], [404, 200, 200])

    def test_an_address_is_said_to_need_a_restart(self):
        config = self.config("/a")
        with Daemon(config) as rouse:
            said = rouse.reload({**config, "server": {"workers": 3, "limits": {"header_bytes": "32KiB"}}})
            self.assertIn("server.workers", said)
            self.assertIn("server.limits", said)
            self.assertNotIn("server.listen", said)

    def test_watch(self):
        with Daemon({**self.config("/a"), "include": ["more/*.yaml"]}, args=["--watch"]) as rouse:
            self.assertEqual(rouse.get("/a").status, 200)
            rouse.write_config({**self.config("/a", "/written"), "include": ["more/*.yaml"]})
            self.wait_route(rouse, "/written")
            kept = rouse.config_path
            rouse.config_path = rouse.path / "next.yaml"
            rouse.write_config({**self.config("/a", "/renamed"), "include": ["more/*.yaml"]})
            rouse.config_path.rename(kept)
            rouse.config_path = kept
            self.wait_route(rouse, "/renamed")
            (rouse.path / "more").mkdir()
            included = rouse.path / "more" / "extra.yaml"
            included.write_text(json.dumps({"functions": {"extra": fast_function()}}))
            self.wait_route(rouse, "/function/extra")
            included.unlink()
            wait_for(lambda: rouse.get("/function/extra").status == 404, 15, "what went with its file is gone")
            self.assertEqual(rouse.get("/a").status, 200)
            # What is wrong is said once, and mended by the next change.
            rouse.write_config({**self.config("/a"), "nonsense": 1})
            rouse.wait_log("nonsense", 15)
            self.assertEqual(rouse.get("/renamed").status, 200)
            rouse.write_config(self.config("/a", "/mended"))
            self.wait_route(rouse, "/mended")
            self.assertEqual(len(rouse.whole_log("nonsense")), 1)


class Invalid(unittest.TestCase):
    def test_leaves_all_as_it_is(self):
        with Daemon({"functions": {"work": work()}}) as rouse:
            pid = rouse.get("/function/work").json()["pid"]
            good = rouse.config_path.read_text()
            rouse.config_path.write_text(good.replace('"command"', '"comand"') + "\n")
            done = rouse.command("reload")
            self.assertEqual(done.returncode, 1, done)
            self.assertRegex(done.stdout + done.stderr, r"rouse\.yaml:\d+:\d+: .*comand.*")
            self.assertIn("did you mean `command`", done.stdout + done.stderr)
            rouse.process.send_signal(signal.SIGHUP)
            rouse.wait_log(r"rouse\.yaml:\d+:\d+: .*comand", start=rouse.wait_line("SIGHUP"))
            rouse.config_path.unlink()
            self.assertEqual(rouse.command("reload").returncode, 1)
            answer = rouse.get("/function/work")
            self.assertEqual((answer.status, answer.json()["pid"]), (200, pid))
            rouse.config_path.write_text(good)
            rouse.must("reload")
            self.assertEqual(rouse.get("/function/work").json()["pid"], pid, "the same way to run it: the same instance")


class Live(unittest.TestCase):
    """Keys that are no part of a revision's identity."""

    def test_timeout(self):
        with Daemon({"functions": {"work": work()}}) as rouse:
            pid = rouse.get("/function/work").json()["pid"]
            rouse.reload({"functions": {"work": work(timeout="200ms", stop_grace="200ms")}})
            late = rouse.get(f"/function/work?until={rouse.path}/go")
            self.assertEqual((late.status, late.problem()["type"]), (504, "function-timeout"))
            rouse.reload({"functions": {"work": work(timeout="60s")}})
            (rouse.path / "go").touch()
            answer = rouse.get("/function/work?work=0.4")
            self.assertEqual((answer.status, answer.json().get("pid")), (200, pid), answer)

    def test_a_higher_concurrency_frees_who_is_parked_and_a_lower_one_holds(self):
        def limited(concurrency):
            return {"functions": {"work": work("1", "--aloud", concurrency=concurrency, scale={"min": 1, "max": 1})}}

        with Daemon(limited(1)) as rouse, contextlib.ExitStack() as stack:
            rouse.wait_instances("work", 1)
            callers = [stack.enter_context(rouse.connect()) for _ in range(6)]
            for caller in callers:
                caller.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1, 5)
            rouse.reload(limited(4))
            rouse.wait_load("work", 4, 2)
            rouse.wait_line(r"\] begin ", count=4)
            rouse.reload(limited(2))
            more = stack.enter_context(rouse.connect())
            more.send_request("GET", "/function/work")
            rouse.wait_load("work", 4, 3)
            (rouse.path / "go").touch()
            answers = [caller.read_response() for caller in (*callers, more)]
            self.assertEqual([answer.status for answer in answers], [200] * 7)
            self.assertEqual(len({answer.json()["pid"] for answer in answers}), 1)
            self.assertEqual(max(answer.json()["most_in_flight"] for answer in answers), 4)

    def test_queue_limits(self):
        def queued(**limits):
            return {"functions": {"work": work(concurrency=1, scale={"max": 1}, queue=limits)}}

        with Daemon(queued(max_requests=1)) as rouse, contextlib.ExitStack() as stack:
            first, second, third = (stack.enter_context(rouse.connect()) for _ in range(3))
            first.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1)
            second.send_request("GET", "/function/work")
            rouse.wait_parked("work", 1)
            self.assertEqual(rouse.get("/function/work").problem()["type"], "queue-full")
            rouse.reload(queued(max_requests=2))
            third.send_request("GET", "/function/work")
            rouse.wait_parked("work", 2)
            rouse.reload(queued(max_requests=1))
            # The lower limit holds at once. Who waits already stays, and has nobody slip in while a reload makes it choose again.
            for i in range(5):
                self.assertEqual(rouse.get("/function/work").problem()["type"], "queue-full")
                rouse.reload(queued(max_requests=1, max_wait=f"{60 + i}s"))
            rouse.wait_load("work", 1, 2)
            rouse.reload(queued(max_requests=5, max_wait="200ms"))
            for caller in (second, third):
                self.assertEqual(caller.read_response().problem()["type"], "park-timeout")
            self.assertEqual(rouse.get("/function/work").problem()["type"], "park-timeout")
            (rouse.path / "go").touch()
            self.assertEqual(first.read_response().status, 200)

    def test_a_function_and_a_route_that_are_new(self):
        with Daemon({"functions": {"work": work()}}) as rouse:
            self.assertEqual(rouse.get("/function/added").status, 404)
            functions = {"work": work(), "added": work(scale={"min": 1})}
            rouse.reload({"functions": functions, "routes": [{"path": "/way/*", "function": "added", "rewrite": "/"}]})
            rouse.wait_instances("added", 1)
            self.assertEqual((rouse.get("/function/added").status, rouse.get("/way/in").status), (200, 200))
            self.assertEqual(rouse.get("/function/work").status, 200)


class Rollout(unittest.TestCase):
    def test_ready_first_then_traffic_then_the_old_ones_go(self):
        """Under load; a stream and a tunnel on the old revision outlive it, unharmed."""
        scale = {"min": 2, "max": 4}
        with Daemon({"functions": {"work": work("1", "--linger", "0.05", scale=scale)}}) as rouse:
            rouse.wait_instances("work", 2)
            old = serving(rouse)[0]
            with rouse.connect() as stream, Load(rouse.port, "/function/work", 6) as load:
                load.tag = revision_of
                stream.send_request("GET", f"/function/work?stream={rouse.path}/end")
                head = stream.read_head()
                self.assertEqual(head.status, 200)
                load.wait_answers(50)
                rouse.reload({"functions": {"work": work("2", "--until", f"{rouse.path}/start", "--linger", "0.05", scale=scale)}})
                coming = wait_for(lambda: serving(rouse)[1])
                self.assertEqual(serving(rouse)[0], old)
                self.assertIn("is being made ready (0 of 2)", rouse.function("work")["rollout"])
                self.assertIn("is being made ready", rouse.must("status", "work"))
                load.wait_answers(100)
                self.assertEqual(list(load.tags), old, "no traffic before it is ready")
                self.assertEqual(len(rouse.instances("work", "ready")), 2)
                (rouse.path / "start").touch()
                new = coming[0]["revision"]
                wait_for(lambda: serving(rouse)[0] == [new], 30)
                ready = [one for one in rouse.instances("work", "ready") if one["revision"] == new]
                self.assertGreaterEqual(len(ready), 2)
                load.tags.clear()  # what was chosen before may still be on its way
                wait_for(lambda: load.tags[new] >= 100)
                self.assertLessEqual(load.tags[old[0]], 6)
                # Of the old ones only that with the stream is left.
                self.assertEqual([i["in_flight"] for i in wait_for(lambda: self.draining_one(rouse))], [1])
                (rouse.path / "end").touch()
                events = b"".join(stream.iter_body(head)).split(b"\n\n")
                self.assertEqual(events[-2:], [b"data: end", b""])
                self.assertEqual(events[:-2], [b"data: %d" % i for i in range(len(events) - 2)])
                wait_for(lambda: {i["revision"] for i in rouse.instances("work")} == {new}, 20)
                load.wait_answers(50)
            self.assertEqual(load.failures, [])
            self.assertEqual(rouse.metric("rouse_retries_total", function="work"), 0)
            self.assertEqual(rouse.whole_log("late "), [], "no request after SIGTERM")

    def draining_one(self, rouse):
        left = [i for i in rouse.instances("work") if i["state"] != "ready"]
        return left if len(left) == 1 and left[0]["state"] == "draining" else None

    def test_a_tunnel_outlives_its_revision(self):
        def tunnel(version):
            return {"functions": {"work": python_function("streams.py", env={"VERSION": version})}}

        with Daemon(tunnel("1")) as rouse, rouse.connect() as caller:
            caller.send_request("GET", "/function/work/ws", {"Upgrade": "websocket", "Connection": "Upgrade"})
            self.assertEqual(caller.read_head().status, 101)
            self.assertEqual(caller.read_exactly(5), b"hello")
            rouse.reload(tunnel("2"))
            wait_for(lambda: [i for i in rouse.instances("work") if i["state"] == "draining"])
            caller.send(b"still there")
            self.assertEqual(caller.read_exactly(11), b"still there")
            caller.shutdown_write()
            self.assertEqual(caller.read_eof(), b"bye")
            wait_for(lambda: len(rouse.instances("work")) <= 1)

    def test_one_that_cannot_start_leaves_the_old_one(self):
        broken = {**python_function("trouble.py", "exit"), "scale": {"min": 1}}
        with Daemon({"functions": {"work": work(scale={"min": 1})}}) as rouse, Load(rouse.port, "/function/work", 4) as load:
            load.tag = revision_of
            load.wait_answers(20)
            old = serving(rouse)[0]
            rouse.reload({"functions": {"work": broken}})
            rouse.wait_log(r"cannot be started .*traffic stays where it is")
            load.wait_answers(100)
            self.assertEqual(serving(rouse)[0], old)
            self.assertIn("status 7", rouse.function("work")["rollout"])
            self.assertIn("cannot be started", rouse.must("status", "work"))
            self.assertEqual(list(load.tags), old)
            rouse.reload({"functions": {"work": work("3", scale={"min": 1})}})
            wait_for(lambda: serving(rouse)[0] != old, 20)
            wait_for(lambda: len(load.tags) == 2)
            wait_for(lambda: rouse.function("work")["rollout"] is None, what="the rollout is over")
            wait_for(lambda: len(rouse.function("work")["revisions"]) == 1, 20, "what never came is gone too")
            load.wait_answers(50)
            # And back to what could not start, and at once back to what runs.
            rouse.reload({"functions": {"work": broken}})
            self.assertIsNotNone(rouse.function("work")["rollout"])
            rouse.reload({"functions": {"work": work("3", scale={"min": 1})}})
            self.assertIsNone(rouse.function("work")["rollout"])
            load.wait_answers(50)
        self.assertEqual(load.failures, [])

    def test_at_zero_one_is_tried(self):
        with Daemon({"functions": {"work": work(scale={"idle": "300ms"})}}) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            old = serving(rouse)[0]
            rouse.wait_zero("work")
            rouse.reload({"functions": {"work": python_function("trouble.py", "exit", scale={"idle": "300ms"})}})
            rouse.wait_log(r"cannot be started .*traffic stays where it is")
            self.assertEqual(rouse.get("/function/work").json()["revision"], old[0], "the old one is still good")
            rouse.wait_zero("work")
            rouse.reload({"functions": {"work": work("2", scale={"idle": "300ms"})}})
            rouse.wait_log("traffic has moved", 20)
            rouse.wait_zero("work")
            new = rouse.get("/function/work").json()["revision"]
            self.assertNotEqual(new, old[0])
            rouse.wait_zero("work")
            # And while an old one is there, the first of the new ones is what takes the next call.
            rouse.reload({"functions": {"work": work("2", scale={"idle": "1h"})}})
            self.assertEqual(rouse.get("/function/work").json()["revision"], new)
            rouse.reload({"functions": {"work": work("3", scale={"idle": "1h"})}})
            rouse.wait_line("traffic has moved", 20, count=2)

            def other():  # said when it is decided; the workers learn of it a moment later
                revision = rouse.get("/function/work").json()["revision"]
                return revision if revision != new else None

            newest = wait_for(other, 20, "the new one answers")
            self.assertEqual(len(rouse.whole_log(rf"instance {newest}-\d+ ready after ")), 1, "no other was started for it")
            self.assertEqual(len(rouse.whole_log(rf"instance {new}-\d+ ready after ")), 3, "one was tried, two took calls")

    def test_in_flight_and_parked_survive_any_number_of_reloads(self):
        scale = {"min": 1, "max": 1}
        with Daemon({"functions": {"work": work("0", concurrency=1, scale=scale)}}) as rouse, contextlib.ExitStack() as stack:
            rouse.wait_instances("work", 1)
            callers = [stack.enter_context(rouse.connect()) for _ in range(10)]
            for i, caller in enumerate(callers):
                caller.send_request("POST", f"/function/work/{i}?until={rouse.path}/go", body="x")
            rouse.wait_load("work", 1, 9)
            for version in ("1", "2", "0", "3"):
                rouse.reload({"functions": {"work": work(version, concurrency=1, scale=scale)}})
                self.assertEqual(rouse.get("/function/absent").status, 404)
            (rouse.path / "go").touch()
            self.assertEqual(Counter(caller.read_response().status for caller in callers), {200: 10})
            wait_for(lambda: len(rouse.instances("work")) == 1 and not rouse.function("work")["rollout"], 20)


class Removed(unittest.TestCase):
    def test_nothing_of_it_is_lost(self):
        config = {"work": work(concurrency=1, scale={"min": 1, "max": 1}), "other": fast_function()}
        with Daemon({"functions": config}) as rouse, contextlib.ExitStack() as stack:
            rouse.wait_instances("work", 1)
            callers = [stack.enter_context(rouse.connect()) for _ in range(5)]
            for caller in callers:
                caller.send_request("POST", f"/function/work?until={rouse.path}/go", body="x")
            rouse.wait_load("work", 1, 4)
            rouse.reload({"functions": {"other": fast_function()}})
            self.assertEqual(rouse.get("/function/work").status, 404)
            self.assertEqual(rouse.get("/function/other").status, 200)
            (rouse.path / "go").touch()
            for caller in callers:
                self.assertEqual(caller.read_response("POST").status, 200)
                self.assertEqual(caller.request("GET", "/function/work").status, 404)
            wait_for(lambda: "work" not in rouse.functions(), 20, "all of it is freed")
            wait_for(lambda: not rouse.instance_pids("gated.py"))
            rouse.reload({"functions": config})
            self.assertEqual(rouse.get("/function/work").status, 200, "and it may come back")

    def test_while_it_is_starting(self):
        config = {"work": work("1", "--until", "open"), "other": fast_function()}
        with Daemon({"functions": config}) as rouse, rouse.connect() as caller:
            caller.send_request("POST", "/function/work", body="x")
            rouse.wait_parked("work", 1)
            rouse.reload({"functions": {"other": fast_function()}})
            rouse.reload({"functions": {**config, "other": fast_function()}})
            (rouse.path / "open").touch()
            self.assertEqual(caller.read_response("POST").status, 200)
            self.assertEqual(rouse.get("/function/work").status, 200)


class Restart(unittest.TestCase):
    def test_one_by_one_under_load(self):
        count = 3
        function = work("1", "--quiet", "--linger", "0.05", scale={"min": count, "max": 4})
        with Daemon({"functions": {"work": function}}) as rouse, Load(rouse.port, "/function/work", 6) as load:
            before = {one["name"] for one in rouse.wait_instances("work", count)}
            load.wait_answers(50)
            fewest, most = count, count
            said = rouse.must("restart", "work")
            self.assertIn("one by one", said)

            def replaced():
                nonlocal fewest, most
                shown = rouse.instances("work")
                ready = [one for one in shown if one["state"] == "ready"]
                fewest, most = min(fewest, len(ready)), max(most, len(ready))
                return len(shown) == count and not before & {one["name"] for one in shown}

            wait_for(replaced, 60, "all were replaced", interval=0.002)
            rouse.wait_line(" ready after ", count=2 * count)
            load.wait_answers(50)
            self.assertEqual(fewest, count, "never fewer than before")
            self.assertLessEqual(most, count + 1, "one at a time")
            alive = 0
            for line in rouse.lines:
                alive += (" ready after " in line) - ("SIGTERM with" in line)
                self.assertTrue(" SIGTERM" not in line or alive >= count, "another is ready before one is told to end")
        self.assertEqual(load.failures, [])
        self.assertFalse([line for line in rouse.lines if "late " in line], "no request after SIGTERM")

    def test_of_what_is_at_zero(self):
        with Daemon({"functions": {"work": work()}}) as rouse:
            rouse.must("restart", "work")
            self.assertEqual(rouse.instances("work"), [])
            self.assertEqual(rouse.get("/function/work").status, 200)


if __name__ == "__main__":
    unittest.main()
