"""A real Docker Engine for tests: a dockerd of the test program's own, and what a test does with it.

    engine().socket                                   # the first call of engine() starts it
    engine().containers()                             # what is there, whatever its state
    engine().api("POST", "/containers/NAME/kill")     # anything else of the Engine API

`function_image()` names an image with busybox (/bin/sh and the like) and the tests' compiled function: /fast_function, which
listens on $PORT of all addresses, is what it runs unless a command says otherwise.

dockerd, its containerd and all containers live in process, mount and network namespaces of their own, which end with the test
program, however it ends; what they write is in memory. An engine for builds (`engine(outside=True)`) keeps its images in the cache
(docker-N: a data-root for each of those that run at a time), so that a build finds the layers of the one before; containers and
networks that a killed run left are removed at the next start. Needs root and Debian's docker.io, which `./dev test` installs;
without them a test fails.
"""

import fcntl
import hashlib
import http.client
import io
import tarfile
from urllib.parse import urlencode

import own_network
from harness import *

_IMAGE = "rouse-test/function"
#: A data-root that has grown to this (in KiB) is begun anew: old layers of builds are never used again.
_MOST_KIB = 6 << 20

# What runs as the first process of the namespaces: keeps them, and reaps what loses its parent there. Sockets of shims
# and the like have fixed places below /run, which everybody shares otherwise.
_INIT = r"""
for folder in /run/containerd /run/docker "$@"; do mkdir -p "$folder"; mount -t tmpfs none "$folder"; done
echo ready
exec docker-init -s -- sleep infinity
"""


