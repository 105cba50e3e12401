"""Instances that run and do not work, and what shields callers: ejection, limits of rate, what is said in place of an error, and
retries that cannot bury a function."""

from harness import *
from load import Load, wait_metric


def work(*args, **keys):
    """Failures in a row make an instance sick after five."""
    return python_function("gated.py", "--quiet", *args, **{"concurrency": 10, "stop_grace": "500ms", **keys})


class Sick(unittest.TestCase):
    CALLERS = 8

    def fall_ill(self, rouse, how):
        """Makes one of the instances sick; its pid."""
        pid = rouse.get("/function/work").json()["pid"]
        write_whole(rouse.path / str(pid), how)
        return pid

    def ejected_and_replaced(self, how):
        """One of four goes bad, and is made good later: few callers notice, there are four again, and it comes back."""
        outlier = {"failures": 5, "eject": duration(2.5)}
        function = work(scale={"min": 4, "max": 8}, outlier=outlier, timeout="500ms" if how == "hang" else "60s")
        with Daemon({"functions": {"work": function}}) as rouse:
            before = {one["name"] for one in rouse.wait_instances("work", 4)}
            with Load(rouse.port, f"/function/work?sick={rouse.path}", self.CALLERS) as load:
                load.wait_answers(50, 60)
                self.assertEqual(load.failures, [])
                pid = self.fall_ill(rouse, how)
                rouse.wait_log("failed [0-9]+ times in a row: it gets no work", 30)
                ejected = wait_for(lambda: rouse.instances("work", "ejected"), what="one is ejected", interval=0.002)
                self.assertEqual(len(ejected), 1)
                self.assertIn(ejected[0]["name"], before)
                # Those it had taken by then are answered as it likes; no more come.
                wait_for(lambda: [i["in_flight"] for i in rouse.instances("work", "ejected")] in ([0], []), 20)
                load.wait_turn()
                seen = len(load.failures)
                wait_for(lambda: len(rouse.instances("work", "ready")) >= 4, 20, "another one took its place")
                (rouse.path / str(pid)).unlink()
                load.wait_answers(50, 60)
                self.assertEqual(load.failures[seen:], [], "nobody was sent there any more")
                self.assertGreater(seen, 0)
                self.assertLessEqual(seen, outlier["failures"] + self.CALLERS)
                wanted = {"500": "500 after", "reset": "502 after", "hang": "504 after"}[how]
                self.assertTrue(all(failure.startswith(wanted) for failure in load.failures), load.failures)
                self.assertEqual(rouse.metric("rouse_ejections_total", function="work"), 1)
                rouse.wait_log("may have work again", 20)
                load.wait_answers(50, 60)
                self.assertEqual(len(load.failures), seen)

    def test_errors(self):
        self.ejected_and_replaced("500")

    def test_resets(self):
        self.ejected_and_replaced("reset")

    def test_time_outs(self):
        self.ejected_and_replaced("hang")

    def test_comes_back_to_work_and_goes_again(self):
        """Where there is no room for another one: it is tried again, and stays away for longer the second time."""
        function = work(scale={"min": 3, "max": 3}, outlier={"failures": 3, "eject": "400ms"}, pools=["one"])
        with Daemon({"pools": {"one": {"max_instances": 3}}, "functions": {"work": function}}) as rouse:
            rouse.wait_instances("work", 3)
            with Load(rouse.port, f"/function/work?sick={rouse.path}", self.CALLERS) as load:
                load.tag = lambda body: json.loads(body)["pid"]
                load.wait_answers(30)
                pid = self.fall_ill(rouse, "500")
                wait_for(lambda: rouse.metric("rouse_ejections_total", function="work") >= 2, 30, "ejected once more")
                rouse.wait_log("it gets no work for 400")
                rouse.wait_log("it gets no work for 800")
                self.assertEqual(rouse.pools()["one"]["instances"], 3)
                (rouse.path / str(pid)).unlink()
                load.tags.clear()
                wait_for(lambda: load.tags[pid] >= 10, 30, "it works again")
                times = rouse.metric("rouse_ejections_total", function="work")
                self.assertLessEqual(len(load.failures), times * (3 + self.CALLERS))
                self.assertEqual(len(rouse.instances("work", "ready")), 3)

    def test_at_most_half(self):
        """All of them fail: that is the function's fault, and its own answers are what callers get."""
        function = work(scale={"min": 4, "max": 4}, outlier={"failures": 3, "eject": "60s"}, pools=["one"])
        with Daemon({"pools": {"one": {"max_instances": 4}}, "functions": {"work": function}}) as rouse:
            rouse.wait_instances("work", 4)
            with Load(rouse.port, "/function/work?status=500", self.CALLERS) as load:
                wait_for(lambda: len(rouse.instances("work", "ejected")) == 2, 20)
                at = load.answered
                wait_for(lambda: load.answered > at + 200, 60)
                self.assertEqual(len(rouse.instances("work", "ejected")), 2)
            self.assertEqual(set(load.statuses), {500}, load.failures[:5])

    def test_the_only_one_is_replaced(self):
        function = work(scale={"max": 1}, outlier={"failures": 3, "eject": "60s"})
        with Daemon({"functions": {"work": function}}) as rouse, rouse.connect() as caller:
            pid = caller.request("GET", "/function/work").json()["pid"]
            write_whole(rouse.path / str(pid), "500")
            for _ in range(3):
                self.assertEqual(caller.request("POST", f"/function/work?sick={rouse.path}").status, 500)
            wait_for(lambda: rouse.instances("work", "ejected"))
            answer = caller.request("POST", f"/function/work?sick={rouse.path}")
            self.assertEqual(answer.status, 200)
            self.assertNotEqual(answer.json()["pid"], pid)

    def test_not_where_it_is_switched_off_nor_for_4xx(self):
        functions = {"off": work(outlier={"failures": 0}), "on": work(outlier={"failures": 3})}
        with Daemon({"functions": functions}) as rouse:
            for name, status in (("off", 500), ("on", 404)):
                for _ in range(20):
                    self.assertEqual(rouse.get(f"/function/{name}?status={status}").status, status)
                self.assertEqual(len(rouse.wait_instances(name, 1)), 1)
                self.assertEqual(rouse.metric("rouse_ejections_total", function=name), 0)


