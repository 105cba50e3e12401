"""The static backend: rouse as a balancer over servers that run anyway."""

import struct
from collections import Counter

from harness import *
from load import Load


class Server:
    """A local process at an address of its own, which a test kills and starts again."""

    def __init__(self, host="127.0.0.1", port=None):
        self.host, self.port = host, port or free_port()
        self.process = None
        self.start()

    @property
    def at(self):
        return f"{self.host}:{self.port}"

    def start(self):
        environment = {**os.environ, "HOST": self.host, "PORT": str(self.port)}
        command = ["setpriv", "--pdeathsig", "KILL", PYTHON, "-u", str(FUNCTIONS / "gated.py"), "--quiet"]
        self.process = subprocess.Popen(command, env=environment)

        def listens():
            with socket.create_connection((self.host, self.port), 1):
                return True

        wait_for(listens, 20, f"{self.at} listens")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Names:
    """A name server of a few lines, on an address of the loopback network: answers A queries by `answers`, and what it does
    not know, AAAA included, with an empty list."""

    def __init__(self, host="127.94.7.53"):
        self.host, self.answers, self.asked = host, {}, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                query, who = self.socket.recvfrom(4096)
                labels, at = [], 12
                while length := query[at]:
                    labels.append(query[at + 1 : at + 1 + length].decode())
                    at += 1 + length
                question = query[12 : at + 5]
                found = self.answers.get(".".join(labels).lower(), []) if question[-4:-2] == b"\0\1" else []
                self.asked += question[-4:-2] == b"\0\1"
                head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
                records = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(one) for one in found]
                self.socket.sendto(head + question + b"".join(records), who)

    def wrap(self, folder):
        """A command in front of the daemon's, for which this is the name server and no file of the machine has changed."""
        (Path(folder) / "resolv.conf").write_text(f"nameserver {self.host}\noptions attempts:1 timeout:2\n")
        script = f'mount --bind "{folder}/resolv.conf" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh"]


