"""More instances for more work, one request at a time where that is asked for, and the bounds of what may wait."""

import random
import statistics
from collections import Counter

from harness import *
from load import closed_loop, wait_metric


def one_at_a_time(**keys):
    """One instance that takes one request at a time."""
    return python_function("gated.py", concurrency=1, scale={"min": 1, "max": 1}, **keys)


class Overload(unittest.TestCase):
    def test_two_hundred_callers_wake_a_function_of_ten(self):
        callers, requests = (50, 10) if is_sanitized() else (200, 50)
        function = python_function("gated.py", "--quiet", concurrency=1, scale={"max": 10})
        with Daemon({"functions": {"work": function}}) as rouse:
            samples = closed_loop(rouse.port, "/function/work?work=0.02", callers, requests, scaled(120))
            self.assertEqual(Counter(sample.status for sample in samples), {200: callers * requests})
            answers = [(sample, json.loads(sample.body)) for sample in samples]
            self.assertEqual(max(body["most_in_flight"] for _, body in answers), 1)
            first = {}
            for sample, body in answers:
                first[body["pid"]] = min(sample.answered, first.get(body["pid"], sample.answered))
            self.assertEqual(len(first), 10, "as many instances as allowed")
            self.assertEqual(rouse.function("work")["cold_starts"], 10)
            if is_sanitized():
                return  # what follows is about time
            all_ready = max(first.values())
            later = [(sample, body) for sample, body in answers if sample.sent > all_ready]
            self.assertGreater(len(later), callers * requests / 2, "most of the work is done by all ten")
            waits = [sample.took - 0.02 for sample, _ in later]
            median, longest = statistics.median(waits), max(waits)
            self.assertLessEqual(longest, 2 * median, f"median {median:.3f} s, longest {longest:.3f} s")
            shares = Counter(body["pid"] for _, body in later)
            mean = sum(shares.values()) / 10
            print(f"wait: median {median * 1000:.0f} ms, longest {longest * 1000:.0f} ms; shares {sorted(shares.values())}", end=" ")
            for pid, count in shares.items():
                self.assertAlmostEqual(count, mean, delta=0.2 * mean, msg=f"{pid} of {shares}")

    def test_never_above_the_limit_with_few_slots_each(self):
        function = python_function("gated.py", "--quiet", concurrency=3, scale={"max": 2})
        with Daemon({"functions": {"work": function}}) as rouse:
            with ThreadPoolExecutor(1) as pool:  # the first six hold all slots until both instances are there
                target = f"/function/work?until={rouse.path}/go&work=0.005"
                calls = pool.submit(closed_loop, rouse.port, target, 30, 10, scaled(60))
                try:
                    rouse.wait_load("work", 6, 24)
                finally:
                    (rouse.path / "go").touch()
                samples = calls.result()
            self.assertEqual(Counter(sample.status for sample in samples), {200: 300})
            bodies = [json.loads(sample.body) for sample in samples]
            self.assertEqual(max(body["most_in_flight"] for body in bodies), 3)
            self.assertEqual(len({body["pid"] for body in bodies}), 2)

    def test_scales_in_to_min_and_no_further(self):
        function = python_function("gated.py", concurrency=1, scale={"min": 1, "max": 3, "idle": "300ms"})
        with Daemon({"functions": {"work": function}}) as rouse:
            rouse.wait_instances("work", 1)
            callers = [rouse.connect() for _ in range(3)]
            for caller in callers:
                caller.send_request("GET", f"/function/work?until={rouse.path}/go")
            rouse.wait_load("work", 3)
            rouse.wait_instances("work", 3)
            (rouse.path / "go").touch()
            for caller in callers:
                self.assertEqual(caller.read_response().status, 200)
                caller.close()
            rouse.wait_instances("work", 1, None)
            decisions = rouse.function("work")["decisions"]
            self.assertTrue(any("min is 1" in decision["reason"] for decision in decisions), decisions)
            self.assertEqual(rouse.function("work")["desired"], 1)

    def test_scaling_up_and_down_all_the_time_loses_nothing(self):
        function = fast_function(3, 2, concurrency=1, scale={"max": 6, "idle": "30ms"})
        with Daemon({"functions": {"work": function}}) as rouse:

            enough = threading.Event()  #: instances came and went

            def watch():
                wait_for(lambda: rouse.function("work")["cold_starts"] > 6, 35, "more starts than there may be instances", 0.05)
                enough.set()

            def call(number):
                rng, sent = random.Random(number), 0
                with rouse.connect() as caller:
                    began = time.monotonic()
                    while time.monotonic() < began + 3 or not (enough.is_set() or time.monotonic() > began + scaled(30)):
                        if time.monotonic() % 0.5 > 0.35:  # all rest at once, longer than `idle`
                            time.sleep(0.5 - time.monotonic() % 0.5)
                        answer = caller.request("POST" if rng.random() < 0.5 else "GET", "/function/work")
                        self.assertEqual((answer.status, answer.body), (200, b"xxx"))
                        sent += 1
                        time.sleep(rng.choice((0, 0, 0.01, 0.03, 0.1)))  # bursts and pauses around `idle`
                return sent

            with ThreadPoolExecutor(1) as pool:
                watched = pool.submit(watch)
                sent = sum(parallel(12, call))
                watched.result()
            wait_metric(rouse, sent, "rouse_requests_total", function="work", code="200")
            wait_metric(rouse, 0, "rouse_requests_in_flight", function="work")
            self.assertEqual(rouse.metric("rouse_retries_total", function="work"), 0, "none was sent to one that ended")
            rouse.wait_zero("work")
            wait_for(lambda: not [p for p in rouse.descendants() if "fast_function" in "".join(command_line(p)[:1])])

    def test_only_idle_instances_are_stopped(self):
        scale = {"max": 2, "utilization": 1, "window": "1s"}
        function = python_function("gated.py", concurrency=1, scale=scale)
        with Daemon({"functions": {"work": function}}) as rouse, rouse.connect() as long, rouse.connect() as short:
            long.send_request("GET", f"/function/work?until={rouse.path}/long")
            rouse.wait_load("work", 1)
            busy = rouse.instances("work", "ready")[0]["name"]
            self.assertEqual(short.request("GET", "/function/work").status, 200)
            rouse.wait_instances("work", 1, None)
            self.assertEqual(rouse.instances("work")[0]["name"], busy)
            (rouse.path / "long").touch()
            self.assertEqual(long.read_response().status, 200)