class Limits(unittest.TestCase):
    def test_rate(self):
        functions = {"slow": work(rate_limit={"rps": 0.5, "burst": 3}, scale={"min": 1}), "other": work()}
        with Daemon({"server": {"workers": 2}, "functions": functions}) as rouse:
            rouse.wait_instances("slow", 1)
            with rouse.connect() as one, rouse.connect() as other:
                began = time.monotonic()
                got = [caller.request("POST", "/function/slow", body="x") for caller in (one, other, one, other, one)]
                most = 3 + int((time.monotonic() - began) * 0.5)  # a machine that needs 2 s for that earns one more
                good, refused = [one for one in got if one.status == 200], [one for one in got if one.status == 429]
                self.assertEqual([answer.status for answer in got[:3]], [200, 200, 200])
                self.assertEqual(len(good) + len(refused), 5, got)
                self.assertLessEqual(len(good), most)
                for answer in refused:
                    problem = answer.problem()
                    self.assertEqual((problem["type"], problem["function"]), ("rate-limited", "slow"))
                    self.assertIn(int(answer.header("retry-after")), (1, 2))
                self.assertEqual(one.request("GET", "/function/other").status, 200)
                wait_metric(rouse, len(refused), "rouse_shed_total", function="slow", reason="rate-limited")
                wait_metric(rouse, len(refused), "rouse_requests_total", function="slow", code="429")
                began = time.monotonic()
                wait_for(lambda: one.request("GET", "/function/slow").status == 200, 10, interval=0.05)
                self.assertLess(time.monotonic() - began, scaled(4))
                rouse.reload({"functions": {**functions, "slow": work()}})
                self.assertEqual([one.request("GET", "/function/slow").status for _ in range(20)], [200] * 20)

    def test_retry_budget(self):
        """Thirty GETs break at once: a fifth of them may be tried again, the others are told."""
        count = 30
        for budget, least, most in (("20%", 3, 6), ("100%", count, count), ("0%", 0, 0)):
            function = work(concurrency=100, outlier={"failures": 0}, retry={"attempts": 2, "budget": budget}, scale={"min": 1, "max": 1})
            with self.subTest(budget), Daemon({"server": {"workers": 1}, "functions": {"work": function}}) as rouse:
                with contextlib.ExitStack() as stack:
                    rouse.wait_instances("work", 1)
                    (pid,) = rouse.instance_pids("gated.py")  # not by asking: a connection that was used before may be replaced
                    write_whole(rouse.path / str(pid), "hang")
                    callers = [stack.enter_context(rouse.connect()) for _ in range(count)]
                    for caller in callers:  # each try takes its time, so that all second ones overlap
                        caller.send_request("GET", f"/function/work?work={scaled(1)}&sick={rouse.path}")
                    rouse.wait_load("work", count)
                    hangs = rouse.path / f"{pid}.hangs"
                    wait_for(lambda: hangs.exists() and hangs.stat().st_size == count, 30, "all hang")
                    (rouse.path / str(pid)).unlink()
                    answers = [caller.read_response() for caller in callers]
                    good = [answer for answer in answers if answer.status == 200]
                    bad = [answer for answer in answers if answer.status != 200]
                    self.assertTrue(all(answer.problem()["type"] == "instance-failed" for answer in bad), bad)
                    self.assertTrue(least <= len(good) <= most, f"{len(good)} of {count} were tried again")
                    wait_metric(rouse, len(bad), "rouse_shed_total", function="work", reason="retry-budget")
                    self.assertEqual(rouse.metric("rouse_retries_total", function="work"), len(good))


