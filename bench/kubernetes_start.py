#!/usr/bin/env python3
"""What rouse adds to a start on Kubernetes, and what watching a namespace costs.

    ./dev bench kubernetes_start [--times N] [--deployments N] [--quick]

Start: a request is parked at a Deployment at zero, its pod has come up, and its EndpointSlice, which belongs to the bench, says
that it is not ready. Then the bench patches the slice, and the time is taken from before that PATCH is sent until the request
is answered: the API server's write and the news of it are in that, and told apart by how long the PATCH itself took.

Memory: the daemon's resident memory with a namespace that is empty, with N Deployments at zero, and with a pod for each (which
stays in ContainerCreating).
"""

import argparse
import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from common import machine, median, program, quantile, save, table
from harness import Daemon, wait_for


def config_of(cluster, space, functions):
    pool = {"backend": "kubernetes", "kubeconfig": str(cluster.kubeconfig), "namespace": space}
    return {"pools": {"k": pool}, "functions": functions}


def make_bare(cluster, space, name):
    """A Deployment, and a Service that selects nothing, so that the slices are ours."""
    cluster.create_function(name, space)
    services = f"/api/v1/namespaces/{space}/services"
    cluster.api.delete(f"{services}/{name}")
    cluster.api.post(services, {"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}})


def slice_of(space, name, pod):
    return {
        "metadata": {"name": f"{name}-bench", "labels": {"kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "bench"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": False},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": space},
            }
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def measure_starts(cluster, times):
    space = cluster.new_namespace()
    make_bare(cluster, space, "fast")
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
    total, writes = [], []
    config = config_of(cluster, space, {"fast": {"deployment": "fast", "pools": ["k"], "scale": {"idle": "20ms", "max": 1}}})
    with Daemon(config) as rouse:
        for _ in range(times + 1):
            answered = []

            def call():
                status = rouse.get("/function/fast", timeout=60).status
                answered.append((time.monotonic(), status))

            caller = threading.Thread(target=call)
            caller.start()

            def pod_is_ready():
                pods = [one for one in cluster.pods("fast", space) if not one["metadata"].get("deletionTimestamp")]
                ready = pods and any(c["type"] == "Ready" and c["status"] == "True" for c in pods[0].get("status", {}).get("conditions", []))
                return pods[0] if ready else None

            made = slice_of(space, "fast", wait_for(pod_is_ready, 30))
            cluster.api.post(slices, made)
            time.sleep(0.05)  # rouse has heard of all that by now
            assert not answered
            made["endpoints"][0]["conditions"]["ready"] = True
            begun = time.monotonic()
            cluster.api.patch(f"{slices}/fast-bench", {"endpoints": made["endpoints"]})
            written = time.monotonic()
            caller.join()
            at, status = answered[0]
            assert status == 200, status
            total.append((at - begun) * 1000)
            writes.append((written - begun) * 1000)
            rouse.wait_zero("fast")
            cluster.api.delete(f"{slices}/fast-bench")
            wait_for(lambda: not cluster.pods("fast", space), 30)
    return total[1:], writes[1:]


def resident(rouse):
    """MiB, once it has stopped changing."""
    last = rouse.rss_kib()

    def settled():
        nonlocal last
        before, last = last, rouse.rss_kib()
        return before == last

    wait_for(settled, 30, "the memory stays as it is", interval=1.0)
    return last / 1024


def measure_memory(cluster, count):
    functions = {f"f{i}": {"deployment": f"f{i}", "pools": ["k"]} for i in range(count)}
    results = {}

    def look(what, space):
        with Daemon(config_of(cluster, space, functions), strict=False) as rouse:
            wait_for(lambda: cluster.lease("rouse", space), 30)
            time.sleep(3)  # the lists are read
            results[what] = resident(rouse)

    look("an empty namespace", cluster.new_namespace())
    space = cluster.new_namespace()
    cluster.kubelet.hold(False)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cluster.create_function(f"f{i}", space, behaviour="creating"), range(count)))
    look(f"{count} Deployments at zero", space)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cluster.scale(f"f{i}", space, 1), range(count)))
    wait_for(lambda: len(cluster.api.get(f"/api/v1/namespaces/{space}/pods")["items"]) == count, 600, interval=1.0)
    with Daemon(config_of(cluster, space, functions), strict=False) as rouse:
        wait_for(lambda: sum(len(one["instances"]) for one in rouse.functions().values()) == count, 120, interval=0.5)
        results["the same with a pod for each, all taken over"] = resident(rouse)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="5 times, 20 Deployments: that it works, not how fast")
    options = parser.parse_args()
    times, count = (5, 20) if options.quick else (options.times, options.deployments)
    os.environ["ROUSE_FAST_FUNCTION"] = program("fast_function")
    import kube  # reads the environment

    where = machine()
    cluster = kube.kubernetes()
    try:
        total, writes = measure_starts(cluster, times)
        overhead = [one - write for one, write in zip(total, writes)]
        print(f"{where}\n{times} starts, milliseconds from the PATCH that makes the EndpointSlice ready\n")
        rows = [
            [what, *(f"{value:.1f}" for value in (median(values), quantile(values, 0.9), max(values)))]
            for what, values in (("until the parked request is answered", total), ("until the PATCH is answered", writes), ("the difference", overhead))
        ]
        print(table(["", "median", "p90", "worst"], rows))
        memory = measure_memory(cluster, count)
        print(f"\nresident memory of rouse with {count} functions, MiB\n")
        for what, mib in memory.items():
            print(f"  {mib:7.1f}  {what}")
        save("kubernetes_start", {"total_ms": total, "write_ms": writes, "memory_mib": memory})
    finally:
        kube.tearDownModule()
    gc.collect()


if __name__ == "__main__":
    sys.exit(main())
