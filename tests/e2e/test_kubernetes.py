"""Functions as Deployments of a real API server (kube.py): cold starts, scaling under load, what goes wrong, two rouses."""

from harness import *
from kube import kubernetes, tearDownModule  # noqa: F401
from load import Load


def function(deployment, **keys):
    return {"deployment": deployment, "pools": ["k"], "concurrency": 1, **keys}


class Kubernetes(unittest.TestCase):
    def setUp(self):
        self.cluster = kubernetes()
        self.space = self.cluster.new_namespace()

    def config(self, kubeconfig=None, **functions):
        pool = {"backend": "kubernetes", "kubeconfig": str(kubeconfig or self.cluster.kubeconfig), "namespace": self.space}
        return {"pools": {"k": pool}, "functions": functions}

    def make(self, name, **keys):
        self.cluster.create_function(name, self.space, **keys)

    def pods(self, name):
        return {one["metadata"]["name"] for one in self.cluster.pods(name, self.space)}

    def fast(self, milliseconds, before="exec"):
        """A function that works so long on each request, one at a time."""
        return ["/bin/sh", "-c", f"{before} {fast_function()['command'][0]} 3 {milliseconds}"]

    def wait_pods(self, name, count):
        wait_for(lambda: len(self.pods(name)) == count, 30, f"{name} has {count} pods")


class Starts(Kubernetes):
    def test_from_zero_and_back_with_no_more_than_the_rights_it_needs(self):
        self.make("echo")
        account = self.cluster.deployed_account(self.space)
        config = self.config(self.cluster.kubeconfig_of_account(account), echo=function("echo", scale={"idle": "500ms"}))
        del config["pools"]["k"]["namespace"]  # the context's
        with Daemon(config) as rouse:
            self.assertEqual(self.cluster.replicas("echo", self.space), 0)
            for _ in range(2):
                self.assertEqual({one.status for one in parallel(3, lambda _: rouse.get("/function/echo"))}, {200})
                rouse.wait_zero("echo", 30)
                self.wait_pods("echo", 0)
                self.assertEqual(self.cluster.replicas("echo", self.space), 0)
            # A token that is replaced is read again.
            (account / "token").write_text(self.cluster.new_token(self.space))
            self.assertEqual(rouse.get("/function/echo").status, 200)
            self.assertEqual(self.cluster.lease("rouse", self.space)["leaseTransitions"], 0)
            self.assertFalse(rouse.pools()["k"].get("problem"))
        self.assertFalse(self.cluster.lease("rouse", self.space).get("holderIdentity"))
        # What ran is left alone.
        self.assertEqual(len(self.pods("echo")), 1)

    def test_scaling_under_load_loses_nothing(self):
        self.make("work", command=self.fast(5))
        with Daemon(self.config(work=function("work", scale={"max": 6}))) as rouse, Load(rouse.port, "/function/work", 6) as load:
            for count in (4, 1, 5, 2):
                rouse.must("scale", "work", "--min", str(count), "--max", str(count))
                rouse.wait_instances("work", count, timeout=40)
                self.wait_pods("work", count)
                load.wait_answers(50)
            load.set(0)
            load.wait_settled()
            self.assertEqual(load.failures, [])
            self.assertEqual(rouse.metric("rouse_retries_total", function="work"), 0)

    def test_a_pod_that_is_deleted_under_load_drains(self):
        # Ends its work when it is told to end, as servers should.
        self.make("work", command=self.fast(5, "trap '' TERM; exec"), terminationGracePeriodSeconds=3)
        with Daemon(self.config(work=function("work", scale={"min": 3, "max": 3}))) as rouse:
            rouse.wait_instances("work", 3)
            with Load(rouse.port, "/function/work", 6) as load:
                load.wait_answers(50)
                gone = sorted(self.pods("work"))[0]
                self.cluster.delete_pod(gone, self.space)
                wait_for(lambda: gone not in self.pods("work"), 30)
                rouse.wait_instances("work", 3, timeout=40)
                load.wait_answers(50)
            self.assertEqual(load.failures, [])
            self.assertEqual(self.cluster.replicas("work", self.space), 3)


