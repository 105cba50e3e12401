"""A real Kubernetes API server for tests: etcd, kube-apiserver and kube-controller-manager (Deployments, ReplicaSets,
EndpointSlices, quotas, garbage, namespaces), with RBAC, and kubelet.py in the part of scheduler and kubelet.

    cluster = kubernetes()                               # the first call starts it, in about 3 s
    space = cluster.new_namespace()
    cluster.create_function("echo", space, replicas=2)   # a Deployment and a Service
    cluster.wait_ready("echo", space, 2)
    Daemon({"pools": {"kubernetes": {"backend": "kubernetes", "kubeconfig": str(cluster.kubeconfig), "namespace": space}}, ...})

It lives in a network namespace of the test program's own (own_network.py), where pods have addresses of their own. The programs are
those of kubernetes/go.mod, which `./dev test` builds into the cache, once; without them a test fails. When a test fails, print_log()
shows the ends of their logs.
"""

import atexit
import base64
import itertools

import kubelet as kubelet_module
import own_network
from harness import *
from kube_api import MERGE, STRATEGIC, Api, ApiError  # noqa: F401
from kube_link import Link

_VERSION = re.search(r"^\tk8s\.io/kubernetes (v\S+)", (HERE / "kubernetes" / "go.mod").read_text(), re.M)[1]
_CONTROLLERS = "deployment,replicaset,endpointslice,resourcequota,garbagecollector,namespace"


def program_folder():
    """Where `./dev test` puts etcd, kube-apiserver and kube-controller-manager."""
    return own_network.cache_folder() / f"kubernetes-{_VERSION}" / "bin"


