"""`to_zero: freeze`: an idle instance does not run, the next request wakes it, and whatever becomes of it meanwhile is no
caller's problem."""

from harness import *
from load import Load


def frozen(function, idle="50ms", **scale):
    """The function's config with freezing; `scale` holds more keys of it."""
    return {**function, "scale": {"to_zero": "freeze", "idle": idle, **scale, **function.get("scale", {})}}


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Frozen(unittest.TestCase):
    def wait_frozen(self, rouse, name="work", count=1):
        rouse.wait_instances(name, count, "frozen")
        wait_for(lambda: self.all_stopped(rouse, "gated.py", count), what="it does not run")

    def all_stopped(self, rouse, text, count):
        pids = rouse.instance_pids(text)
        return len(pids) == count and all(is_frozen(pid) for pid in pids)

    def test_no_cpu_while_idle_and_the_next_request_wakes_it(self):
        function = frozen(python_function("trouble.py", "family"))
        with Daemon({"functions": {"work": function}}) as rouse:
            first = rouse.get("/function/work").json()
            rouse.wait_instances("work", 1, "frozen")

            def family():  # children in sessions of their own, and theirs
                mine = [pid for pid in rouse.descendants() if command_line(pid)[:1] == ["sleep"]]
                mine += rouse.instance_pids("gated.py")
                return mine if len(mine) == 9 and all(is_frozen(pid) for pid in mine) else None

            pids = wait_for(family, what="all nine are stopped")
            before = {pid: cpu_ticks(pid) for pid in pids}
            metric = 'state="frozen"'
            wait_for(lambda: any(metric in series and value == 1 for series, value in rouse.metrics().items()))
            self.assertEqual(rouse.function("work")["desired"], 0)
            self.assertIn("frozen", rouse.must("status", "work"))
            self.assertEqual({pid: cpu_ticks(pid) for pid in pids}, before)
            began = time.monotonic()
            second = rouse.post("/function/work", "x")
            took = time.monotonic() - began
            self.assertEqual((second.status, second.json()["pid"]), (200, first["pid"]))
            self.assertLess(took, scaled(2))
            shown = rouse.function("work")
            self.assertEqual((shown["cold_starts"], shown["revisions"][0]["thaws"]), (1, 1))
            wait_for(family, what="all nine are stopped again")

    def cycles(self, function, count):
        """Callers who keep their connections, each time after it froze."""
        file = Path(function["command"][-1]).name
        with Daemon({"functions": {"work": frozen(function, "20ms")}}) as rouse:
            with rouse.connect() as one, rouse.connect() as other:
                for i in range(count):
                    for caller in (one, other) if i % 3 else (other,):
                        answer = caller.request("POST" if i % 2 else "GET", f"/function/work/{i}", body="x" if i % 2 else None)
                        self.assertEqual(answer.status, 200, f"cycle {i}: {answer}")
                    rouse.wait_instances("work", 1, "frozen")
                    if i % 2:  # who comes before it is stopped wakes nothing
                        (pid,) = rouse.instance_pids(file)
                        wait_for(lambda: is_frozen(pid), what="it does not run")
            shown = rouse.function("work")
            self.assertEqual(shown["cold_starts"], 1)
            self.assertGreaterEqual(shown["revisions"][0]["thaws"], count // 2 - 1)
            self.assertEqual(rouse.metric("rouse_retries_total", function="work"), 0)

    def test_many_cycles_python(self):
        self.cycles(python_function("echo.py"), 40)

    def test_many_cycles_node(self):
        self.cycles(node_function("plain.js"), 40)

    def test_many_cycles_node_that_closes_its_connections(self):
        """They are overdue whenever it wakes up: none of them may be used."""
        self.cycles(node_function("plain.js", env={"KEEP_ALIVE_MS": "10"}), 40)

    def edge(self, function):
        """Callers whose pauses are as long as `idle`: each moment of freezing is met by a request sooner or later."""
        with Daemon({"functions": {"work": frozen(function, "15ms")}}) as rouse:
            with Load(rouse.port, "/function/work", 1, think=0.015) as load:
                goal, thaws = time.monotonic() + scaled(4), 0
                while (time.monotonic() < goal or thaws <= 10) and not load.failures:
                    self.assertLess(time.monotonic(), goal + scaled(60), f"only {thaws} thaws")
                    for think in (0.013, 0.015, 0.017, 0.03):
                        load.think = think
                        load.wait_answers(10)
                    thaws = rouse.function("work")["revisions"][0]["thaws"]
            self.assertEqual(load.failures, [])
            self.assertEqual(rouse.function("work")["cold_starts"], 1)

    def test_at_the_edge_of_idle_python(self):
        self.edge(python_function("echo.py"))

    def test_at_the_edge_of_idle_node(self):
        self.edge(node_function("plain.js"))

    def test_many_at_once_wake_it_and_more(self):
        function = frozen(python_function("gated.py", "--quiet", concurrency=1, scale={"max": 4}))
        with Daemon({"functions": {"work": function}}) as rouse:
            pid = rouse.get("/function/work").json()["pid"]
            self.wait_frozen(rouse)
            answers = parallel(12, lambda i: rouse.post("/function/work?work=0.05", "x"))
            self.assertEqual([answer.status for answer in answers], [200] * 12)
            self.assertIn(pid, {answer.json()["pid"] for answer in answers})
            self.assertEqual(max(answer.json()["most_in_flight"] for answer in answers), 1)

    def test_min_is_not_frozen(self):
        function = frozen(python_function("gated.py", "--quiet", concurrency=1), min=1, window="1s")
        with Daemon({"functions": {"work": function}}) as rouse, contextlib.ExitStack() as stack:
            callers = [stack.enter_context(rouse.connect()) for _ in range(2)]
            for caller in callers:
                caller.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 2)
            (rouse.path / "go").touch()
            for caller in callers:
                self.assertEqual(caller.read_response().status, 200)
            rouse.wait_instances("work", 1, "ready")
            self.assertEqual(rouse.instances("work", "frozen"), [])

    def test_frozen_for(self):
        function = frozen(python_function("gated.py", stop_grace="10s"), frozen_for=duration(1))
        with Daemon({"functions": {"work": function}}) as rouse:
            asked = time.monotonic()
            first = rouse.get("/function/work").json()["pid"]
            rouse.wait_instances("work", 1, "frozen")
            rouse.wait_zero("work")
            self.assertGreaterEqual(time.monotonic() - asked, scaled(1))
            rouse.wait_log("SIGTERM with 0 in flight")  # told politely, and could act on it
            second = rouse.get("/function/work").json()["pid"]
            self.assertNotEqual(first, second)
            self.assertEqual(rouse.function("work")["cold_starts"], 2)

    def test_killed_while_frozen(self):
        with Daemon({"functions": {"work": frozen(python_function("gated.py", "--quiet"))}}) as rouse, rouse.connect() as caller:
            for number in range(5):
                before = caller.request("POST", "/function/work", body="x")
                self.assertEqual(before.status, 200)
                self.wait_frozen(rouse)
                (pid,) = rouse.instance_pids("gated.py")
                os.kill(pid, signal.SIGKILL)
                if number > 0:
                    rouse.wait_zero("work")
                # The first time the next request may come before the death is known, and reach what is just dying: then
                # only one that may be tried again is safe.
                after = caller.request("POST" if number else "GET", "/function/work", body="x" if number else None)
                self.assertEqual(after.status, 200, after)
                self.assertNotEqual(after.json()["pid"], pid)

    def test_makes_room(self):
        functions = {name: frozen(python_function("gated.py", "--quiet", concurrency=1, pools=["one"])) for name in "abc"}
        with Daemon({"pools": {"one": {"max_instances": 2}}, "functions": functions}) as rouse:
            for name in ("a", "b"):
                self.assertEqual(rouse.get(f"/function/{name}").status, 200)
                rouse.wait_instances(name, 1, "frozen")
            self.assertEqual(rouse.get("/function/c").status, 200, "the one that was frozen longest went")
            self.assertEqual((rouse.instances("a"), len(rouse.instances("b"))), ([], 1))
            self.assertEqual(rouse.get("/function/b").status, 200)
            self.assertEqual(rouse.function("b")["cold_starts"], 1)
            for name in "abcabc":
                self.assertEqual(rouse.post(f"/function/{name}", "x").status, 200)
            self.assertLessEqual(rouse.pools()["one"]["instances"], 2)

    def test_reload_restart_and_removal(self):
        def config(version, **more):
            return {"functions": {"work": frozen(python_function("gated.py", "--quiet", env={"VERSION": version})), **more}}

        with Daemon(config("1", other=fast_function())) as rouse:
            first = rouse.get("/function/work").json()
            self.wait_frozen(rouse)
            rouse.reload(config("2", other=fast_function()))
            wait_for(lambda: first["pid"] not in rouse.instance_pids("gated.py"), 20, "the old one ends, though frozen")
            second = rouse.get("/function/work").json()
            self.assertNotEqual(second["revision"], first["revision"])
            self.wait_frozen(rouse)
            rouse.must("restart", "work")
            wait_for(lambda: second["pid"] not in rouse.instance_pids("gated.py"), 20, "what is frozen is replaced too")
            self.assertEqual(rouse.get("/function/work").status, 200)
            self.wait_frozen(rouse)
            rouse.reload({"functions": {"other": fast_function()}})
            wait_for(lambda: not rouse.instance_pids("gated.py"), 20)
            wait_for(lambda: "work" not in rouse.functions(), 20)

    def test_nothing_is_left(self):
        for end in ("drain", "kill"):
            with self.subTest(end), Daemon({"functions": {"work": frozen(python_function("trouble.py", "family"))}}) as rouse:
                self.assertEqual(rouse.get("/function/work").status, 200)
                rouse.wait_instances("work", 1, "frozen")
                wait_for(lambda: self.all_stopped(rouse, "gated.py", 1))
                before = rouse.descendants()
                if end == "drain":
                    rouse.must("drain")
                    began = time.monotonic()
                    self.assertEqual(rouse.wait(), 0)
                    self.assertLess(time.monotonic() - began, scaled(10))
                    self.assertIn("SIGTERM with 0 in flight", rouse.log)
                else:
                    rouse.kill()
                wait_for(lambda: not [pid for pid, at in before.items() if process_alive(pid, at)], 10, "all are gone")


if __name__ == "__main__":
    unittest.main()