class Failures(Kubernetes):
    def test_an_image_that_cannot_be_pulled_is_told_within_seconds(self):
        self.make("bad", behaviour="image-pull")
        with Daemon(self.config(bad=function("bad"))) as rouse:
            begun = time.monotonic()
            problem = rouse.get("/function/bad").problem()
            self.assertLess(time.monotonic() - begun, scaled(10))
            self.assertEqual((problem["status"], problem["type"]), (502, "start-failed"))
            self.assertIn("failed to pull image", problem["detail"])
            self.wait_pods("bad", 0)
            self.assertEqual(rouse.metric("rouse_start_failures_total", function="bad", reason="image"), 1)

    def test_no_room_overflows_into_the_next_pool(self):
        self.make("big", behaviour="unschedulable")
        self.make("many")
        self.cluster.limit_pods(self.space, 1)
        # A pool without room is not asked for a while: each has its own, and both work one namespace.
        config = self.config(
            many={"deployment": "many", "pools": ["k", "local"], "scale": {"idle": "1s"}, "concurrency": 1, **fast_function()},
            big={"deployment": "big", "pools": ["other", "local"], **fast_function()},
        )
        config["pools"]["other"] = config["pools"]["k"]
        with Daemon(config) as rouse:
            self.assertEqual(rouse.get("/function/many").status, 200)
            self.assertEqual([one["pool"] for one in rouse.instances("many", "ready")], ["k"])
            rouse.must("scale", "many", "--min", "2")
            rouse.wait_instances("many", 2)
            self.assertEqual(sorted(one["pool"] for one in rouse.instances("many", "ready")), ["k", "local"])
            rouse.wait_log("pool k has no capacity: .*exceeded quota")
            rouse.must("scale", "many", "--min", "0")
            self.wait_pods("many", 0)
            self.assertEqual(rouse.get("/function/big").status, 200)
            self.assertEqual([one["pool"] for one in rouse.instances("big", "ready")], ["local"])
            rouse.wait_log("pool other has no capacity: .*Insufficient memory")
            self.wait_pods("big", 0)

    def test_what_is_not_there_or_not_allowed_says_so(self):
        self.make("echo")
        account = self.cluster.kubeconfig_of_account(self.cluster.deployed_account(self.space, without="deployments/scale"))
        with Daemon(self.config(account, echo=function("echo"), none=function("none"))) as rouse:
            detail = rouse.get("/function/echo").problem()["detail"]
            self.assertIn(f"rouse may not patch deployments/scale in namespace {self.space}", detail)
            self.assertIn("rbac.yaml", rouse.pools()["k"]["problem"])
            self.assertIn("there is no Deployment none", rouse.get("/function/none").problem()["detail"])
        config = self.config(echo=function("echo"))
        config["pools"]["k"]["namespace"] = "nowhere"
        with Daemon(config) as rouse:
            wait_for(lambda: 'namespaces "nowhere" not found' in (rouse.pools()["k"]["problem"] or ""))
            problem = rouse.get("/function/echo", timeout=60).problem()
            self.assertEqual((problem["status"], problem["type"]), (503, "no-capacity"))
            self.assertIn('namespaces "nowhere" not found', problem["detail"])

    def test_the_api_server_is_away(self):
        self.make("warm", command=self.fast(2))
        self.make("cold")
        config = self.config(warm=function("warm", scale={"min": 1, "max": 1}), cold=function("cold", start_timeout="4s"))
        with Daemon(config) as rouse:
            rouse.wait_instances("warm", 1)
            with Load(rouse.port, "/function/warm", 2) as load:
                self.cluster.kill_api_server()
                try:
                    problem = rouse.get("/function/cold").problem()
                    self.assertEqual((problem["status"], problem["type"]), (503, "no-capacity"))
                    self.assertIn("the API server cannot be reached", problem["detail"])
                    wait_for(lambda: "cannot be reached" in rouse.pools()["k"]["problem"])
                    self.assertEqual(rouse.admin("GET", "/readyz").status, 200)
                    load.wait_answers(100)
                finally:
                    self.cluster.start_api_server()
                wait_for(lambda: not rouse.pools()["k"].get("problem"), 30, "all is well again")
                wait_for(lambda: rouse.get("/function/cold").status == 200, 120)
                load.wait_answers(50)
            self.assertEqual(load.failures, [])
            self.assertEqual(len(self.pods("warm")), 1)

    def test_the_api_server_answers_nothing(self):
        self.make("warm", command=self.fast(2))
        self.make("cold")
        config = self.config(
            warm=function("warm", scale={"min": 1, "max": 1}),
            cold={"deployment": "cold", "pools": ["k", "local"], "scale": {"idle": "1s"}, **fast_function()},
        )
        with Daemon(config) as rouse:
            rouse.wait_instances("warm", 1)
            with Load(rouse.port, "/function/warm", 2) as load:
                self.cluster.freeze_api_server()
                try:
                    # The next pool is asked long before `start_timeout` (a minute) is over.
                    begun = time.monotonic()
                    with rouse.connect(90) as caller:
                        self.assertEqual(caller.request("GET", "/function/cold").status, 200)
                    self.assertLess(time.monotonic() - begun, 40)
                    self.assertEqual([one["pool"] for one in rouse.instances("cold", "ready")], ["local"])
                    self.assertTrue(rouse.pools()["k"]["problem"])
                    self.assertEqual(rouse.admin("GET", "/readyz").status, 200)
                    load.wait_answers(100)
                finally:
                    self.cluster.freeze_api_server(False)
                wait_for(lambda: not rouse.pools()["k"]["problem"], 60, "all is well again")
                rouse.wait_instances("cold", 0, timeout=30)
                self.wait_pods("cold", 0)
                self.assertEqual(rouse.get("/function/cold").status, 200)
                self.assertEqual([one["pool"] for one in rouse.instances("cold", "ready")], ["k"])
                load.wait_answers(50)
            self.assertEqual(load.failures, [])


