"""Plays scheduler and kubelet for tests: binds pods to a node that it made up, and runs each one as a local process.

A pod's process is the command of its first container, which is run here as it stands, or fast_function where it has none. It is
told by PORT and HOST where to listen: the container's port, and an address that is the pod's own. The pod is Ready a few
milliseconds after that port accepts.

What shall go wrong is said by the annotation `rouse.test/behaviour` of the pod (of the Deployment's template), or by behave():

    ok                as above; what crashes is started again in the same pod: at once, then after 1 s, 2 s, ... (CrashLoopBackOff)
    slow SECONDS      ready that much later
    image-pull        no image: ErrImagePull, ImagePullBackOff
    crash-loop        CrashLoopBackOff from the beginning, nothing runs
    unschedulable     no room on any node
    never-ready       runs, and is not Ready
    creating          ContainerCreating, forever

One thread does all that; others only wait for the API server's news and for processes to end, and tell it.
"""

import heapq
import itertools
import os
import queue
import signal
import socket
import subprocess
import threading
import time

from kube_api import STRATEGIC, ApiError

BEHAVIOUR = "rouse.test/behaviour"
NODE = "node-1"
#: Addresses of pods (10.244.0.0/16); see own_network.serve_on_loopback.
PODS = "10.244.0.0/16"


