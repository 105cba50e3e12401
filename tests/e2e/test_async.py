"""Invocations that are queued: what is answered 202 is made, tried again and given up as the configuration says, through
crashes, and its caller can ask what came of it. Also cron: one trigger runs beside all tests, for a minute is long."""

from harness import *
from test_events import receiver

CRON = {}


def setUpModule():
    """Starts the daemon whose cron trigger the last test looks at."""
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    path = CRON["path"] = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rouse-cron-")))
    CRON["config"] = {
        "server": {"data_dir": f"{path}/data"},
        "functions": {"report": receiver(path)},
        "triggers": {"minutely": {"cron": "* * * * *", "data": {"full": True}, "function": "report"}},
    }
    CRON["rouse"] = stack.enter_context(Daemon(CRON["config"]))


class AsyncCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rouse-async-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        self.gate = self.path / "open"

    def config(self, functions=None, routes=(), **invocations):
        """One function, `work`, with `async: {invocations}`, unless there are others."""
        functions = functions or {"work": receiver(self.path, **{"async": invocations})}
        return {"server": {"data_dir": f"{self.path}/data"}, "functions": functions, "routes": list(routes)}

    def rules(self, *rules, name="got"):
        draft = self.path / f"{name}.draft"
        draft.write_text(json.dumps(rules))
        draft.rename(self.path / f"{name}.rules.json")

    def got(self, name="got", file="jsonl"):
        return json_lines(self.path / f"{name}.{file}")

    def paths(self, name="got", file="jsonl"):
        return [one["path"] for one in self.got(name, file)]

    def wait_begun(self, *paths, name="got"):
        wait_for(lambda: set(paths) <= set(self.paths(name, "jsonl.begun")), 30, f"{name} has begun with {paths}")

    def invoke(self, rouse, target, body=b"", headers=(), method="POST"):
        """The ID of an invocation that was taken."""
        return self.taken(rouse.request(method, target, headers, body))

    def taken(self, answer):
        self.assertEqual(answer.status, 202, answer)
        where = answer.header("location")
        self.assertRegex(where, r"\A/invocations/[0-9A-Za-z_-]{22,}\Z")
        said = answer.json()
        self.assertEqual((said["status_url"], said["response_url"]), (where, where + "/response"))
        self.assertEqual("/invocations/" + said["id"], where)
        return said["id"]

    def status(self, rouse, id):
        answer = rouse.get(f"/invocations/{id}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def wait_state(self, rouse, id, state, timeout=30):
        def as_wanted():
            found = self.status(rouse, id)
            self.assertEqual(found["state"], state, found)
            return found

        return wait_for(as_wanted, timeout, f"{id} is {state}")

    def response(self, rouse, id):
        return rouse.get(f"/invocations/{id}/response")

    def dead(self, rouse):
        return rouse.admin("GET", "/api/v1/dead-letters").json()["dead_letters"]


class Calls(AsyncCase):
    def test_the_function_sees_the_request_and_its_answer_is_kept(self):
        answer = {"match": "", "status": 201, "headers": {"X-Own": "yes", "Content-Type": "text/plain"}, "body": "made"}
        self.rules({**answer, "wait": str(self.gate)})
        with Daemon(self.config()) as rouse:
            self.assertEqual(rouse.instances("work"), [])  # it is woken from zero
            headers = {"X-Request-Id": "mine-1", "X-Custom": "kept", "Content-Type": "application/json"}
            id = self.invoke(rouse, "/async-function/work/a/b?x=1&y=%20", b'{"n":1}', headers)
            self.wait_begun("/a/b?x=1&y=%20")
            found = self.wait_state(rouse, id, "running")
            self.assertEqual((found["id"], found["function"], found["attempts"]), (id, "work", 0))
            self.assertEqual(self.response(rouse, id).status, 409)
            self.assertEqual(rouse.request("DELETE", f"/invocations/{id}").status, 409, "it has begun")
            self.gate.touch()
            found = self.wait_state(rouse, id, "succeeded")
            self.assertEqual((found["attempts"], found["last_status"]), (1, 201))
            self.assertIn("finished", found)
            kept = self.response(rouse, id)
            self.assertEqual((kept.status, kept.body, kept.header("x-own")), (201, b"made", "yes"))
            self.assertEqual(kept.header("content-type"), "text/plain")
            head = rouse.request("HEAD", f"/invocations/{id}/response")
            self.assertEqual((head.status, head.body), (201, b""))
            self.assertEqual(rouse.request("DELETE", f"/invocations/{id}").status, 409, "it is over")
            self.assertEqual(rouse.post(f"/invocations/{id}").status, 405)
        (one,) = self.got()
        self.assertEqual((one["method"], one["path"], one["body"]), ("POST", "/a/b?x=1&y=%20", '{"n":1}'))
        head = one["headers"]
        self.assertEqual((head["x-request-id"], head["x-custom"]), ("mine-1", "kept"))
        self.assertEqual((head["content-type"], head["content-length"]), ("application/json", "7"))
        self.assertEqual((head["x-forwarded-for"], head["x-forwarded-proto"]), ("127.0.0.1", "http"))
        self.assertIn("traceparent", head)

    def test_a_revision_that_is_named(self):
        functions = {"work": {"revisions": {name: receiver(self.path, name) for name in ("one", "two")}, "traffic": {"one": 100}}}
        with Daemon(self.config(functions)) as rouse:
            named = self.invoke(rouse, "/async-function/work@two/named")
            usual = self.invoke(rouse, "/async-function/work/usual")
            for id in (named, usual):
                self.wait_state(rouse, id, "succeeded")
            self.assertEqual((self.paths("one"), self.paths("two")), (["/usual"], ["/named"]))
            self.assertEqual(rouse.post("/async-function/work@three").problem()["status"], 404)
            self.assertEqual(rouse.post("/async-function/absent").status, 404)

    def test_a_chunked_upload(self):
        with Daemon(self.config()) as rouse:
            body = [b"x" * 70_000, b"y", b"z" * 30_000]
            id = self.invoke(rouse, "/async-function/work/up", body)
            self.wait_state(rouse, id, "succeeded")
            kept = self.response(rouse, id)
            self.assertEqual((kept.status, kept.body), (204, b""))
        (one,) = self.got()
        self.assertEqual(one["body"].encode(), b"".join(body))
        self.assertEqual(one["headers"]["content-length"], "100001")
        self.assertNotIn("transfer-encoding", one["headers"])

    def test_respond_async_is_preferred(self):
        self.rules({"match": "", "status": 200, "body": "now"})
        routes = [{"path": "/shop/*", "function": "work", "rewrite": "/"}]
        functions = {"work": receiver(self.path), "direct": receiver(self.path, expose=["http"])}
        prefer = {"Prefer": "wait=5, respond-async"}
        with Daemon(self.config(functions, routes)) as rouse:
            for target in ("/function/work/f?x=1", "/shop/r"):
                self.assertEqual(rouse.post(target).status, 200)
                self.wait_state(rouse, self.invoke(rouse, target, b"", prefer), "succeeded")
            self.wait_state(rouse, self.invoke(rouse, "/function/work/put", b"body", prefer, "PUT"), "succeeded")
            self.assertEqual(self.paths(), ["/f?x=1", "/f?x=1", "/r", "/r", "/put"])
            self.assertEqual((self.got()[-1]["method"], self.got()[-1]["body"]), ("PUT", "body"))
            # A wish that a function without queue does not fulfil is passed over; its URL for it is not there.
            self.assertEqual(rouse.post("/function/direct/f", headers=prefer).status, 200)
            self.assertEqual(rouse.post("/async-function/direct/f").problem()["status"], 404)

    def test_what_is_not_known(self):
        with Daemon(self.config()) as rouse:
            for when in ("before the first invocation", "after it"):
                for id in ("0" * 32, "nonsense", "1-" + "0" * 32, "", "a/response"):
                    for method in ("GET", "DELETE"):
                        self.assertEqual(rouse.request(method, f"/invocations/{id}").status, 404, (when, method, id))
                self.assertEqual(self.response(rouse, "0" * 32).status, 404)
                id = self.invoke(rouse, "/async-function/work")
                other = id[:-1] + ("0" if id[-1] != "0" else "1")
                self.assertEqual(rouse.get(f"/invocations/{other}").status, 404, "an ID cannot be guessed from another")
                self.wait_state(rouse, id, "succeeded")

    def test_an_idempotency_key_makes_one_of_two(self):
        functions = {name: receiver(self.path, name) for name in ("work", "other")}
        with Daemon(self.config(functions)) as rouse:
            key = {"Idempotency-Key": "order-17"}
            first = self.invoke(rouse, "/async-function/work/a", b"1", key)
            again = parallel(4, lambda _: self.invoke(rouse, "/async-function/work/a", b"1", key))
            self.assertEqual(set(again), {first})
            self.wait_state(rouse, first, "succeeded")
            self.assertEqual(self.invoke(rouse, "/async-function/work/a", b"1", key), first, "also when it is over")
            different = self.invoke(rouse, "/async-function/work/b", b"1", {"Idempotency-Key": "order-18"})
            elsewhere = self.invoke(rouse, "/async-function/other/a", b"1", key)
            self.assertEqual(len({first, different, elsewhere}), 3)
            for id in (different, elsewhere):
                self.wait_state(rouse, id, "succeeded")
            self.assertEqual((self.paths("work"), self.paths("other")), (["/a", "/b"], ["/a"]))


class Endings(AsyncCase):
    def test_a_status_that_is_tried_again(self):
        self.rules({"match": '"/flaky"', "status": 503, "times": 2}, {"match": '"/missing"', "status": 404, "body": "none such"})
        with Daemon(self.config(retry={"attempts": 3, "delay": "20ms", "max_delay": "50ms"})) as rouse:
            flaky = self.invoke(rouse, "/async-function/work/flaky")
            missing = self.invoke(rouse, "/async-function/work/missing")
            self.assertEqual(self.wait_state(rouse, flaky, "succeeded")["attempts"], 3)
            found = self.wait_state(rouse, missing, "failed")
            self.assertEqual((found["attempts"], found["last_status"]), (3, 404))
            kept = self.response(rouse, missing)
            self.assertEqual((kept.status, kept.body, kept.header("x-invocation-response")), (404, b"none such", "true"))
            self.assertEqual(self.paths().count("/flaky"), 3)
            self.assertEqual(self.paths().count("/missing"), 3)

    def test_a_retry_waits_for_its_time(self):
        self.rules({"match": "", "status": 429, "headers": {"Retry-After": "3600"}})
        with Daemon(self.config(retry={"attempts": 3, "delay": "1ms"})) as rouse:
            id = self.invoke(rouse, "/async-function/work/later")
            found = wait_for(lambda: (now := self.status(rouse, id))["attempts"] == 1 and now, 30)
            self.assertEqual((found["state"], found["last_status"]), ("queued", 429))
            self.assertIn("next_attempt", found)
            self.assertEqual(rouse.request("DELETE", f"/invocations/{id}").status, 204, "it waits again")
            self.wait_state(rouse, id, "cancelled")
            self.assertEqual(self.paths(), ["/later"])

    def test_dead_letters_are_listed_and_sent_again(self):
        self.rules({"match": '"/bad"', "status": 500, "body": "no way"}, {"match": '"/wrong"', "status": 422})
        with Daemon(self.config(retry={"attempts": 2, "delay": "20ms"})) as rouse:
            bad = self.invoke(rouse, "/async-function/work/bad", b"the body", {"X-Own": "kept"})
            wrong = self.invoke(rouse, "/async-function/work/wrong")
            self.assertEqual(self.wait_state(rouse, bad, "failed")["attempts"], 2)
            self.assertEqual(self.wait_state(rouse, wrong, "failed")["attempts"], 1, "no use in trying again")
            dead = {one["status"]: one for one in self.dead(rouse)}
            self.assertEqual(sorted(dead), [422, 500])
            for one in dead.values():
                self.assertEqual((one["owner"], one["kind"]), ("work", "invocation"))
            self.assertEqual(dead[500]["attempts"], 2)
            self.assertIn("work", rouse.must("dead-letters", "list"))
            self.assertIn("the body", rouse.must("dead-letters", "show", str(dead[500]["id"])))
            self.rules({"match": "", "status": 200, "body": "mended"})
            self.assertIn("2", rouse.must("dead-letters", "redrive", "work"))
            for id in (bad, wrong):
                self.wait_state(rouse, id, "succeeded")
                self.assertEqual(self.response(rouse, id).body, b"mended")
            self.assertEqual(self.dead(rouse), [])
            last = [one for one in self.got() if one["path"] == "/bad"][-1]
            self.assertEqual((last["body"], last["headers"]["x-own"], last["status"]), ("the body", "kept", 200))

    def test_a_response_that_is_too_large_to_keep(self):
        self.rules({"match": "", "status": 200, "body": "x" * 3000})
        with Daemon(self.config(max_body="2KiB")) as rouse:
            id = self.invoke(rouse, "/async-function/work")
            self.assertIn("max_body", self.wait_state(rouse, id, "failed")["last_error"])
            self.assertEqual(self.response(rouse, id).status, 404)

    def test_what_has_not_begun_can_be_cancelled(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate)})
        one_slot = receiver(self.path, concurrency=1, scale={"max": 1})
        with Daemon(self.config({"work": one_slot})) as rouse:
            running = self.invoke(rouse, "/async-function/work/running")
            self.wait_begun("/running")
            rest = [self.invoke(rouse, f"/async-function/work/{i}") for i in range(4)]
            for id in rest:
                self.assertEqual(self.status(rouse, id)["state"], "queued")
            for id in rest[::2]:
                self.assertEqual(rouse.request("DELETE", f"/invocations/{id}").status, 204)
                self.assertEqual(self.status(rouse, id)["state"], "cancelled")
                self.assertEqual(rouse.request("DELETE", f"/invocations/{id}").status, 409)
                self.assertIn("cancelled", self.response(rouse, id).problem()["detail"])
            self.assertEqual(rouse.request("DELETE", f"/invocations/{running}").status, 409)
            self.gate.touch()
            for id in (running, rest[1], rest[3]):
                self.wait_state(rouse, id, "succeeded")
            self.assertEqual(self.paths(), ["/running", "/1", "/3"])


    def test_a_result_is_forgotten_after_its_time(self):
        self.rules({"match": "", "status": 200, "body": "soon gone"})
        with Daemon(self.config(result_ttl="1s")) as rouse:
            id = self.invoke(rouse, "/async-function/work", b"", {"Idempotency-Key": "one"})
            wait_for(lambda: self.paths() == ["/"], 30)
            wait_for(lambda: rouse.get(f"/invocations/{id}").status == 404, 30, "the result is gone")
            self.assertEqual(self.response(rouse, id).status, 404)
            again = self.invoke(rouse, "/async-function/work", b"", {"Idempotency-Key": "one"})
            self.assertNotEqual(again, id, "its key is free again")