class Static(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.gate = Path(self.folder.name) / "gate"

    def servers(self, count, **keys):
        made = [Server(**keys) for _ in range(count)]
        for one in made:
            self.addCleanup(one.kill)
        return made

    def config(self, endpoints, pool=None, **keys):
        pools = {"servers": {"backend": "static", "check_interval": "100ms", "resolve_interval": "100ms", **(pool or {})}}
        function = {"endpoints": endpoints, "pools": ["servers"], **keys}
        return {"pools": pools, "functions": {"app": function}}

    def hold(self, rouse, count):
        """So many callers whose requests are answered when the gate opens."""
        callers = [rouse.connect(60) for _ in range(count)]
        for one in callers:
            self.addCleanup(one.close)
            one.send_request("GET", f"/function/app?until={self.gate}")
        return callers

    def test_least_request_within_limits(self):
        three = self.servers(3)
        with Daemon(self.config([one.at for one in three], concurrency=2)) as rouse:
            # All are used from the beginning, whatever the load.
            self.assertEqual({one["address"] for one in rouse.wait_instances("app", 3)}, {one.at for one in three})
            callers = self.hold(rouse, 3)
            rouse.wait_load("app", 3)
            self.assertEqual([one["in_flight"] for one in rouse.instances("app")], [1, 1, 1])
            callers += self.hold(rouse, 5)
            rouse.wait_load("app", 6, 2)
            self.assertEqual([one["in_flight"] for one in rouse.instances("app")], [2, 2, 2])
            self.gate.touch()
            answers = [one.read_response() for one in callers]
            self.assertEqual([one.status for one in answers], [200] * 8)
            self.assertLessEqual(max(one.json()["most_in_flight"] for one in answers), 2)
            with Load(rouse.port, "/function/app", 12) as load:
                load.tag = lambda body: json.loads(body)["pid"]
                load.wait_answers(600, 60)
            self.assertEqual(load.failures, [])
            self.assertEqual(set(load.tags), {one.process.pid for one in three})
            self.assertGreater(min(load.tags.values()), 100)
            # Idle for as long as one likes, they stay, and are nobody's cost.
            self.assertEqual(rouse.pools()["servers"]["instances"], 3)

    def test_one_dies_and_comes_back(self):
        three = self.servers(3)
        with Daemon(self.config([one.at for one in three], retry={"attempts": 5, "budget": "100%"})) as rouse:
            rouse.wait_instances("app", 3)
            with Load(rouse.port, "/function/app", 6, method="GET") as load:
                load.tag = lambda body: json.loads(body)["pid"]
                load.wait_answers(50)
                three[1].kill()
                rouse.wait_instances("app", 2)
                load.wait_turn()
                load.tags = Counter()
                load.wait_answers(100)
                self.assertEqual(set(load.tags), {three[0].process.pid, three[2].process.pid})
                three[1].start()
                rouse.wait_instances("app", 3)
                wait_for(lambda: three[1].process.pid in load.tags, 20, "the one that came back answers")
            self.assertEqual(load.failures, [])
            # Said once, with the reason.
            self.assertEqual(len(rouse.whole_log(rf"{re.escape(three[1].at)} .*checks in a row")), 1)

    def test_none_is_healthy(self):
        two = self.servers(2)
        for one in two:
            one.kill()
        with Daemon(self.config([one.at for one in two])) as rouse:
            for _ in range(3):  # asked, and refused while it is known
                answer = rouse.get("/function/app")
                self.assertEqual(answer.status, 503)
                self.assertTrue(answer.problem()["type"].endswith("no-capacity"), answer)
                self.assertIn("none of 2 endpoints is healthy", answer.problem()["detail"])
            rouse.wait_log(rf"none of 2 endpoints is healthy: {re.escape(min(one.at for one in two))} refuses connections")
            # One that is back is used at once, whatever was tried before.
            two[1].start()
            self.assertEqual(rouse.wait_instances("app", 1)[0]["address"], two[1].at)
            self.assertEqual(rouse.get("/function/app").status, 200)

    def test_ready_path(self):
        """Health is what the path answers, and not that the port accepts."""
        one = self.servers(1)[0]
        with Daemon(self.config([one.at], ready={"path": "/?status=503"})) as rouse:
            self.assertEqual(rouse.get("/function/app").status, 503)
            rouse.wait_log(r"answers GET /\?status=503 with 503")
            rouse.reload(self.config([one.at], ready={"path": "/?status=201"}))
            rouse.wait_instances("app", 1)
            self.assertEqual(rouse.get("/function/app").status, 200)

    def test_other_endpoints_are_another_revision(self):
        """A change of the list under load: nobody notices."""
        three = self.servers(3)
        with Daemon(self.config([one.at for one in three[:2]])) as rouse:
            rouse.wait_instances("app", 2)
            with Load(rouse.port, "/function/app", 6) as load:
                load.wait_answers(50)
                rouse.reload(self.config([one.at for one in three[1:]]))
                wanted = {one.at for one in three[1:]}
                wait_for(lambda: {one["address"] for one in rouse.instances("app")} == wanted, 30, "the new list is in use")
                load.wait_answers(50)
            self.assertEqual(load.failures, [])

    def test_a_name_of_the_machine(self):
        one = self.servers(1)[0]
        with Daemon(self.config([f"localhost:{one.port}"])) as rouse:
            self.assertEqual(rouse.get("/function/app").status, 200)
            self.assertEqual([each["address"] for each in rouse.instances("app")], [one.at])

    def test_a_name_whose_addresses_change(self):
        port = free_port()
        hosts = [f"127.94.7.{i}" for i in (1, 2, 3)]
        for host in hosts:
            self.servers(1, host=host, port=port)
        names = Names()
        self.addCleanup(names.socket.close)
        names.answers["app.test"] = hosts[:2]

        def used(rouse):
            return sorted(one["address"] for one in rouse.instances("app", "ready"))

        with Daemon(self.config([f"app.test:{port}"]), wrap=names.wrap(self.folder.name)) as rouse:
            wait_for(lambda: used(rouse) == [f"{host}:{port}" for host in hosts[:2]], 20, "both are in use")
            with Load(rouse.port, "/function/app", 4) as load:
                load.wait_answers(50)
                held = self.hold(rouse, 6)  # each of the two has some of them
                names.answers["app.test"] = hosts[1:]
                wait_for(lambda: used(rouse) == [f"{host}:{port}" for host in hosts[1:]], 20, "one left and one came")
                load.wait_answers(50)
                self.gate.touch()  # what it was doing it could finish
                self.assertEqual([one.read_response().status for one in held], [200] * 6)
                rouse.wait_instances("app", 2, None)
                # A name that has nothing any more is no reason to use nothing.
                names.answers.clear()
                rouse.wait_log("cannot look up app.test")
                load.wait_answers(50)
                self.assertEqual(used(rouse), [f"{host}:{port}" for host in hosts[1:]])
                self.assertIn("app.test", rouse.pools()["servers"]["problem"])
                names.answers["app.test"] = hosts[1:]
                wait_for(lambda: not rouse.pools()["servers"]["problem"], 20, "all is well again")
            self.assertEqual(load.failures, [])

    def test_the_configuration_of_the_docs(self):
        two = self.servers(2)
        changes = ("10.0.0.7:8080", two[0].at), ("shop.internal:8080", f"localhost:{two[1].port}")
        with Daemon(documented("backend: static", *changes)) as rouse:
            rouse.wait_instances("shop", 2)
            self.assertEqual(rouse.get("/function/shop").status, 200)


if __name__ == "__main__":
    unittest.main()