class Cluster:
    """One API server and what belongs to it, on ports of its own that it keeps over kill_api_server() and the like.

    api                      an Api as an administrator
    kubeconfig               as an administrator by token
    kubeconfig_certificate   the same by client certificate, given as data in the file
    `more`: flags for kube-apiserver.
    """

    def __init__(self, *more):
        missing = [name for name in ("etcd", "kube-apiserver", "kube-controller-manager") if not (program_folder() / name).exists()]
        if missing:
            raise AssertionError(f"there is no {', '.join(missing)} in {program_folder()}: `./dev test` builds them")
        own_network.enter()
        with contextlib.suppress(AssertionError):  # it has them already
            own_network.serve_on_loopback(kubelet_module.PODS)
        self.folder = tempfile.TemporaryDirectory(prefix="rouse-kubernetes-")
        self.path = Path(self.folder.name)
        self.port, self.etcd_port, self.more = free_port(), free_port(), list(more)
        self.processes, self._links, self._names = {}, [], itertools.count(1)
        self.token, self.ca = os.urandom(16).hex(), self.path / "ca.pem"

    # life

    def start(self):
        self._certify()
        (self.path / "tokens.csv").write_text(f'{self.token},admin,1,"system:masters"\n')
        self.api = Api(self.port, self.ca, token=self.token, timeout=scaled(30))
        self.kubeconfig = self.write_kubeconfig("admin", f"token: {self.token}")
        data = {name: base64.b64encode((self.path / f"admin{end}.pem").read_bytes()).decode() for name, end in (("certificate", ""), ("key", "-key"))}
        self.kubeconfig_certificate = self.write_kubeconfig(
            "certificate", f"client-certificate-data: {data['certificate']}", f"client-key-data: {data['key']}"
        )
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self.etcd_port}"
        self._launch(
            "etcd", "--data-dir", self.path / "etcd", "--unsafe-no-fsync", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--log-level", "warn",
        )  # fmt: skip
        self.start_api_server()
        self._launch(
            "kube-controller-manager", "--kubeconfig", self.kubeconfig, f"--controllers={_CONTROLLERS}", "--leader-elect=false",
            "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000", "--endpointslice-updates-batch-period=0",
            "--concurrent-deployment-syncs=2", "--namespace-sync-period=1m", "--profiling=false",
        )  # fmt: skip
        self._make_node()
        function = os.environ.get("ROUSE_FAST_FUNCTION") or str(ROOT / "build" / "release" / "tests" / "fast_function")
        self._pod_log = open(self.path / "pods.log", "a")
        self.kubelet = kubelet_module.Kubelet(self.api, [function], self._pod_log)
        self.kubelet.start()
        return self

    def _certify(self):
        """A certificate authority, and certificates for the server and an administrator."""

        def openssl(*args):
            own_network.run("openssl", *map(str, args))

        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        key = self.path / "ca-key.pem"
        openssl("req", "-x509", *new, "-days", "7", "-subj", "/CN=rouse-test-ca", "-keyout", key, "-out", self.ca)
        names = "subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
        for name, subject in (("server", "/CN=kube-apiserver"), ("admin", "/O=system:masters/CN=certified")):
            request, out = self.path / f"{name}.csr", self.path / f"{name}.pem"
            openssl("req", *new, "-subj", subject, "-addext", names, "-keyout", self.path / f"{name}-key.pem", "-out", request)
            openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", key, "-copy_extensions", "copy", "-days", "7", "-out", out)
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path / "sa.key")
        openssl("ec", "-in", self.path / "sa.key", "-pubout", "-out", self.path / "sa.pub")

    def start_api_server(self, ready=True):
        """Starts it, after kill_api_server() with what it knew; returns when it is ready unless `ready` is false."""
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}", "bind-address": "127.0.0.1", "secure-port": self.port,
            "tls-cert-file": self.path / "server.pem", "tls-private-key-file": self.path / "server-key.pem", "client-ca-file": self.ca,
            "service-account-key-file": self.path / "sa.pub", "service-account-signing-key-file": self.path / "sa.key",
            "service-account-issuer": "https://kubernetes.default.svc", "token-auth-file": self.path / "tokens.csv",
            "authorization-mode": "RBAC", "service-cluster-ip-range": "10.0.0.0/16", "endpoint-reconciler-type": "none",
            "advertise-address": "192.0.2.1",  # of nobody: there is no route to guess one from
            # Nobody would make the accounts that pods want; and nobody takes away the taint of a new node.
            "disable-admission-plugins": "ServiceAccount,TaintNodesByCondition", "profiling": "false",
        }  # fmt: skip
        self._launch("kube-apiserver", *(f"--{name}={value}" for name, value in flags.items()), *self.more)
        if ready:
            self.wait_api_server()

    def wait_api_server(self):
        def answers():
            self._check("kube-apiserver")
            return self.api.get("/readyz").get("message") == "ok"

        wait_for(answers, 60, "the API server is ready", interval=0.02)

    def _launch(self, name, *args):
        with open(self.path / f"{name}.log", "ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", program_folder() / name, *args]
            self.processes[name] = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.path
            )

    def _check(self, name):
        status = self.processes[name].poll()
        if status is not None:
            raise RuntimeError(f"{name} ended with status {status}:\n{self._log_end(name, 20)}")

    def _make_node(self):
        """The node that all pods are bound to."""
        name = kubelet_module.NODE
        self.api.post("/api/v1/nodes", {"kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": kubelet_module.now()}
        self.api.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}}, STRATEGIC)

    def kill_api_server(self):
        """kill -9; what listens there is gone. The rest lives on."""
        self.processes["kube-apiserver"].kill()
        self.processes["kube-apiserver"].wait()

    def freeze_api_server(self, frozen=True):
        """SIGSTOP (or SIGCONT): the kernel accepts connections for it, and nothing is answered."""
        self.processes["kube-apiserver"].send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def close(self):
        """Its end, with all pods."""
        if hasattr(self, "kubelet"):
            self.kubelet.close()
            self._pod_log.close()
        for link in self._links:
            link.close()
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.folder.cleanup()

    def _log_end(self, name, count):
        path = self.path / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-count:]) if path.exists() else ""

    def print_log(self):
        for name in (*self.processes, "pods"):
            print(f"--- log of {name} ---", self._log_end(name, 40), "--- end of the log ---", sep="\n", file=sys.stderr)

    # who one is

    def write_kubeconfig(self, name, *user, port=None, namespace=None):
        """A kubeconfig with one context of that name; `user`: lines of its user."""
        path = self.path / f"{name}.kubeconfig"
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        lines = ["apiVersion: v1", "kind: Config", f"current-context: {name}", "clusters:", "- name: test", "  cluster:"]
        lines += [f"    server: https://127.0.0.1:{port or self.port}", f"    certificate-authority-data: {ca}", "users:", f"- name: {name}"]
        lines += ["  user:", *(f"    {line}" for line in user), "contexts:", f"- name: {name}", "  context:", "    cluster: test"]
        lines += [f"    user: {name}", *([f"    namespace: {namespace}"] if namespace else [])]
        path.write_text("\n".join(lines) + "\n")
        return path

    def service_account(self, namespace, rules, name="rouse"):
        """A service account that may do what the rules (of a Role, a list) say, in the namespace. Returns a folder as pods have it:
        token, ca.crt, namespace."""
        meta = {"metadata": {"name": name}}
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        group = "rbac.authorization.k8s.io"
        self.api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", meta)
        self.api.post(f"{rbac}/roles", {**meta, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        role = {"apiGroup": group, "kind": "Role", "name": name}
        self.api.post(f"{rbac}/rolebindings", {**meta, "subjects": [subject], "roleRef": role})
        folder = self.path / f"account-{namespace}-{name}"
        folder.mkdir()
        for file, text in (("ca.crt", self.ca.read_text()), ("namespace", namespace), ("token", self.new_token(namespace, name))):
            (folder / file).write_text(text)
        return folder

    def deployed_account(self, namespace, without=""):
        """The service account that deploy/kubernetes gives rouse, with its rights and no other; as service_account(). `without`: a
        resource that it has no rights on."""
        import yaml  # Debian's: not every program that stands on this has it

        documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "rbac.yaml").read_text())
        rules = next(one["rules"] for one in documents if one["kind"] == "Role")
        return self.service_account(namespace, [rule for rule in rules if without not in rule["resources"]])

    def new_token(self, namespace, name="rouse", seconds=3600):
        """A token of the service account (TokenRequest); 600 seconds is the least."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return self.api.post(path, {"spec": {"expirationSeconds": seconds}})["status"]["token"]

    def kubeconfig_of_account(self, folder):
        """A kubeconfig with the token of service_account() as a file."""
        name = folder.name
        return self.write_kubeconfig(name, f"tokenFile: {folder / 'token'}", namespace=(folder / "namespace").read_text())

    def link(self):
        """Another way to the API server, which can be cut (kube_link.py); its `kubeconfig` is an administrator's."""
        link = Link(self.port)
        self._links.append(link)
        link.kubeconfig = self.write_kubeconfig(f"link-{len(self._links)}", f"token: {self.token}", port=link.port)
        return link

    # functions

    def new_namespace(self, prefix="space"):
        """A namespace of a new name; returns that."""
        name = f"{prefix}-{next(self._names)}"
        self.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def create_function(self, name, namespace, replicas=0, command=None, port=8080, port_name="http", env=None, behaviour=None, **pod):
        """A Deployment (selector `app: NAME`) and a Service of that name. `command`: fast_function by default. `behaviour`: see
        kubelet.py. `pod`: more keys of the pod's spec."""
        container = {"name": "function", "image": f"registry.invalid/{name}:1", "ports": [{"name": port_name, "containerPort": port}]}
        container["env"] = [{"name": key, "value": str(value)} for key, value in (env or {}).items()]
        if command:
            container["command"] = list(map(str, command))
        labels = {"app": name}
        annotations = {kubelet_module.BEHAVIOUR: behaviour} if behaviour else {}
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container], **pod}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        self.api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        ports = [{"name": port_name, "port": 80, "targetPort": port_name}]
        service = {"metadata": {"name": name, "labels": labels}, "spec": {"selector": labels, "ports": ports}}
        self.api.post(f"/api/v1/namespaces/{namespace}/services", service)

    def deployment(self, name, namespace):
        return self.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")

    def replicas(self, name, namespace):
        """How many it shall have."""
        return self.deployment(name, namespace)["spec"]["replicas"]

    def scale(self, name, namespace, count):
        """As somebody would by hand."""
        self.api.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", {"spec": {"replicas": count}})

    def pods(self, name, namespace):
        """The pods of a function, those that are being deleted included."""
        return self.api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"app={name}")["items"]

    def delete_pod(self, name, namespace, grace=None):
        return self.api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", grace=grace)

    def endpoints(self, name, namespace):
        """{address: conditions} of all EndpointSlices of a Service."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        slices = self.api.get(path, labelSelector=f"kubernetes.io/service-name={name}")["items"]
        return {one["addresses"][0]: one["conditions"] for part in slices for one in part.get("endpoints") or []}

    def wait_ready(self, name, namespace, count, timeout=30):
        """Waits until exactly so many addresses of a Service are ready; returns them."""

        def as_wanted():
            found = self.endpoints(name, namespace)
            ready = [address for address, conditions in found.items() if conditions.get("ready")]
            assert len(ready) == count, f"{found}; pods: {[(one['metadata']['name'], one.get('status')) for one in self.pods(name, namespace)]}"
            return [ready]

        return wait_for(as_wanted, timeout, f"{name} has {count} ready endpoints")[0]

    def limit_pods(self, namespace, count):
        """A ResourceQuota; it holds when this returns."""
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        self.api.post(path, {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": str(count)}}})
        wait_for(lambda: (self.api.get(f"{path}/pods").get("status") or {}).get("hard"), 20, "the quota is known")

    def lease(self, name, namespace):
        """The spec of a Lease; None where there is none."""
        found = self.api.find(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
        return found and found["spec"]


_cluster = None


def kubernetes():
    """The cluster of this program; the first call starts it."""
    global _cluster
    if _cluster is None:
        started = Cluster()
        atexit.register(tearDownModule)
        try:
            started.start()
        except BaseException:
            started.print_log()
            started.close()
            raise
        _cluster = started
    return _cluster


def running_cluster():
    """The same if there is one, else None."""
    return _cluster


def tearDownModule():  # noqa: N802  (a name that unittest knows; `import *` brings it)
    """Ends the cluster when the program's last test has run."""
    global _cluster
    if _cluster is not None:
        _cluster.close()
        _cluster = None