class Fallback(unittest.TestCase):
    FALLBACK = {"status": 203, "content_type": "application/json", "body": '{"degraded":true}'}

    def degraded(self, answer):
        self.assertEqual((answer.status, answer.header("content-type")), (203, "application/json"), answer)
        self.assertEqual(answer.json(), {"degraded": True})

    def test_in_place_of_rouses_own(self):
        functions = {
            "broken": python_function("trouble.py", "exit", fallback=self.FALLBACK),
            "late": work(timeout="200ms", fallback=self.FALLBACK),
            "full": work(concurrency=1, scale={"min": 1, "max": 1}, queue={"max_requests": 1, "max_wait": "200ms"}, fallback=self.FALLBACK),
            "raw": python_function("raw.py", fallback=self.FALLBACK),
        }
        with Daemon({"functions": functions}) as rouse, rouse.connect() as holder, rouse.connect() as caller:
            rouse.wait_instances("full", 1)
            self.degraded(caller.request("GET", "/function/broken"))
            self.degraded(caller.request("GET", "/function/broken"))
            self.degraded(caller.request("GET", f"/function/late?until={rouse.path}/never"))
            self.degraded(caller.request("POST", "/function/raw/drop", body="x"))
            self.degraded(caller.request("POST", "/function/raw/bad/garbage", body="x"))
            holder.send_request("GET", f"/function/full?until={rouse.path}/go")
            rouse.wait_load("full", 1)
            self.degraded(caller.request("GET", "/function/full"))  # waits in vain
            (rouse.path / "go").touch()
            self.assertEqual(holder.read_response().status, 200)
            wait_metric(rouse, 2, "rouse_requests_total", function="broken", code="203")

    def test_never_in_place_of_the_functions_own(self):
        functions = {"work": work(fallback=self.FALLBACK, rate_limit={"rps": 0.01, "burst": 4}, outlier={"failures": 0})}
        with Daemon({"functions": functions}) as rouse, rouse.connect() as caller:
            for status in (500, 503, 404, 599):
                answer = caller.request("GET", f"/function/work?status={status}")
                self.assertEqual(answer.status, status)
                self.assertIn("pid", answer.json())
            self.assertEqual(caller.request("GET", "/function/work").status, 429, "the caller's fault stays the caller's")
            self.assertEqual(caller.request("GET", "/function/work@nothing").status, 404)


if __name__ == "__main__":
    unittest.main()