class Limits(AsyncCase):
    def test_a_full_queue(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate)})
        with Daemon(self.config(max_requests=2)) as rouse:
            taken = [self.invoke(rouse, f"/async-function/work/{i}") for i in range(2)]
            full = rouse.post("/async-function/work/2")
            self.assertEqual(full.status, 503)
            self.assertTrue(full.problem()["type"].endswith("queue-full"), full)
            self.assertGreaterEqual(int(full.header("retry-after")), 1)
            self.gate.touch()
            for id in taken:
                self.wait_state(rouse, id, "succeeded")
            self.wait_state(rouse, self.invoke(rouse, "/async-function/work/3"), "succeeded")
            self.assertEqual(sorted(self.paths()), ["/0", "/1", "/3"])

    def test_a_body_that_is_too_large(self):
        with Daemon(self.config(max_body="10KiB")) as rouse:
            for body in (b"x" * 10241, [b"x" * 10000, b"x" * 241]):
                self.assertEqual(rouse.post("/async-function/work", body).problem()["status"], 413)
            self.wait_state(rouse, self.invoke(rouse, "/async-function/work", b"x" * 10240), "succeeded")
            self.assertEqual([len(one["body"]) for one in self.got()], [10240])


class Safety(AsyncCase):
    def test_kill_9_before_the_answer_loses_nothing(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate), "body": "done"})
        with Daemon(self.config(), strict=False) as rouse:
            ids = [self.invoke(rouse, f"/async-function/work/{i}", f"body {i}".encode()) for i in range(20)]
            wait_for(lambda: self.paths(file="jsonl.begun"), 30, "some have begun")
            rouse.kill()
        self.gate.touch()
        with Daemon(self.config()) as rouse:
            for id in ids:
                self.wait_state(rouse, id, "succeeded", 60)
                self.assertEqual(self.response(rouse, id).body, b"done")
        got = {one["path"]: one["body"] for one in self.got()}
        self.assertEqual(got, {f"/{i}": f"body {i}" for i in range(20)})

    def test_a_drain_makes_none_twice(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate)})
        config = self.config({"work": receiver(self.path, concurrency=2, scale={"max": 1})})
        with Daemon(config) as rouse:
            ids = [self.invoke(rouse, f"/async-function/work/{i}") for i in range(10)]
            wait_for(lambda: len(self.paths(file="jsonl.begun")) == 2, 30, "both slots are taken")
            rouse.signal(signal.SIGTERM)
            rouse.wait_log("drain|shutting down|SIGTERM")
            self.gate.touch()
            self.assertEqual(rouse.wait(), 0)
        with Daemon(config) as rouse:
            for id in ids:
                self.wait_state(rouse, id, "succeeded")
        self.assertEqual(sorted(self.paths()), sorted(f"/{i}" for i in range(10)))

    def test_a_function_that_is_gone_for_a_while(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate)})
        functions = {"work": receiver(self.path, concurrency=1, scale={"max": 1}), "other": receiver(self.path, "other")}
        with Daemon(self.config(functions)) as rouse:
            ids = [self.invoke(rouse, f"/async-function/work/{i}") for i in range(3)]
            self.wait_begun("/0")
            rouse.reload(self.config({"other": functions["other"]}))
            self.assertEqual(rouse.post("/async-function/work/3").status, 404)
            self.gate.touch()
            self.wait_state(rouse, ids[0], "succeeded")
            rouse.wait_log("work: no queued invocation is made for now.*not in the configuration", 30)
            self.assertEqual(self.status(rouse, ids[2])["state"], "queued")
            rouse.reload(self.config(functions))
            for id in ids:
                self.wait_state(rouse, id, "succeeded")
            self.assertEqual(self.paths(), ["/0", "/1", "/2"])

    @unittest.skipIf(is_sanitized(), "the sanitizers' library has to be loaded before any other")
    def test_a_result_is_kept_as_soon_as_the_disk_takes_it(self):
        broken = self.path / "broken"
        self.rules({"match": "", "status": 200, "wait": str(self.gate), "body": "kept"})
        env = {"LD_PRELOAD": faulty_disk(), "ROUSE_DISK_FAILS": str(broken)}
        with Daemon(self.config(), env=env) as rouse:
            id = self.invoke(rouse, "/async-function/work/once")
            self.wait_begun("/once")
            broken.touch()
            self.gate.touch()
            rouse.wait_log("work: what came of an invocation could not be kept, and is tried again", 30)
            self.assertEqual(self.status(rouse, id)["state"], "running")
            refused = rouse.post("/async-function/work/never")
            self.assertEqual((refused.status, refused.problem()["type"].rsplit("/", 1)[-1]), (500, "storage-failed"))
            broken.unlink()
            found = self.wait_state(rouse, id, "succeeded")
            self.assertEqual((found["attempts"], self.response(rouse, id).body), (1, b"kept"))
            self.wait_state(rouse, self.invoke(rouse, "/async-function/work/later"), "succeeded")
        self.assertEqual(self.paths(), ["/once", "/later"], "the function is not called again for it")

    def test_a_restart_keeps_what_waits_and_what_came_of_the_rest(self):
        later = {"match": '"/later"', "status": 503, "headers": {"Retry-After": "3600"}}
        self.rules(later, {"match": "", "status": 200, "body": "kept"})
        with Daemon(self.config()) as rouse:
            done = self.invoke(rouse, "/async-function/work/done")
            later = self.invoke(rouse, "/async-function/work/later")
            self.wait_state(rouse, done, "succeeded")
            wait_for(lambda: self.status(rouse, later)["attempts"] == 1, 30)
        with Daemon(self.config()) as rouse:
            self.assertEqual(self.response(rouse, done).body, b"kept")
            found = self.status(rouse, later)
            self.assertEqual((found["state"], found["attempts"], found["last_status"]), ("queued", 1, 503))
        self.assertEqual(sorted(self.paths()), ["/done", "/later"])


