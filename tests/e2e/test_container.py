"""The image of the daemon (Dockerfile): built by a real Docker Engine, and run.

The stage that compiles is left out: what it would make is taken from this build (ROUSE_BIN). With ROUSE_TEST_WHOLE_IMAGE=1 it is
not; that takes as long as a build of everything takes on a machine that has neither packages nor a cache.
"""

import docker_engine
from docker_engine import engine
from harness import *

IMAGE = "rouse-test/rouse"
HELLO = r"Hello from Python! GET / \(instance \d+\)\n\Z"
CONFIG = """
server: {listen: "0.0.0.0:8080", data_dir: "${STATE_DIRECTORY}"}
functions:
  quick: {command: [/fast_function]}
  slow: {command: [/fast_function, "3", "1500"], concurrency: 1}
"""


def build():
    """Builds the image; returns its name."""
    options = []
    if not os.environ.get("ROUSE_TEST_WHOLE_IMAGE"):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["strip", "-o", f"{folder}/rouse", ROUSE_BIN], check=True)
            (Path(folder) / "Dockerfile").write_text("FROM scratch\nCOPY rouse /out/rouse\n")
            engine(outside=True).build(folder, "rouse-test/binary")
        options = ["--build-arg", "BINARY=rouse-test/binary"]
    engine(outside=True).build(ROOT, IMAGE, *options)
    return IMAGE


def example_image():
    """The image of config/examples/functions; returns its name. Its base is made from Debian's python3: no registry is in reach."""
    with tempfile.TemporaryDirectory() as folder:
        install = "apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*"
        (Path(folder) / "Dockerfile").write_text(f"FROM debian:bookworm-slim\nRUN {install}\n")
        engine(outside=True).build(folder, "python:3-slim")
    engine(outside=True).build(ROOT / "config" / "examples" / "functions", "rouse-test/hello")
    return "rouse-test/hello"


