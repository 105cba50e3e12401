#!/usr/bin/env python3
"""with_kubernetes.py COMMAND...: runs a command beside a Kubernetes API server of its own (kube.py), and ends as it ends.

The command is told by KUBECONFIG where the server is (as an administrator, by token); ROUSE_TEST_KUBECONFIG_CERTIFICATE names the same
with a client certificate, ROUSE_TEST_KUBECONFIG_LINK one whose connections can be cut, ROUSE_FAST_FUNCTION what pods run that have no
command. How pods behave is said by an annotation of theirs (kubelet.py). At ROUSE_TEST_CONTROL (control.py) it may order:

    kill | start | freeze | thaw              the API server is away, there again, answers nothing for a while
    cut | hang | drop | restore               what goes through the link
    hold | release                            the node does nothing until it is released
    behave NAMESPACE DEPLOYMENT WORD...       how new pods behave; `-` takes that back
    namespace                                 makes one of a new name; answers that
    function NAME NAMESPACE REPLICAS [WORD...]   makes a Deployment and a Service, whose pods behave so
    pid NAMESPACE POD                         the process of a pod
    account NAMESPACE                         a service account with the rights of deploy/kubernetes; answers its kubeconfig

When the command fails, the ends of the logs are shown."""

import subprocess
import sys

import control
import kube


def _commands(cluster, link):
    def behave(namespace, deployment, *words):
        cluster.kubelet.behave(namespace, deployment, None if words == ("-",) else " ".join(words))

    def function(name, namespace, replicas, *words):
        cluster.create_function(name, namespace, int(replicas), behaviour=" ".join(words) or None)

    return {
        "kill": cluster.kill_api_server,
        "start": cluster.start_api_server,
        "freeze": cluster.freeze_api_server,
        "thaw": lambda: cluster.freeze_api_server(False),
        "cut": link.cut,
        "hang": link.hang,
        "drop": link.drop,
        "restore": link.restore,
        "hold": cluster.kubelet.hold,
        "release": lambda: cluster.kubelet.hold(False),
        "behave": behave,
        "namespace": cluster.new_namespace,
        "function": function,
        "account": lambda namespace: str(cluster.kubeconfig_of_account(cluster.deployed_account(namespace))),
        "pid": lambda namespace, pod: cluster.kubelet.process(namespace, pod) or 0,
    }


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    status = 1
    try:
        cluster = kube.kubernetes()
        link = cluster.link()
        more = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "ROUSE_TEST_KUBECONFIG_CERTIFICATE": str(cluster.kubeconfig_certificate),
            "ROUSE_TEST_KUBECONFIG_LINK": str(link.kubeconfig),
            "ROUSE_TEST_CONTROL": control.serve(_commands(cluster, link)),
        }
        status = subprocess.run(["setpriv", "--pdeathsig", "KILL", *sys.argv[1:]], env=control.environment(**more)).returncode
        if status != 0:
            cluster.print_log()
    except AssertionError as error:
        print(f"with_kubernetes.py: {error}", file=sys.stderr)
    finally:
        kube.tearDownModule()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