class Queue(unittest.TestCase):
    def occupied(self, rouse, name="work"):
        """A caller that holds the only slot until release()."""
        rouse.wait_instances(name, 1)
        caller = rouse.connect()
        self.addCleanup(caller.close)
        caller.send_request("GET", f"/function/{name}?until={rouse.path}/go")
        rouse.wait_load(name, 1)
        return caller

    def release(self, rouse):
        (rouse.path / "go").touch()

    def test_first_in_first_out(self):
        for workers in (1, 2):
            config = {"server": {"workers": workers}, "functions": {"work": one_at_a_time()}}
            with self.subTest(workers=workers), Daemon(config) as rouse, contextlib.ExitStack() as stack:
                first = self.occupied(rouse)
                waiting = []
                for i in range(20):
                    waiting.append(stack.enter_context(rouse.connect()))
                    waiting[-1].send_request("POST" if i % 3 else "GET", f"/function/work?{i}", body="x" if i % 3 else None)
                    rouse.wait_parked("work", i + 1)
                self.release(rouse)
                self.assertEqual(first.read_response().json()["number"], 1)
                numbers = [caller.read_response().json()["number"] for caller in waiting]
                self.assertEqual(numbers, list(range(2, 22)))

    def test_no_more_than_max_requests_wait(self):
        with Daemon({"functions": {"work": one_at_a_time(queue={"max_requests": 2})}}) as rouse:
            first = self.occupied(rouse)
            with rouse.connect() as second, rouse.connect() as third:
                for caller in (second, third):
                    caller.send_request("GET", "/function/work")
                rouse.wait_parked("work", 2)
                with rouse.connect() as fourth:
                    for _ in range(2):  # the connection stays usable
                        refused = fourth.request("GET", "/function/work")
                        self.assertEqual(refused.status, 503)
                        problem = refused.problem()
                        self.assertEqual((problem["type"], problem["function"]), ("queue-full", "work"))
                        self.assertGreaterEqual(int(refused.header("retry-after")), 1)
                self.release(rouse)
                for caller in (first, second, third):
                    self.assertEqual(caller.read_response().status, 200)
            wait_metric(rouse, 2, "rouse_shed_total", function="work", reason="queue-full")
            wait_metric(rouse, 2, "rouse_requests_total", function="work", code="503")
            self.assertEqual(rouse.get("/function/work").status, 200)

    def test_no_more_than_max_bytes_wait(self):
        limit = 128 * 1024
        with Daemon({"functions": {"work": one_at_a_time(queue={"max_bytes": "128KiB"})}}) as rouse, contextlib.ExitStack() as stack:
            first = self.occupied(rouse)
            waiting = []
            refused = None
            while not refused:
                caller = stack.enter_context(rouse.connect())
                caller.send_request("POST", "/function/work", body="z" * 10000)
                # Either it is parked or it is answered.
                parked = len(waiting) + 1
                wait_for(lambda: rouse.function("work")["parked"] == parked or caller.readable())
                if caller.readable():
                    refused = caller.read_response("POST")
                else:
                    waiting.append(caller)
                self.assertLessEqual(rouse.function("work")["parked_bytes"], limit)
                self.assertLess(len(waiting), 128, "more waits than `max_bytes` allows")
            self.assertEqual((refused.status, refused.problem()["type"]), (503, "queue-full"))
            self.assertGreaterEqual(len(waiting), 2)
            self.release(rouse)
            for caller in (first, *waiting):
                self.assertEqual(caller.read_response().status, 200)
            self.assertEqual(rouse.function("work")["parked_bytes"], 0)

    def test_no_longer_than_max_wait(self):
        with Daemon({"functions": {"work": one_at_a_time(queue={"max_wait": "300ms"})}}) as rouse:
            first = self.occupied(rouse)
            began = time.monotonic()
            late = rouse.post("/function/work", "body")
            took = time.monotonic() - began
            self.assertEqual((late.status, late.problem()["type"]), (504, "park-timeout"))
            self.assertGreaterEqual(took, 0.3)
            self.assertLess(took, scaled(3))
            self.assertEqual(rouse.function("work")["parked"], 0)
            self.release(rouse)
            self.assertEqual(first.read_response().status, 200)
            self.assertEqual(rouse.get("/function/work").status, 200)
            wait_metric(rouse, 1, "rouse_shed_total", function="work", reason="park-timeout")

    def test_who_leaves_frees_the_place_at_once(self):
        with Daemon({"functions": {"work": one_at_a_time(queue={"max_requests": 1})}}) as rouse:
            first = self.occupied(rouse)
            leaving = {
                "close": lambda caller: caller.close(),
                "half-close": lambda caller: caller.shutdown_write(),
                "reset": lambda caller: caller.reset(),
            }
            for how, leave in leaving.items():
                for body in (None, "y" * 20000):
                    with self.subTest(how, body=bool(body)), rouse.connect() as caller:
                        caller.send_request("POST", f"/function/work?left={how}", body=body)
                        rouse.wait_parked("work", 1)
                        self.assertEqual(rouse.get("/function/work").status, 503, "the only place is taken")
                        leave(caller)
                        rouse.wait_parked("work", 0, timeout=2)
            with rouse.connect() as second:
                second.send_request("GET", "/function/work?second")
                rouse.wait_parked("work", 1)
                self.release(rouse)
                self.assertEqual(first.read_response().status, 200)
                answer = second.read_response()
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.json()["number"], 2, "what left was never forwarded")
            self.assertEqual(rouse.function("work")["parked_bytes"], 0)
            self.assertEqual(rouse.whole_log("begin .*left="), [])


if __name__ == "__main__":
    unittest.main()