class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        build()

    def setUp(self):
        self.engine = engine(outside=True)
        folder = tempfile.TemporaryDirectory(prefix="rouse-e2e-")
        self.addCleanup(folder.cleanup)
        self.config = Path(folder.name) / "rouse.yaml"
        self.config.write_text(CONFIG)
        Path(folder.name).chmod(0o755)
        self.volume = f"rouse-test-{os.getpid()}"
        self.addCleanup(self.engine.clean)

    def start(self, health=None, binds=(), **more):
        """A container as deploy/kubernetes runs it, once it is healthy; returns its id and its address."""
        function = fast_function()["command"][0]
        binds = [*binds, f"{self.config}:/etc/rouse/rouse.yaml:ro", f"{function}:/fast_function:ro", f"{self.volume}:/var/lib/rouse"]
        strict = {"ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}
        self.one = self.engine.run(IMAGE, health=health or {"Interval": 0.2}, Binds=binds, **strict, **more)
        self.wait_health("healthy")
        return self.one, self.engine.address(self.one)

    def wait_health(self, wanted):
        def as_wanted():
            state = self.engine.inspect(self.one)["State"]
            assert state["Health"]["Status"] == wanted, f"{state}\n{self.engine.logs(self.one)}"
            return True

        wait_for(as_wanted, 60, f"the container is {wanted}")

    def test_it_is_healthy_answers_and_is_not_root(self):
        one, address = self.start()
        with Connection(8080, address) as caller:
            self.assertEqual(caller.request("GET", "/function/quick").body, b"ok\n")
        with self.assertRaises(OSError):
            Connection(9080, address, timeout=2)  # the admin interface is for those inside
        status = self.engine.cli("exec", one, "cat", "/proc/1/status").stdout
        self.assertRegex(status, r"(?m)^Uid:\t10001\t10001\t10001\t10001$")
        self.assertRegex(status, r"(?m)^Gid:\t10001\t10001\t10001\t10001$")
        self.assertIn("quick", self.engine.cli("exec", one, "rouse", "status").stdout)

    def test_unhealthy_once_it_hangs(self):
        one, _ = self.start({"Interval": 0.2, "Timeout": 1, "Retries": 2})
        self.engine.api("POST", f"/containers/{one}/kill", signal="SIGSTOP")
        self.wait_health("unhealthy")

    def test_sigterm_ends_it_when_its_work_is_done(self):
        one, address = self.start()
        with Connection(8080, address) as caller:
            caller.send_request("GET", "/function/slow")
            wait_for(lambda: " 1 " in self.engine.cli("exec", one, "rouse", "status", "slow").stdout, 10, "it is in flight")
            began = time.monotonic()
            self.engine.api("POST", f"/containers/{one}/stop", t=int(scaled(60)))
            self.assertEqual(caller.read_response().status, 200)
        self.assertLess(time.monotonic() - began, scaled(50))
        self.assertEqual(self.engine.inspect(one)["State"]["ExitCode"], 0, self.engine.logs(one))

    def test_what_it_keeps_is_in_the_volume(self):
        one, address = self.start()
        with Connection(8080, address) as caller:
            taken = caller.request("POST", "/async-function/quick", body=b"")
            self.assertEqual(taken.status, 202, taken)
            where = taken.header("location")

            def state():
                return caller.request("GET", where).json()["state"]

            wait_for(lambda: state() == "succeeded", 20, "it was done")
        self.engine.api("DELETE", f"/containers/{one}", force=1)
        _, address = self.start()
        with Connection(8080, address) as caller:
            self.assertEqual(caller.request("GET", where).json()["state"], "succeeded")

    def test_functions_in_containers_beside_it(self):
        self.config.write_text('''{"server": {"listen": "0.0.0.0:8080", "data_dir": "${STATE_DIRECTORY}"},
            "functions": {"hello": {"image": "%s", "pools": ["docker"]}}}''' % example_image())
        # Who may use the socket is its group, which is root's here.
        one, address = self.start(binds=[f"{self.engine.socket}:/var/run/docker.sock"], GroupAdd=["0"])
        with Connection(8080, address) as caller:
            answer = caller.request("GET", "/function/hello")
        self.assertEqual(answer.status, 200, self.engine.logs(one))
        self.assertRegex(answer.text, HELLO)
        self.engine.api("POST", f"/containers/{one}/stop", t=int(scaled(60)))
        self.assertEqual(self.engine.inspect(one)["State"]["ExitCode"], 0, self.engine.logs(one))


class Example(unittest.TestCase):
    """docs/containers.md: the function of the examples as an image."""

    def test_it_runs_in_a_container(self):
        self.addCleanup(engine(outside=True).clean)
        pools = {"docker": {"backend": "docker", "socket": engine(outside=True).socket}}
        function = {"image": example_image(), "pools": ["docker"], "scale": {"idle": "300ms"}}
        with Daemon({"pools": pools, "functions": {"hello": function}}) as rouse:
            answer = rouse.get("/function/hello")
            self.assertEqual(answer.status, 200, answer)
            self.assertRegex(answer.text, HELLO)
            rouse.wait_zero("hello")
            wait_for(lambda: not engine(outside=True).containers(), 20, "the container is removed")


class Context(unittest.TestCase):
    """What of the project is sent to the engine: all that a build needs, and nothing else."""

    def test_the_sources_are_whole_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /src\n")
            engine(outside=True).build(ROOT, "rouse-test/context", "--file", folder / "Dockerfile", "--output", folder / "out")
            sources = folder / "out" / "src"
            for left_out in (".git", "build", "rouse-data"):
                self.assertFalse((sources / left_out).exists(), left_out)
            self.assertFalse(list(sources.rglob("__pycache__")))
            # CMake finds every folder and every file that it names.
            command = ["cmake", "--preset", "release", "-S", str(sources), "-B", str(folder / "build")]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=sources)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def tearDownModule():  # noqa: N802
    docker_engine.tearDownModule()


if __name__ == "__main__":
    unittest.main()
