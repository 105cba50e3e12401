"""The webhook backend with the scaler of the docs, which starts local processes."""

from harness import *
from load import Load

SECRET = "a secret of both"


class Scaler:
    """docs/examples/webhook_scaler.py in a session of its own, so that it ends with all that it has started."""

    def __init__(self, most=10, secret=SECRET, port=None):
        self.port, self.most, self.secret = port or free_port(), most, secret
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/scale"

    def start(self):
        command = [PYTHON, str(ROOT / "docs" / "examples" / "webhook_scaler.py"), str(self.port), str(self.most)]
        command += [PYTHON, "-u", str(FUNCTIONS / "gated.py"), "--quiet"]
        self.process = subprocess.Popen(command, env={**os.environ, "SECRET": self.secret}, start_new_session=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.process:
            self.signal(signal.SIGCONT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def signal(self, which):
        self.process.send_signal(which)

    def running(self):
        """The pids of what it has started and still runs."""
        return sorted(pid for pid in descendants(self.process.pid) if any("gated.py" in part for part in command_line(pid)))


class Webhook(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.gate = Path(self.folder.name) / "gate"

    def scaler(self, **keys):
        made = Scaler(**keys)
        self.addCleanup(made.end)
        return made

    def config(self, scaler, pool=None, **keys):
        pools = {"far": {"backend": "webhook", "secret": SECRET, "poll_interval": "100ms", **(pool or {})}}
        return {"pools": pools, "functions": {"work": {"url": scaler.url, "pools": ["far"], "concurrency": 1, **keys}}}

    def hold(self, rouse, count):
        callers = [rouse.connect(60) for _ in range(count)]
        for one in callers:
            self.addCleanup(one.close)
            one.send_request("GET", f"/function/work?until={self.gate}")
        return callers

    def test_from_zero_to_several_and_back(self):
        scaler = self.scaler().start()
        with Daemon(self.config(scaler, scale={"idle": "1s", "target": 1})) as rouse:
            answer = rouse.get("/function/work")
            self.assertEqual(answer.status, 200)
            self.assertEqual([answer.json()["pid"]], scaler.running())
            self.assertIn("cold;dur=", answer.header("server-timing"))
            self.assertEqual([one["pool"] for one in rouse.instances("work")], ["far"])
            callers = self.hold(rouse, 3)
            rouse.wait_load("work", 3)
            self.assertEqual(len(scaler.running()), 3)
            self.gate.touch()
            self.assertEqual(len({one.read_response().json()["pid"] for one in callers}), 3)
            rouse.wait_zero("work", 60)
            wait_for(lambda: not scaler.running(), what="nothing runs there")

    def test_it_goes_down_under_load_and_nobody_notices(self):
        scaler = self.scaler().start()
        config = self.config(scaler, scale={"window": "1s", "panic_window": "1s", "max": 4})
        with Daemon(config) as rouse:
            rouse.must("scale", "work", "--min", "4")
            with Load(rouse.port, "/function/work", 1) as load:
                rouse.wait_instances("work", 4, timeout=60)
                load.wait_answers(20)
                rouse.must("scale", "work", "--min", "1")
                wait_for(lambda: len(scaler.running()) < 4, 60, "the load needs fewer")
                load.wait_answers(50)
            self.assertEqual(load.failures, [])
            wait_for(lambda: len(scaler.running()) == len(rouse.instances("work", "ready")), 30, "and they are the same")

    def test_wrong_secret(self):
        scaler = self.scaler(secret="another one").start()
        with Daemon(self.config(scaler)) as rouse:
            rouse.wait_log(r"pool far: the scaler of function work at .* answers 401")
            answer = rouse.get("/function/work")
            self.assertEqual(answer.status, 502)
            self.assertIn("the signature is wrong", answer.problem()["detail"])
            self.assertEqual(scaler.running(), [])
            self.assertIn("`secret`", rouse.pools()["far"]["problem"])
            rouse.reload(self.config(scaler, pool={"secret": "another one"}))
            wait_for(lambda: rouse.get("/function/work").status == 200, 30, "with the right one it works")
            self.assertIsNone(rouse.pools()["far"]["problem"])

    def test_scaler_away_and_back(self):
        scaler = self.scaler()
        with Daemon(self.config(scaler, pool={"request_timeout": "500ms"}, scale={"max": 2})) as rouse:
            with rouse.connect(60) as caller:
                caller.send_request("GET", "/function/work")
                rouse.wait_log(r"pool far: .* cannot be asked: connection refused")
                rouse.wait_load("work", 0, 1)
                scaler.start()
                first = caller.read_response()
            self.assertEqual(first.status, 200)
            wait_for(lambda: not rouse.pools()["far"]["problem"], what="all is well again")
            # It hangs: what is ready goes on, and what needs more waits until it is back.
            scaler.signal(signal.SIGSTOP)
            callers = self.hold(rouse, 2)
            wait_for(lambda: rouse.pools()["far"]["problem"], 20, "that it hangs was told")
            rouse.wait_load("work", 1, 1)
            scaler.signal(signal.SIGCONT)
            rouse.wait_load("work", 2, timeout=40)
            self.gate.touch()
            self.assertEqual({one.read_response().json()["pid"] for one in callers}, set(scaler.running()))

    def test_overflow(self):
        scaler = self.scaler(most=1).start()
        command = python_function("gated.py", "--quiet")
        config = self.config(scaler, **command)
        config["functions"]["work"]["pools"] = ["far", "local"]
        with Daemon(config) as rouse:
            self.hold(rouse, 2)
            rouse.wait_load("work", 2, timeout=40)
            self.assertEqual(sorted(one["pool"] for one in rouse.instances("work", "ready")), ["far", "local"])
            self.assertEqual(len(scaler.running()), 1)
            rouse.wait_log("this machine has room for 1")
            self.gate.touch()

    def test_a_crash(self):
        scaler = self.scaler().start()
        with Daemon(self.config(scaler)) as rouse:
            before = rouse.get("/function/work").json()["pid"]
            os.kill(before, signal.SIGKILL)
            rouse.wait_log("has failed: status -9", 20)
            after = wait_for(lambda: rouse.get("/function/work"), 20)
            self.assertEqual(after.status, 200)
            self.assertNotEqual(after.json()["pid"], before)
            self.assertEqual(scaler.running(), [after.json()["pid"]])

    def test_rouse_ends_and_comes_back(self):
        """Killed or told to stop: what runs is taken over, and never doubled."""
        scaler = self.scaler().start()
        with Daemon(self.config(scaler, scale={"target": 1})) as rouse:  # two callers need two, and not a third to spare
            callers = self.hold(rouse, 2)
            rouse.wait_load("work", 2)
            self.gate.touch()
            before = {one.read_response().json()["pid"] for one in callers}
            for how in (rouse.kill, rouse.stop):
                how()
                self.assertEqual(set(scaler.running()), before)
                rouse.start()
                # Who comes at once is served by what runs.
                self.assertIn(rouse.get("/function/work").json()["pid"], before)
                rouse.wait_instances("work", 2)
                self.assertEqual(set(scaler.running()), before)

    def test_a_function_that_is_taken_out_ends(self):
        scaler = self.scaler().start()
        with Daemon(self.config(scaler)) as rouse:
            self.assertEqual(rouse.get("/function/work").status, 200)
            rouse.reload({"functions": {}})
            wait_for(lambda: not scaler.running(), 30, "nothing runs there")

    def test_the_configuration_of_the_docs(self):
        scaler = self.scaler(secret="only for a try").start()
        config = documented("backend: webhook", ("http://127.0.0.1:7000/scale", scaler.url), ("python3, hello.py", "sleep, 60"))
        with Daemon(config) as rouse:
            self.assertEqual(rouse.get("/function/hello").status, 200)
            self.assertEqual([one["pool"] for one in rouse.instances("hello")], ["far"])


if __name__ == "__main__":
    unittest.main()
