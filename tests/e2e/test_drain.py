"""SIGTERM: what is in progress is finished, what comes new is refused, and nothing stays behind."""

import errno

from harness import *


def gated(*args, **keys):
    return python_function("gated.py", *args, **keys)


def refuses_connections(rouse):
    try:
        socket.create_connection(("127.0.0.1", rouse.port), scaled(1)).close()
    except OSError as error:
        return error.errno == errno.ECONNREFUSED
    return False


def index_of(rouse, pattern):
    """Numbers of the log's lines that match."""
    return [i for i, line in enumerate(rouse.lines) if re.search(pattern, line)]


class Drain(unittest.TestCase):
    def test_in_flight_and_parked_are_answered(self):
        config = {"functions": {"work": gated(concurrency=1, scale={"min": 1, "max": 1})}}
        with Daemon(config) as rouse, contextlib.ExitStack() as stack:
            rouse.wait_instances("work", 1)
            callers = [stack.enter_context(rouse.connect()) for _ in range(6)]
            for i, caller in enumerate(callers):
                caller.send_request("POST" if i % 2 else "GET", f"/function/work?until={rouse.path}/go&{i}", body="x" if i % 2 else None)
                rouse.wait_load("work", 1, i)
            idle = stack.enter_context(rouse.connect())
            self.assertEqual(idle.request("GET", "/nowhere").status, 404)
            rouse.signal()
            wait_for(lambda: refuses_connections(rouse), what="new connections are refused")
            unready = rouse.admin("GET", "/readyz")
            self.assertEqual((unready.status, unready.body), (503, b"draining\n"))
            self.assertEqual(rouse.admin("GET", "/healthz").status, 200)
            self.assertEqual(idle.closed_by_peer(), "eof")
            self.assertEqual(rouse.function("work")["parked"], 5, "they still wait")
            (rouse.path / "go").touch()
            for caller in callers:
                answer = caller.read_response()
                self.assertEqual(answer.status, 200, answer)
                self.assertFalse(answer.keep_alive, answer)
                self.assertEqual(caller.closed_by_peer(), "eof")
            self.assertEqual(rouse.wait(), 0)
            rouse.wait_no_orphans()
            (term,) = index_of(rouse, r"SIGTERM with")
            self.assertIn("SIGTERM with 0 in flight", rouse.lines[term])
            self.assertEqual(len(index_of(rouse, r"\] end ")), 6)
            self.assertGreater(term, max(index_of(rouse, r"\] end ")))

    def test_a_cold_start_in_progress_is_waited_for(self):
        rouse = Daemon({"functions": {"slow": gated("--until", "listen")}})
        with rouse, rouse.connect() as caller:
            caller.send_request("POST", "/function/slow", body="x")
            rouse.wait_parked("slow", 1)
            wait_for(lambda: rouse.instance_pids("gated.py"))
            rouse.signal()
            wait_for(lambda: refuses_connections(rouse))
            (rouse.path / "listen").touch()
            self.assertEqual(caller.read_response().status, 200)
            self.assertEqual(rouse.wait(), 0)
            rouse.wait_no_orphans()

    def test_an_instance_that_starts_for_nobody_is_not_waited_for(self):
        with Daemon({"functions": {"slow": gated("--until", "never", scale={"min": 1})}}) as rouse:
            wait_for(lambda: rouse.instance_pids("gated.py"))
            self.assertEqual(rouse.stop(10), 0)
            rouse.wait_no_orphans()

    def test_instances_without_work_end_while_others_are_busy(self):
        with Daemon({"functions": {"work": gated(), "other": python_function("echo.py")}}) as rouse, rouse.connect() as caller:
            self.assertEqual(rouse.get("/function/other").status, 200)
            caller.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1)
            rouse.signal()
            rouse.wait_zero("other")
            self.assertEqual(len(rouse.instances("work", "ready")), 1)
            (rouse.path / "go").touch()
            self.assertEqual(caller.read_response().status, 200)
            self.assertEqual(rouse.wait(), 0)
            (end,), (term,) = index_of(rouse, r"\] end "), index_of(rouse, "SIGTERM with")
            self.assertLess(end, term, "it was told to end when its work was done")

    def test_a_request_that_crosses_the_signal_is_answered(self):
        # A caller that was not told `Connection: close` may send once more; a silent end would lose what it sends.
        with Daemon({"functions": {"work": fast_function()}}) as rouse, rouse.connect() as caller, rouse.connect() as idle:
            for connection in (caller, idle):
                self.assertTrue(connection.request("POST", "/function/work", body="x").keep_alive)
            began = time.monotonic()
            rouse.signal()
            wait_for(lambda: refuses_connections(rouse), interval=0.001)
            caller.send_request("POST", "/function/work", body="y")
            if time.monotonic() - began > 0.7:
                self.skipTest("this machine is too slow for this test")
            answer = caller.read_response()
            self.assertEqual((answer.status, answer.body, answer.keep_alive), (200, b"ok\n", False))
            self.assertEqual(caller.closed_by_peer(), "eof")
            self.assertEqual(idle.closed_by_peer(), "eof")
            self.assertEqual(rouse.wait(10), 0)

    def test_drain_delay_still_accepts(self):
        delay = scaled(1.5)
        config = {"server": {"drain_delay": f"{int(delay * 1000)}ms"}, "functions": {"work": gated()}}
        with Daemon(config) as rouse, rouse.connect() as kept:
            self.assertEqual(kept.request("GET", "/function/work").status, 200)
            began = time.monotonic()
            rouse.signal()
            wait_for(lambda: rouse.admin("GET", "/readyz").status == 503)
            self.assertEqual(rouse.get("/function/work").status, 200, "a new connection")
            self.assertEqual(kept.request("GET", "/function/work").status, 200, "a kept one")
            self.assertLess(time.monotonic() - began, delay, "this machine is too slow for this test")
            self.assertEqual(rouse.wait(), 0)
            self.assertGreaterEqual(time.monotonic() - began, delay - 0.05)

    def test_drain_timeout_cuts_what_hangs(self):
        config = {
            "server": {"drain_timeout": "700ms"},
            "functions": {"work": gated(concurrency=1, scale={"max": 1}), "raw": python_function("raw.py")},
        }
        with Daemon(config) as rouse, rouse.connect() as hangs, rouse.connect() as waits, rouse.connect() as streams:
            streams.send_request("GET", "/function/raw/slow-stream")
            self.assertEqual(streams.read_head().status, 200)
            self.assertEqual(streams.read_chunk(), b"data: 1\n")
            hangs.send_request("GET", f"/function/work?until={rouse.path}/never")
            rouse.wait_load("work", 1)
            waits.send_request("GET", "/function/work")
            rouse.wait_parked("work", 1)
            began = time.monotonic()
            rouse.signal()
            for caller in (hangs, waits):
                answer = caller.read_response()
                self.assertEqual((answer.status, answer.problem()["type"]), (503, "draining"))
                self.assertGreaterEqual(int(answer.header("retry-after")), 1)
                self.assertFalse(answer.keep_alive)
            self.assertGreaterEqual(time.monotonic() - began, 0.7)
            with self.assertRaises(ConnectionResetError, msg="a response that is cut must not look whole"):
                while streams.read_some():
                    pass
            self.assertEqual(rouse.wait(10), 0)
            self.assertLess(time.monotonic() - began, scaled(6))
            rouse.wait_no_orphans()

    def test_a_second_signal_ends_at_once(self):
        for which in (signal.SIGTERM, signal.SIGINT):
            for delay in ("0s", "20s"):
                config = {"server": {"drain_delay": delay}, "functions": {"work": gated(stop_grace="20s")}}
                with self.subTest(which.name, delay=delay), Daemon(config) as rouse, rouse.connect() as caller:
                    caller.send_request("GET", f"/function/work?until={rouse.path}/never")
                    rouse.wait_load("work", 1)
                    rouse.signal(signal.SIGTERM)
                    wait_for(lambda: rouse.admin("GET", "/readyz").status == 503)
                    began = time.monotonic()
                    rouse.signal(which)
                    rouse.wait(10)
                    self.assertLess(time.monotonic() - began, scaled(5))
                    rouse.wait_no_orphans()

    def test_interrupt_from_the_terminal_drains_too(self):
        with Daemon({"functions": {"work": gated()}}) as rouse, rouse.connect() as caller:
            caller.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 1)
            rouse.signal(signal.SIGINT)
            wait_for(lambda: refuses_connections(rouse))
            (rouse.path / "go").touch()
            self.assertEqual(caller.read_response().status, 200)
            self.assertEqual(rouse.wait(), 0)
            rouse.wait_no_orphans()

    def test_an_instance_that_ignores_sigterm_is_killed_after_its_grace(self):
        shell = ["sh", "-c", f"trap '' TERM; {PYTHON} {FUNCTIONS / 'gated.py'} & wait; while :; do wait; sleep 1; done"]
        with Daemon({"functions": {"work": {"command": shell, "stop_grace": "500ms"}}}) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            began = time.monotonic()
            self.assertEqual(rouse.stop(10), 0)
            self.assertGreaterEqual(time.monotonic() - began, 0.5)
            rouse.wait_no_orphans()


if __name__ == "__main__":
    unittest.main()