class Turns(AsyncCase):
    def flood(self, rouse, count):
        def some(index):
            with rouse.connect() as caller:
                return [self.taken(caller.request("POST", f"/async-function/busy/{index}", body=b"")) for _ in range(count // 4)]

        return [id for part in parallel(4, some) for id in part]

    def test_a_flooded_function_holds_up_nobody(self):
        self.rules({"match": "", "status": 200, "wait": str(self.gate)}, name="busy")
        busy = receiver(self.path, "busy", concurrency=2, scale={"max": 1}, timeout=duration(120))
        functions = {"busy": busy, "calm": receiver(self.path, "calm")}
        with Daemon(self.config(functions)) as rouse:
            flood = self.flood(rouse, 300)
            wait_for(lambda: len(self.paths("busy", "jsonl.begun")) == 2, 30, "both slots of busy are taken")
            self.wait_state(rouse, self.invoke(rouse, "/async-function/calm/one"), "succeeded")
            self.assertEqual(self.got("busy"), [], "none of the flood is done")
            # A caller of the flooded function itself has its turn before the flood is over.
            rouse.wait_parked("busy", 1)  # the one ticket of all that are queued
            with rouse.connect(timeout=120) as caller:
                caller.send_request("GET", "/function/busy/caller")
                rouse.wait_parked("busy", 2)
                self.gate.touch()
                self.assertEqual(caller.read_response().status, 200)
            for id in flood:
                self.wait_state(rouse, id, "succeeded", 120)
            order = self.paths("busy")
            self.assertEqual(len(order), 301)
            self.assertLess(order.index("/caller"), 50)


class Backlog(AsyncCase):
    def test_queued_invocations_scale_their_function(self):
        self.rules({"match": '"/later"', "status": 429, "headers": {"Retry-After": "3600"}}, {"match": "", "status": 200, "wait": str(self.gate)})
        scale = {"metric": "backlog", "target": 2, "max": 4, "idle": "1s"}
        with Daemon(self.config({"work": receiver(self.path, concurrency=2, scale=scale)})) as rouse:
            ids = [self.invoke(rouse, f"/async-function/work/{i}") for i in range(40)]
            rouse.wait_instances("work", 4)
            wait_for(lambda: len(self.paths(file="jsonl.begun")) == 8, 30, "two on each")
            self.gate.touch()
            for id in ids:
                self.wait_state(rouse, id, "succeeded")
            # What waits for its time does not keep it.
            later = self.invoke(rouse, "/async-function/work/later")
            wait_for(lambda: self.status(rouse, later)["attempts"] == 1, 30)
            rouse.wait_zero("work", 30)


class Memory(AsyncCase):
    """Bodies that are kept share memory (docs/behaviour.md): callers 128 MiB, replies 64."""

    BODY = 10 << 20  # as large as `async.max_body` lets it be

    def check_memory(self, rouse):
        if not is_sanitized():  # these keep what was freed
            self.assertLess(rouse.peak_rss_kib() >> 10, 300, "MiB resident at most")

    def test_large_bodies_from_many_callers(self):
        functions = {"work": python_function("large.py", "10", self.gate, concurrency=1, scale={"max": 1})}
        body = b"x" * (self.BODY - 1)
        with Daemon(self.config(functions)) as rouse:

            def send(_):
                """All but the last byte; nothing is returned when it was refused before that."""
                caller = rouse.connect(timeout=scaled(60))
                caller.send(f"POST /async-function/work HTTP/1.1\r\nHost: x\r\nContent-Length: {self.BODY}\r\n\r\n".encode())
                for at in range(0, len(body), 65536):
                    with contextlib.suppress(OSError):
                        caller.send(body[at : at + 65536])
                    if caller.readable():
                        return self.assert_full(caller)
                return caller

            # Who is refused a moment after the last piece is seen by being readable.
            callers = [caller for caller in parallel(64, send) if caller]
            wait_for(lambda: sum(not caller.readable() for caller in callers) <= 12, 60, "what cannot be held is refused")
            waiting = [caller for caller in callers if not caller.readable()]
            self.assertGreater(len(waiting), 0)
            for caller in callers:
                if caller not in waiting:
                    self.assert_full(caller)
            # Half of them end it, half leave: in both cases the room is there again.
            for caller in waiting[::2]:
                caller.reset()
            for caller in waiting[1::2]:
                caller.send(b"x")
            answers = [caller.read_response() for caller in waiting[1::2]]
            self.assertLessEqual({answer.status for answer in answers}, {202, 503})
            ids = [self.taken(answer) for answer in answers if answer.status == 202]
            for _ in range(3):
                ids.append(wait_for(lambda: (answer := rouse.post("/async-function/work", body)).status == 202 and self.taken(answer), 30))
            self.check_memory(rouse)
            self.gate.touch()
            for id in ids:
                self.wait_state(rouse, id, "succeeded", 60)

    def assert_full(self, caller):
        answer = caller.read_response()
        self.assertEqual((answer.status, answer.header("retry-after")), (503, "1"), answer)
        self.assertTrue(answer.problem()["type"].endswith("queue-full"))
        self.assertIn("of at most 128 MiB", answer.problem()["detail"])
        caller.close()

    def test_large_requests_in_flight_hold_up_no_other_function(self):
        large = lambda *gate: python_function("large.py", 10, *gate, scale={"max": 1}, timeout=duration(120))
        body = b"x" * (self.BODY - 1000)
        with Daemon(self.config({"slow": large(self.gate), "calm": large()})) as rouse:
            slow = [wait_for(lambda: self.invoke(rouse, "/async-function/slow", body), 30) for _ in range(9)]
            rouse.wait_load("slow", 7)  # 64 MiB: six, and the one that may go beyond
            for size in (10, len(body), len(body)):
                self.wait_state(rouse, self.invoke(rouse, "/async-function/calm", body[:size]), "succeeded")
            self.assertEqual(rouse.function("slow")["in_flight"], 7)
            self.gate.touch()
            for id in slow:
                self.wait_state(rouse, id, "succeeded", 60)

    def test_large_responses_of_many_invocations(self):
        count, size = (8 if is_sanitized() else 40), self.BODY - 1000
        functions = {"work": python_function("large.py", size, self.gate, scale={"max": 1})}
        with Daemon(self.config(functions)) as rouse:
            ids = [self.invoke(rouse, "/async-function/work", b"x" * 1000) for _ in range(count)]
            rouse.wait_load("work", count)
            self.gate.touch()
            for id in ids:
                self.assertEqual(self.wait_state(rouse, id, "succeeded", 120)["attempts"], 1)
            self.check_memory(rouse)
            # Those who fetch them and do not read take the same room.
            slow = [rouse.connect() for _ in range(count)]
            for caller, id in zip(slow, ids):
                caller.send_request("GET", f"/invocations/{id}/response")
            wait_for(lambda: all(caller.readable() for caller in slow), 60)
            self.check_memory(rouse)
            for caller in slow:
                self.assertIn(caller.read_head().status, (200, 503))
                caller.reset()
            answer = wait_for(lambda: (found := self.response(rouse, ids[0])).status == 200 and found, 30)
            self.assertEqual(len(answer.body), size)


class Wallclock(unittest.TestCase):
    """The last one: most of its minute is over by now."""

    def got(self):
        return json_lines(CRON["path"] / "got.jsonl")

    def test_cron_makes_one_event_for_a_minute(self):
        rouse = CRON["rouse"]
        wait_for(self.got, 75, "the cron trigger has fired")
        trigger = lambda: rouse.admin("GET", "/api/v1/triggers").json()["triggers"]["minutely"]
        wait_for(lambda: (now := trigger())["delivered"] and now["waiting"] + now["in_flight"] == 0, 30, "it is settled")
        # A restart within the same minute fires nothing twice.
        self.assertEqual(rouse.stop(), 0)
        rouse.start()
        wait_for(lambda: (now := trigger())["waiting"] + now["in_flight"] == 0, 30)
        self.assertEqual(rouse.stop(), 0)
        ids = [one["headers"]["ce-id"] for one in self.got()]
        self.assertEqual(len(ids), len(set(ids)), ids)
        for one in self.got():
            head = one["headers"]
            self.assertRegex(head["ce-id"], r"\Aminutely/\d{4}-\d\d-\d\dT\d\d:\d\d:00Z\Z")
            self.assertEqual((head["ce-type"], head["ce-time"]), ("dev.rouse.cron", head["ce-id"].removeprefix("minutely/")))
            self.assertEqual((head["ce-source"], head["content-type"]), ("/triggers/minutely", "application/json"))
            self.assertEqual((one["method"], one["path"], json.loads(one["body"])), ("POST", "/", {"full": True}))


if __name__ == "__main__":
    unittest.main()
