"""The Docker Engine and the Kubernetes API server that other tests stand on, by themselves: what those tests take for granted."""

import docker_engine
import kube
from docker_engine import EngineError, engine
from harness import *
from kube import ApiError, kubernetes
from kube_api import Api


def answers(address, port=8080, target="/"):
    """The body of a function's answer; an OSError when there is none."""
    with Connection(port, address, timeout=5) as connection:
        return connection.request("GET", target).body


class RealParts(unittest.TestCase):
    """Shows the logs of what runs when a test fails."""

    def run(self, result=None):
        result = result if result is not None else self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        out = super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for part in filter(None, (docker_engine.running_engine(), kube.running_cluster())):
                part.print_log()
        return out


class DockerEngine(RealParts):
    def setUp(self):
        self.addCleanup(engine().clean)

    def test_containers_are_reached_and_outlive_the_daemon(self):
        one = engine().run(env={"PORT": "8080"}, labels={"test": "yes"})
        address = engine().address(one)
        wait_for(lambda: answers(address) == b"ok\n", 10, "the container answers")
        for end in (engine().kill_daemon, engine().stop_daemon):
            end()
            self.assertEqual(answers(address), b"ok\n")
            with self.assertRaises(AssertionError):
                engine().api("GET", "/_ping", timeout=1)
            engine().start_daemon()
            self.assertEqual([found["State"] for found in engine().containers(label="test=yes")], ["running"])
        engine().freeze_daemon()
        with self.assertRaises(AssertionError):
            engine().api("GET", "/_ping", timeout=0.3)
        engine().freeze_daemon(False)
        self.assertEqual(engine().api("GET", "/_ping"), "OK")

    def test_sigterm_and_crash_end_the_function(self):
        one = engine().run(env={"PORT": "8080"})
        wait_for(lambda: answers(engine().address(one)), 10, "the container answers")
        began = time.monotonic()
        engine().api("POST", f"/containers/{one}/stop", t=30)
        self.assertLess(time.monotonic() - began, scaled(15))
        self.assertEqual(engine().inspect(one)["State"]["ExitCode"], 0)

        two = engine().run(env={"PORT": "8080"})
        wait_for(lambda: answers(engine().address(two)), 10, "the container answers")
        with self.assertRaises(AssertionError):
            answers(engine().address(two), target="/crash")
        wait_for(lambda: engine().inspect(two)["State"]["ExitCode"] == 7, 10, "it has crashed")
        self.assertIn("fast_function: crash", engine().logs(two))

    def test_what_is_refused_says_why(self):
        with self.assertRaisesRegex(EngineError, "No such image"):
            engine().run(image="rouse-test/none")


class KubernetesServer(RealParts):
    def setUp(self):
        self.space = kubernetes().new_namespace()

    def state(self, name):
        """(phase, reason) of the only pod of a function."""
        status = kubernetes().pods(name, self.space)[0].get("status", {})
        waiting = [one["state"].get("waiting", {}).get("reason") for one in status.get("containerStatuses", [])]
        unscheduled = [one.get("reason") for one in status.get("conditions", []) if one["type"] == "PodScheduled" and one["status"] == "False"]
        return status.get("phase"), next(iter(waiting + unscheduled), None)

    def test_pods_are_ready_answer_crash_and_end(self):
        kubernetes().create_function("echo", self.space)
        kubernetes().scale("echo", self.space, 2)
        addresses = kubernetes().wait_ready("echo", self.space, 2)
        self.assertEqual({answers(one) for one in addresses}, {b"ok\n"})
        with self.assertRaises(AssertionError):
            answers(addresses[0], target="/crash")
        wait_for(lambda: answers(addresses[0]) == b"ok\n", 20, "it was started again, at the same address")
        kubernetes().scale("echo", self.space, 0)
        wait_for(lambda: not kubernetes().pods("echo", self.space), 20, "they are gone")
        with self.assertRaises(OSError):
            answers(addresses[1])

    def test_what_is_to_go_wrong_goes_wrong(self):
        wanted = {
            "image-pull": ("Pending", "ImagePullBackOff"),
            "crash-loop": ("Running", "CrashLoopBackOff"),
            "unschedulable": ("Pending", "Unschedulable"),
            "never-ready": ("Running", None),
        }
        for name in wanted:
            kubernetes().create_function(name, self.space, 1, behaviour=name)
        for name, state in wanted.items():
            wait_for(lambda name=name, state=state: self.state(name) == state, 20, f"{name} is {state}")
            self.assertEqual([one["ready"] for one in kubernetes().endpoints(name, self.space).values() if one["ready"]], [])

        kubernetes().limit_pods(self.space, 5)
        kubernetes().create_function("more", self.space, 3)

        def refused():
            conditions = kubernetes().deployment("more", self.space).get("status", {}).get("conditions", [])
            return [one for one in conditions if one["type"] == "ReplicaFailure" and "exceeded quota" in one["message"]]

        wait_for(refused, 20, "the quota is full")
        self.assertEqual(len(kubernetes().pods("more", self.space)), 1)

    def test_accounts_have_the_rights_of_their_role(self):
        folder = kubernetes().service_account(self.space, [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}])
        api = Api(kubernetes().port, folder / "ca.crt", token=(folder / "token").read_text())
        self.assertEqual(api.get(f"/apis/apps/v1/namespaces/{self.space}/deployments")["items"], [])
        with self.assertRaisesRegex(ApiError, "Forbidden"):
            api.get(f"/api/v1/namespaces/{self.space}/pods")
        files = (kubernetes().path / "admin.pem", kubernetes().path / "admin-key.pem")
        self.assertIn("gitVersion", Api(kubernetes().port, kubernetes().ca, certificate=files).get("/version"))

    def test_the_server_goes_away_and_comes_back(self):
        kubernetes().create_function("echo", self.space, 1)
        addresses = kubernetes().wait_ready("echo", self.space, 1)
        link = kubernetes().link()
        through = Api(link.port, kubernetes().ca, token=kubernetes().token, timeout=0.5)
        self.assertIn("gitVersion", through.get("/version"))
        link.cut()
        self.assertRaises(OSError, through.get, "/version")
        link.restore()
        self.assertIn("gitVersion", through.get("/version"))
        link.hang()
        self.assertRaises(OSError, through.get, "/version")
        link.restore()
        kubernetes().kill_api_server()
        self.assertRaises(OSError, kubernetes().api.get, "/version")
        self.assertEqual(answers(addresses[0]), b"ok\n")
        kubernetes().start_api_server()
        kubernetes().scale("echo", self.space, 2)
        kubernetes().wait_ready("echo", self.space, 2, timeout=60)


def tearDownModule():  # noqa: N802
    docker_engine.tearDownModule()
    kube.tearDownModule()


if __name__ == "__main__":
    unittest.main()