class Readiness:
    """Asks a daemon's /readyz over and over, from the moment it listens. `seen`: the different answers, in order."""

    def __init__(self, rouse):
        self.rouse = rouse
        self.seen = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)

    def ask(self):
        while not self.over.wait(0.001):
            try:
                answer = self.rouse.admin("GET", "/readyz", timeout=2)
            except OSError:
                continue
            now = f"{answer.status} {answer.body.decode().strip()}"
            if self.seen[-1:] != [now]:
                self.seen.append(now)


class Lives(Kubernetes):
    def test_killed_and_started_again_it_goes_on_with_what_is_there(self):
        self.make("echo")
        config = self.config(echo=function("echo", scale={"min": 2, "max": 2}))
        config["server"] = {"data_dir": str(Path(self.cluster.path) / f"data-{self.space}")}
        with Daemon(config) as rouse:
            rouse.wait_instances("echo", 2)
            pods = self.pods("echo")
            rouse.kill()
            rouse.start()
            rouse.wait_instances("echo", 2)
            self.assertEqual(rouse.get("/function/echo").status, 200)
            self.assertEqual(self.pods("echo"), pods)
            self.assertEqual(self.cluster.replicas("echo", self.space), 2)

    def test_a_second_one_is_a_standby_until_the_first_is_gone(self):
        self.make("echo")
        config = self.config(echo=function("echo", scale={"min": 1, "idle": "1h"}))
        with Daemon(config) as first:
            first.wait_instances("echo", 1)
            pods = self.pods("echo")
            with Daemon(config, ready=False) as second, Readiness(second) as told:
                second.wait_log("another rouse works namespace", 30)
                second.wait_log("this rouse is a standby", 30)
                wait_for(lambda: told.seen[-1:] == ["503 standby"], 10, "/readyz says that it is a standby")
                self.assertNotIn("200 ok", told.seen)
                self.assertEqual(first.admin("GET", "/readyz").status, 200)
                self.assertTrue(second.pools()["k"]["standby"])
                held = self.cluster.lease("rouse", self.space)
                first.stop()  # gives the Lease back
                second.wait_until_ready(15)
                second.wait_instances("echo", 1)
                self.assertEqual(second.get("/function/echo").status, 200)
                self.assertEqual(self.pods("echo"), pods)
                now = self.cluster.lease("rouse", self.space)
                self.assertNotEqual(now["holderIdentity"], held["holderIdentity"])
                self.assertEqual(now["leaseTransitions"], 1)
                # Killed, it gives nothing back: the next one takes over when the Lease lapses.
                second.kill()
                with Daemon(config, ready=False) as third:
                    third.wait_until_ready(40)
                    third.wait_instances("echo", 1, timeout=40)
                    self.assertEqual(self.pods("echo"), pods)


if __name__ == "__main__":
    unittest.main()