class EngineError(AssertionError):
    """The Engine refused something: `status`, and its own words."""

    def __init__(self, status, text):
        super().__init__(f"the Docker Engine answered {status}: {text}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One dockerd. `outside`: it is on the machine's own network, with a bridge of its own, so that builds with
    `--network=host` reach package archives, and a data-root that is kept; else it is in the test program's own network
    (own_network.py), and a disk that is slow to sync does not matter."""

    def __init__(self, outside=False):
        for program in ("dockerd", "containerd", "docker-init", "unshare", "ip"):
            if not _program(program):
                raise AssertionError(f"there is no `{program}`: `./dev test` installs docker.io and iproute2")
        if os.geteuid() != 0:
            raise AssertionError("a Docker Engine can be started by root only: run the tests as root")
        self.outside = outside
        if not outside:
            own_network.enter()
        self.folder = tempfile.TemporaryDirectory(prefix="rouse-docker-")
        self.path = Path(self.folder.name)
        self.socket = str(self.path / "docker.sock")
        self.host = f"unix://{self.socket}"
        self.number, self._lock = _take_number()
        self.data_root = own_network.cache_folder() / f"docker-{self.number}" if outside else self.path / "data"
        if self.data_root.exists() and _size_kib(self.data_root) > _MOST_KIB:
            shutil.rmtree(self.data_root)
        self.cgroup = f"/rouse-test-{self.number}"
        self.bridge = f"rouse-test{self.number}"
        self.init = self.process = None
        self._images = {}

    # life

    def start(self):
        """Starts namespaces and dockerd; returns when it answers."""
        self._remove_cgroups()
        self._make_bridge()
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        log = self._open_log()
        in_memory = [] if self.outside else [str(self.data_root)]
        self.init = subprocess.Popen(
            [*command, "sh", "-ec", _INIT, "init", *in_memory],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=_environment(),
        )  # fmt: skip
        log.close()
        if self.init.stdout.readline() != b"ready\n":
            raise AssertionError("no namespaces for a Docker Engine: " + (self.path / "log").read_text(errors="replace"))
        self.start_daemon(fresh=True)
        self.clean()
        return self

    def start_daemon(self, fresh=False):
        """Starts dockerd alone, after kill_daemon() or stop_daemon(), whose containers live on in between."""
        self._launch()
        try:
            self._wait_ready()
        except AssertionError:
            if not fresh or not self.outside:
                raise
            # What is kept may be damaged: a machine that lost its power while images were written.
            self.print_log()
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.data_root)
            self._launch()
            self._wait_ready()

    def _launch(self):
        settings = {
            "data-root": str(self.data_root), "exec-root": str(self.path / "exec"), "pidfile": str(self.path / "docker.pid"),
            "hosts": [self.host], "group": "root", "cgroup-parent": self.cgroup, "live-restore": True, "shutdown-timeout": 2,
            "iptables": False, "ip6tables": False, "ip-masq": False, "ip-forward": False,
        }  # fmt: skip
        if self.outside:
            settings["bridge"] = self.bridge
        (self.path / "daemon.json").write_text(json.dumps(settings))
        child = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text().split()[0]
        # The setpriv outside ends nsenter with the test program; the one inside ends dockerd with nsenter.
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", "--target", child, "--pid", "--mount", "setpriv", "--pdeathsig", "KILL"]
        log = self._open_log()
        self.process = subprocess.Popen(
            [*command, "dockerd", "--config-file", str(self.path / "daemon.json")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(),
        )  # fmt: skip
        log.close()

    def _wait_ready(self):
        def answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"dockerd ended with status {self.process.returncode}")
            return self.api("GET", "/_ping", timeout=2) == "OK"

        try:
            wait_for(answers, 60, "dockerd answers", interval=0.02)
        except RuntimeError as error:
            raise AssertionError(f"{error}; the end of its log:\n{self._log_end(20)}") from None

    @property
    def daemon_pid(self):
        """The process id of dockerd itself, to be sent signals."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def freeze_daemon(self, frozen=True):
        """SIGSTOP (or SIGCONT): it accepts connections, as the kernel does for it, and answers nothing."""
        os.kill(self.daemon_pid, signal.SIGSTOP if frozen else signal.SIGCONT)
        # nsenter stops itself when its child is stopped, some time later.
        if frozen:
            wait_for(lambda: is_frozen(self.process.pid), 20, "nsenter is stopped")
        else:
            self.process.send_signal(signal.SIGCONT)

    def kill_daemon(self):
        """kill -9 of dockerd; containers live on."""
        os.kill(self.daemon_pid, signal.SIGKILL)
        self.process.wait(scaled(30))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / "docker.pid")

    def stop_daemon(self):
        """SIGTERM of dockerd, as an update of the package does; containers live on (live-restore)."""
        os.kill(self.daemon_pid, signal.SIGTERM)
        self.process.wait(scaled(30))

    def clean(self):
        """Removes all containers, volumes and networks; images stay."""
        for one in self.containers():
            with contextlib.suppress(EngineError):
                self.api("DELETE", f"/containers/{one['Id']}", force=1, v=1)
        for one in self.api("GET", "/volumes").get("Volumes") or []:
            self.api("DELETE", f"/volumes/{one['Name']}", force=1)
        self.api("POST", "/networks/prune")

    def close(self):
        """Its end, with all that ran in it; what is kept is written."""
        with contextlib.suppress(Exception):
            self.clean()
        with contextlib.suppress(Exception):
            self.stop_daemon()  # what it has to write about images is written
        if self.init:
            self.init.kill()
            self.init.wait()
            self.init.stdout.close()
        self._make_bridge(remove=True)
        with contextlib.suppress(AssertionError):  # else the next one of this number removes them
            wait_for(self._remove_cgroups, 5, "the control groups of the containers are empty")
        self.folder.cleanup()
        os.close(self._lock)

    def _make_bridge(self, remove=False):
        if not self.outside:
            return
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)
        if not remove:
            own_network.run("ip", "link", "add", self.bridge, "type", "bridge")
            own_network.run("ip", "address", "add", f"172.31.{200 + self.number}.1/24", "dev", self.bridge)
            own_network.run("ip", "link", "set", self.bridge, "up")

    def _remove_cgroups(self):
        """What containers leave in the control groups; true when nothing is left."""
        left = [Path(f"/sys/fs/cgroup{self.cgroup}"), *Path("/sys/fs/cgroup").glob(f"*{self.cgroup}")]
        for top in filter(Path.exists, left):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        return not any(top.exists() for top in left)

    def _open_log(self):
        return open(self.path / "log", "ab")

    def _log_end(self, count):
        return "\n".join((self.path / "log").read_text(errors="replace").splitlines()[-count:])

    def print_log(self):
        print("--- log of dockerd ---", self._log_end(60), "--- end of the log ---", sep="\n", file=sys.stderr)

    # the Engine API

    def api(self, method, path, body=None, timeout=60, **query):
        """One request: what its JSON (or text) says; EngineError for what is refused. `body` is sent as JSON unless it is
        bytes or a file, which is sent as a tar."""
        connection = _UnixConnection(self.socket, scaled(timeout))
        tar = isinstance(body, (bytes, io.IOBase))
        headers = {} if body is None else {"Content-Type": "application/x-tar" if tar else "application/json"}
        try:
            path = f"/v1.41{path}" if path != "/_ping" else path
            connection.request(
                method, path + ("?" + urlencode(query, doseq=True) if query else ""), body if tar or body is None else json.dumps(body),
                headers, encode_chunked=hasattr(body, "read"),
            )  # fmt: skip
            response = connection.getresponse()
            text = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise AssertionError(f"{method} {path}: dockerd does not answer: {error!r}") from None
        finally:
            connection.close()
        if response.status >= 400:
            with contextlib.suppress(ValueError):
                text = json.loads(text)["message"].encode()
            raise EngineError(response.status, f"{method} {path}: {text.decode(errors='replace').strip()}")
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text.decode(errors="replace")

    def containers(self, label=None):
        """All containers, whatever their state; only those with the label (`KEY` or `KEY=VALUE`) when it is given."""
        query = {"filters": json.dumps({"label": [label]})} if label else {}
        return self.api("GET", "/containers/json", all=1, **query)

    def inspect(self, container):
        return self.api("GET", f"/containers/{container}/json")

    def run(self, image=None, command=None, name=None, env=None, labels=None, health=None, **host_config):
        """A container that is none of rouse's, started; returns its id. `health`: how the image's
        health check is done, times in seconds (Interval=1, Retries=1). `host_config` as the Engine API has it (Binds=...)."""
        spec = {"Image": image or self.function_image(), "Env": [f"{key}={value}" for key, value in (env or {}).items()]}
        spec |= {"Labels": labels or {}, "HostConfig": host_config}
        if command:
            spec["Cmd"] = list(command)
        if health:
            spec["Healthcheck"] = {key: value if key == "Retries" else int(value * 1e9) for key, value in health.items()}
        made = self.api("POST", "/containers/create", spec, **({"name": name} if name else {}))["Id"]
        self.api("POST", f"/containers/{made}/start")
        return made

    def address(self, container):
        """The IP address of a running container."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        return next(one["IPAddress"] for one in networks.values() if one["IPAddress"])

    def logs(self, container):
        """What it wrote so far, as the CLI shows it."""
        return self.cli("logs", container).stdout

    def cli(self, *args, check=True, timeout=600, **more):
        """Runs the `docker` command against this engine; its output is one text."""
        command = [_program("docker"), "--host", self.host, *map(str, args)]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.path / "config")}
        environment.pop("DOCKER_HOST", None)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
            timeout=scaled(timeout), **more,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, args))}: status {done.returncode}:\n{done.stdout[-8000:]}")
        return done

    # images

    def import_tar(self, tar, name, changes=()):
        """Makes an image of one layer of a tar (bytes, or an open file), with changes as a Dockerfile has them."""
        repo, _, tag = name.partition(":")
        said = self.api("POST", "/images/create", tar, timeout=300, fromSrc="-", repo=repo, tag=tag or "latest", changes=list(changes))
        if '"error"' in str(said):
            raise AssertionError(f"the image {name} could not be imported: {said}")

    def function_image(self):
        """The name of the image with busybox and fast_function (see above); made when it is asked for first."""
        if _IMAGE not in self._images:
            tar = _function_tar()
            digest = hashlib.sha256(tar).hexdigest()[:16]
            name = f"{_IMAGE}:{digest}"
            if not self._has_image(name):
                unused = {"dangling": ["false"], "label": ["rouse-test=function"]}  # of earlier builds
                self.api("POST", "/images/prune", filters=json.dumps(unused))
                changes = ("ENV HOST=0.0.0.0", "ENV PATH=/bin", "LABEL rouse-test=function", 'CMD ["/fast_function"]')
                self.import_tar(tar, name, changes)
            self._images[_IMAGE] = name
        return self._images[_IMAGE]

    def base_image(self):
        """`debian:bookworm-slim` as `./dev test` makes it: what Dockerfiles of the project begin with."""
        tar = own_network.cache_folder() / "debian-bookworm" / "root.tar"
        if not tar.exists():
            raise AssertionError(f"there is no {tar}: `./dev test` makes it")
        label = f"rouse-test-base={int(tar.stat().st_mtime)}"
        name = "debian:bookworm-slim"
        key, _, value = label.partition("=")
        if not self._has_image(name) or (self.api("GET", f"/images/{name}/json")["Config"].get("Labels") or {}).get(key) != value:
            with open(tar, "rb") as file:
                self.import_tar(file, name, [f"LABEL {label}", 'CMD ["bash"]'])
        return name

    def build(self, folder, tag, *options):
        """`docker build` (BuildKit) of the folder, on the machine's network; returns what it said."""
        self.base_image()
        return self.cli("build", "--progress=plain", "--network=host", "--tag", tag, *options, str(folder), timeout=1800).stdout

    def _has_image(self, name):
        try:
            self.api("GET", f"/images/{name}/json")
            return True
        except EngineError as error:
            if error.status != 404:
                raise
            return False