def now():
    """A time as the API has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Pod:
    """What runs for a pod."""

    def __init__(self, one):
        self.object = one
        self.uid, self.name, self.namespace = one["metadata"]["uid"], one["metadata"]["name"], one["metadata"]["namespace"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.behaviour = None
        self.process = self.ip = None
        self.port = 0
        self.begun = self.ready = self.ending = False
        self.status = None
        self.restarts = 0

    @property
    def deployment(self):
        """The Deployment that its ReplicaSet is of; None without."""
        owner = next((one for one in self.object["metadata"].get("ownerReferences", []) if one["kind"] == "ReplicaSet"), None)
        return owner["name"].rpartition("-")[0] if owner else None


class Kubelet:
    """`api`: as an administrator. `default_command`: what a container without a command runs. `log`: an open file for what they
    write."""

    def __init__(self, api, default_command, log):
        self.api, self.default_command, self.log = api, default_command, log
        self._pods, self._behaviours = {}, {}
        self._queue, self._timers, self._order = queue.Queue(), [], itertools.count()
        self._addresses = (f"10.244.{high}.{low}" for high in range(256) for low in range(1, 255))
        self._held, self._waiting = False, []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._work, self._watch)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def close(self):
        """Kills what runs; pods stay in the API."""
        self._done.set()
        self._queue.put(None)
        self._threads[0].join()
        for pod in self._pods.values():
            if pod.process:
                pod.process.kill()

    # what tests say

    def behave(self, namespace, deployment, behaviour):
        """From now on new pods of the Deployment behave so, whatever their annotation says; None: as that says."""
        self._behaviours[namespace, deployment] = behaviour

    def hold(self, held=True):
        """The node does not answer: nothing is started, ended or reported until hold(False)."""
        self._queue.put(lambda: self._hold(held))

    def process(self, namespace, name):
        """The process id of a pod; None while there is none."""
        pod = next((one for one in list(self._pods.values()) if (one.namespace, one.name) == (namespace, name)), None)
        return pod.process.pid if pod and pod.process else None

    # threads

    def _watch(self):
        while not self._done.is_set():
            try:
                listed = self.api.get("/api/v1/pods")
                self._queue.put(lambda all_=listed["items"]: self._on_list(all_))
                for kind, one in self.api.watch("/api/v1/pods", listed["metadata"]["resourceVersion"]):
                    if self._done.is_set():
                        return
                    if kind == "ERROR":
                        break
                    if kind != "BOOKMARK":
                        self._queue.put(lambda kind=kind, one=one: self._on_pod(kind, one))
            except (OSError, ApiError):  # the test killed the server, or froze it
                self._done.wait(0.05)

    def _work(self):
        while not self._done.is_set():
            left = max(0, self._timers[0][0] - time.monotonic()) if self._timers else None
            try:
                news = self._queue.get(timeout=left)
            except queue.Empty:
                self._soon(heapq.heappop(self._timers)[2])
                continue
            if news is not None:
                news()

    def _try(self, work):
        try:
            work()
        except ApiError as error:
            if error.status not in (404, 409):
                print(f"kubelet: {error}", file=self.log, flush=True)
        except OSError:  # the server is away: once more, later
            self._after(0.1, work)

    def _after(self, seconds, work):
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), work))

    def _hold(self, held):
        self._held = held
        if not held:
            waiting, self._waiting = self._waiting, []
            for work in waiting:
                self._try(work)

    # pods

    def _on_list(self, pods):
        for uid in set(self._pods) - {one["metadata"]["uid"] for one in pods}:
            self._gone(self._pods[uid])
        for one in pods:
            self._on_pod("MODIFIED", one)

    def _on_pod(self, kind, one):
        pod = self._pods.get(one["metadata"]["uid"])
        if kind == "DELETED":
            if pod:
                self._gone(pod)
            return
        if pod is None:
            pod = self._pods[one["metadata"]["uid"]] = Pod(one)
        pod.object = one
        if one["metadata"].get("deletionTimestamp"):
            if not pod.ending:
                pod.ending = True
                self._soon(lambda: self._end(pod))
        elif not pod.begun:
            pod.begun = True
            self._soon(lambda: self._begin(pod))

    def _soon(self, work):
        """What asks the API server for something: at once, unless the node is held."""
        if self._held:
            self._waiting.append(work)
        else:
            self._try(work)

    def _gone(self, pod):
        self._pods.pop(pod.uid, None)
        pod.ending = True
        if pod.process:
            pod.process.kill()

    def _begin(self, pod):
        annotations = pod.object["metadata"].get("annotations") or {}
        pod.behaviour = self._behaviours.get((pod.namespace, pod.deployment)) or annotations.get(BEHAVIOUR) or "ok"
        if pod.behaviour == "unschedulable":
            message = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available."
            self._report(pod, "Pending", PodScheduled=("False", "Unschedulable", message))
            return
        if not pod.object["spec"].get("nodeName"):
            target = {"kind": "Node", "name": NODE}
            meta = {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid}
            try:
                self.api.post(f"{pod.path}/binding", {"kind": "Binding", "apiVersion": "v1", "metadata": meta, "target": target})
            except ApiError as error:
                if error.status != 409:  # it is bound: the answer was lost when this was tried before
                    raise
        word = pod.behaviour.partition(" ")[0]
        image = pod.object["spec"]["containers"][0].get("image", "")
        if word == "image-pull":
            self._wait_state(pod, "ErrImagePull", f'failed to pull image "{image}": not found')
            self._after(0.05, lambda: self._wait_state(pod, "ImagePullBackOff", f'Back-off pulling image "{image}"'))
        elif word == "crash-loop":
            pod.restarts = 3
            self._wait_state(pod, "CrashLoopBackOff", "back-off 40s restarting failed container", exit_code=1)
        elif word == "creating":
            self._wait_state(pod, "ContainerCreating", "")
        else:
            pod.ip = pod.ip or next(self._addresses)
            self._run(pod)

    def _run(self, pod):
        if pod.ending or pod.process:
            return
        container = pod.object["spec"]["containers"][0]
        pod.port = (container.get("ports") or [{"containerPort": 8080}])[0]["containerPort"]
        environment = {"PATH": os.environ["PATH"], "PORT": str(pod.port), "HOST": pod.ip}
        environment |= {one["name"]: one.get("value", "") for one in container.get("env", [])}
        command = [*(container.get("command") or self.default_command), *container.get("args", [])]
        # This thread lives as long as this program; so does what it starts.
        pod.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        threading.Thread(target=self._wait_exit, args=(pod, pod.process), daemon=True).start()
        if pod.behaviour == "never-ready":
            self._running(pod, False)
        else:
            word, _, value = pod.behaviour.partition(" ")
            self._poll(pod, time.monotonic() + (float(value) if word == "slow" else 0))

    def _wait_exit(self, pod, process):
        process.wait()
        if not self._done.is_set():
            self._queue.put(lambda: self._soon(lambda: self._exited(pod, process)))

    def _poll(self, pod, not_before):
        """Ready when the port accepts."""
        if pod.ending or pod.process is None or pod.process.poll() is not None:
            return
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if time.monotonic() >= not_before and probe.connect_ex((pod.ip, pod.port)) == 0:
                self._running(pod, True)
            else:
                self._after(0.001, lambda: self._poll(pod, not_before))

    def _exited(self, pod, process):
        if pod.ending:
            self._delete(pod)
            return
        if process is not pod.process:
            return
        pod.process, pod.restarts = None, pod.restarts + 1
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        delay = 0 if pod.restarts == 1 else min(2 ** (pod.restarts - 2), 30)
        if delay:
            self._wait_state(pod, "CrashLoopBackOff", f"back-off {delay}s restarting failed container", exit_code=code)
        else:
            self._running(pod, False, exit_code=code)
        self._after(delay, lambda: self._run(pod))

    def _end(self, pod):
        """Somebody has deleted it: SIGTERM, its grace, SIGKILL; then it is deleted in earnest."""
        if not pod.process or pod.process.poll() is not None:
            self._delete(pod)
            return
        pod.process.send_signal(signal.SIGTERM)
        grace = pod.object["metadata"].get("deletionGracePeriodSeconds") or 0
        self._after(grace, lambda: pod.process.poll() is None and pod.process.kill())

    def _delete(self, pod):
        self.api.delete(pod.path, grace=0, uid=pod.uid)

    # status

    def _running(self, pod, ready, exit_code=None):
        pod.ready = ready
        word = "True" if ready else "False"
        why = None if ready else "ContainersNotReady"
        state = {"running": {"startedAt": now()}}
        self._report(pod, "Running", state, exit_code, ContainersReady=(word, why, None), Ready=(word, why, None))

    def _wait_state(self, pod, reason, message, exit_code=None):
        pod.ready = False
        state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        phase = "Running" if pod.restarts else "Pending"
        why = ("False", "ContainersNotReady", None)
        self._report(pod, phase, state, exit_code, ContainersReady=why, Ready=why)

    def _report(self, pod, phase, state=None, exit_code=None, **conditions):
        conditions = {"PodScheduled": ("True", None, None), "Initialized": ("True", None, None), **conditions}
        if conditions["PodScheduled"][0] == "False":
            del conditions["Initialized"]
        status = {"phase": phase, "conditions": [_condition(name, *one) for name, one in conditions.items()]}
        if pod.ip:
            status |= {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}]}
        if state:
            container = pod.object["spec"]["containers"][0]
            entry = {"name": container["name"], "image": container.get("image", ""), "imageID": "", "ready": pod.ready}
            entry |= {"restartCount": pod.restarts, "started": "running" in state, "state": state, "lastState": {}}
            if exit_code is not None:
                ended = {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed", "finishedAt": now()}
                entry["lastState"] = {"terminated": ended}
            status |= {"startTime": now(), "hostIP": "192.0.2.1", "containerStatuses": [entry]}
        pod.status = status
        self._soon(lambda: self._send(pod))

    def _send(self, pod):
        """Its last status; tried again while the server is away, when a newer one may have taken its place."""
        if pod.status is not None and not pod.ending:
            self.api.patch(f"{pod.path}/status", {"status": pod.status}, STRATEGIC)
            pod.status = None


def _condition(name, status, reason, message):
    entry = {"type": name, "status": status, "lastTransitionTime": now()}
    return entry | {key: value for key, value in (("reason", reason), ("message", message)) if value}
