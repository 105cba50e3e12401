"""deploy/kubernetes: a real API server accepts each document as it stands, and what is in them fits together."""

import kube
import yaml
from harness import *
from kube import kubernetes, tearDownModule  # noqa: F401

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def documents():
    """(file, document) of all resources of the kustomization, in its order."""
    return [(name, one) for name in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((FOLDER / name).read_text())]


def find(kind, name="rouse"):
    return next(one for _, one in documents() if one["kind"] == kind and one["metadata"]["name"] == name)


def collection(one, namespace):
    """The path that documents of this kind are posted to, as the server itself says."""
    group = one["apiVersion"]
    root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
    found = next(r for r in kubernetes().api.get(root)["resources"] if r["kind"] == one["kind"] and "/" not in r["name"])
    return f"{root}/namespaces/{namespace}/{found['name']}" if found["namespaced"] else f"{root}/{found['name']}"


class Manifests(unittest.TestCase):
    def test_every_file_is_a_resource(self):
        self.assertEqual({one.name for one in FOLDER.glob("*.yaml")}, {"kustomization.yaml", *KUSTOMIZATION["resources"]})

    def test_the_server_accepts_each_document(self):
        space = KUSTOMIZATION["namespace"]
        kubernetes().api.post("/api/v1/namespaces", {"metadata": {"name": space}})
        for file, one in documents():
            with self.subTest(f"{file}: {one['kind']} {one['metadata']['name']}"):
                # Strict: a field that is not known is an error.
                made = kubernetes().api.post(collection(one, space), one, dryRun="All", fieldValidation="Strict")
                self.assertEqual(made["kind"], one["kind"])

    def test_an_unknown_field_would_be_seen(self):
        one = find("Service")
        one["spec"]["port"] = one["spec"].pop("ports")
        with self.assertRaisesRegex(kube.ApiError, "unknown field"):
            kubernetes().api.post(collection(one, "default"), one, dryRun="All", fieldValidation="Strict")

    def test_the_pod_is_fit_for_a_restricted_namespace(self):
        space = kubernetes().new_namespace("restricted")
        enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        kubernetes().api.patch(f"/api/v1/namespaces/{space}", enforce)
        spec = find("StatefulSet")["spec"]["template"]["spec"]
        spec["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": "data-rouse-0"}})
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "rouse-0"}, "spec": spec}
        kubernetes().api.post(f"/api/v1/namespaces/{space}/pods", pod, dryRun="All", fieldValidation="Strict")
        spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with self.assertRaisesRegex(kube.ApiError, "violates PodSecurity"):
            kubernetes().api.post(f"/api/v1/namespaces/{space}/pods", pod, dryRun="All")

    def test_names_fit(self):
        template = find("StatefulSet")["spec"]["template"]
        labels, spec = template["metadata"]["labels"], template["spec"]
        container = spec["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for name in ("rouse", "rouse-admin"):
            service = find("Service", name)["spec"]
            self.assertLessEqual(service["selector"].items(), labels.items())
            self.assertTrue({port["targetPort"] for port in service["ports"]} <= set(ports))
        self.assertEqual(find("StatefulSet")["spec"]["serviceName"], "rouse-admin")
        self.assertEqual(find("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(spec["serviceAccountName"], find("ServiceAccount")["metadata"]["name"])
        self.assertEqual(find("RoleBinding")["roleRef"]["name"], find("Role")["metadata"]["name"])
        self.assertEqual(find("RoleBinding")["subjects"][0]["namespace"], KUSTOMIZATION["namespace"])
        self.assertEqual({"hello", "rouse"}, {image["name"] for image in KUSTOMIZATION["images"]})
        dockerfile = (ROOT / "Dockerfile").read_text()
        self.assertIn(f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}\n", dockerfile)
        data = next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "data")
        self.assertIn(f"VOLUME {data}\n", dockerfile)

    def test_the_configuration_is_valid(self):
        container = find("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
        config = find("ConfigMap")["data"]["rouse.yaml"]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rouse.yaml"
            file.write_text(config)
            done = run_rouse("check", "-c", file, env={"ROUSE_ADMIN_TOKEN": "secret", "STATE_DIRECTORY": folder})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        parsed = yaml.safe_load(config)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        self.assertEqual(parsed["server"]["listen"], f"0.0.0.0:{ports['http']}")
        self.assertEqual(parsed["server"]["admin"], f"0.0.0.0:{ports['admin']}")
        for name, function in parsed["functions"].items():
            deployment = find("Deployment", function["deployment"])
            self.assertEqual(find("Service", name)["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"])


if __name__ == "__main__":
    unittest.main()