def _environment():
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"}


def _program(name):
    """Debian's own before others of that name, which may be for another engine."""
    return shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin:" + os.environ.get("PATH", ""))


def _take_number():
    """(number, lock): a number that no other engine of this machine has now, for what must not be shared; the lock is a descriptor to be
    closed."""
    own_network.cache_folder().mkdir(parents=True, exist_ok=True)
    os.makedirs("/run/lock", exist_ok=True)
    for number in range(50):
        lock = os.open(f"/run/lock/rouse-test-docker-{number}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return number, lock
    raise AssertionError(f"50 Docker Engines of tests run at a time, say /run/lock/rouse-test-docker-*")


def _size_kib(folder):
    done = subprocess.run(["du", "-skx", str(folder)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return int(done.stdout.split()[0]) if done.stdout else 0


def _function_tar():
    """The file system of the test image. The same bytes for the same programs."""
    function = os.environ.get("ROUSE_FAST_FUNCTION") or str(ROOT / "build" / "release" / "tests" / "fast_function")
    busybox = _program("busybox")
    if not Path(function).exists():
        raise AssertionError(f"there is no {function}: build the target fast_function")
    if not busybox:
        raise AssertionError("there is no busybox: `./dev test` installs busybox-static")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def add(name, data=b"", mode=0o755, kind=tarfile.REGTYPE, link=""):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.type, entry.linkname, entry.size = mode, kind, link, len(data)
            tar.addfile(entry, io.BytesIO(data))

        for folder in ("bin", "dev", "etc", "proc", "sys"):
            add(folder, kind=tarfile.DIRTYPE)
        add("tmp", kind=tarfile.DIRTYPE, mode=0o1777)
        add("etc/passwd", mode=0o644, data=b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        add("bin/busybox", data=Path(busybox).read_bytes())
        for applet in ("sh", "cat", "echo", "env", "false", "httpd", "kill", "nc", "sleep", "true", "wget"):
            add(f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        add("fast_function", data=Path(function).read_bytes())
    return out.getvalue()


_engines = {}


def engine(outside=False):
    """The engine of this program; the first call starts it."""
    if outside not in _engines:
        started = Engine(outside)
        try:
            started.start()
        except BaseException:
            started.print_log()
            started.close()
            raise
        _engines[outside] = started
    return _engines[outside]


def running_engine():
    """The same if there is one, else None."""
    return next(iter(_engines.values()), None)


def tearDownModule():  # noqa: N802  (a name that unittest knows; `import *` brings it)
    """Ends the engine when the program's last test has run."""
    while _engines:
        _engines.popitem()[1].close()
