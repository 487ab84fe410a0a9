"""The manifests of deploy/kubernetes, against the schemas of the operator and of Kubernetes.

Both schemas are closed here: a name that they do not know is a fault, as a typing error would be,
where a cluster would only drop it in silence.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
import yaml
from typer.main import get_command

from c2s_data.cli import app
from c2s_data.cluster.manifests import (
    autoscaler_document,
    cluster_document,
    owned_by,
    secret_document,
)
from c2s_data.cluster.spec import Kubernetes
from c2s_data.plan import DEFAULT_TASK_MEMORY

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
DOCUMENTS = {
    f"{document['kind']}-{document['metadata']['name']}": document
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text("utf-8"))
}
CUSTOM = [name for name, document in DOCUMENTS.items() if "dask.org" in document["apiVersion"]]
OWN = [name for name in DOCUMENTS if name not in CUSTOM]
# What Kubernetes itself says of every object, and a resource definition leaves out.
META = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}


def operator_folder() -> Path:
    # Found but never imported: the package needs an event loop and a configuration.
    found = importlib.util.find_spec("dask_kubernetes")
    if found is None or found.origin is None:
        pytest.skip("dask-kubernetes is not installed")
    return Path(found.origin).parent / "operator/deployment/helm/dask-kubernetes-operator"


def closed(schema: Any) -> Any:
    """Return a schema that refuses names it does not list."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    is_object = isinstance(schema.get("properties"), dict)
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@functools.cache
def validator_of(kind: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    text = (operator_folder() / f"crds/{kind.lower()}.yaml").read_text("utf-8")
    definition = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (v for v in definition["spec"]["versions"] if v["name"] == "v1")
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"] |= META
    assert definition["spec"]["names"]["kind"] == kind
    return jsonschema.Draft202012Validator(closed(schema))


def faults_of(document: dict[str, Any]) -> list[str]:
    found = validator_of(document["kind"]).iter_errors(document)
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in found]


def test_there_is_a_manifest_of_every_kind() -> None:
    assert {document["kind"] for document in DOCUMENTS.values()} == {
        *("DaskCluster", "DaskJob", "DaskAutoscaler", "Job", "PersistentVolumeClaim"),
        *("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"),
    }


@pytest.mark.parametrize("name", CUSTOM)
def test_the_operator_knows_every_name(name: str) -> None:
    assert faults_of(DOCUMENTS[name]) == []


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    made = copy.deepcopy(document)
    *parents, last = path.split("/")
    place: Any = made
    for key in parents:
        place = place[int(key) if key.isdecimal() else key]
    place[last] = value
    return made


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("DaskCluster-c2s", "spec/worker/replica", 2),
        ("DaskCluster-c2s", "spec/worker/replicas", "two"),
        ("DaskCluster-c2s", "spec/worker/spec/containers/0/imag", "c2s"),
        ("DaskCluster-c2s", "spec/scheduler/spec/containers/0/securityContext/runAsNoRoot", True),
        ("DaskCluster-c2s", "spec/scheduler/service/ports/0/targetport", 8786),
        ("DaskJob-c2s-build", "spec/job/spec/restartpolicy", "Never"),
        ("DaskJob-c2s-build", "spec/cluster/spec/worker/spec/volumes/0/secrets", {}),
        ("DaskAutoscaler-c2s", "spec/minimun", 1),
    ],
)
def test_a_wrong_name_is_a_fault(name: str, path: str, value: object) -> None:
    assert len(faults_of(changed(DOCUMENTS[name], path, value))) >= 1


@pytest.mark.parametrize("name", OWN)
def test_kubernetes_knows_every_name(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    validate.validate(DOCUMENTS[name], validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Job-c2s-train", "spec/backofLimit"),
        ("Job-c2s-train", "spec/template/spec/containers/0/volumeMount"),
        ("Role-c2s-launcher", "rules/0/verb"),
        ("NetworkPolicy-c2s", "spec/ingres"),
    ],
)
def test_a_wrong_name_of_kubernetes_is_a_fault(name: str, path: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    with pytest.raises(validate.ValidationError):
        validate.validate(changed(DOCUMENTS[name], path, 1), validate.latest_version(), strict=True)


def pods(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every pod's specification below a document."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for part in value.values():
            yield from pods(part)


PODS = [pod for document in DOCUMENTS.values() for pod in pods(document)]


def test_no_pod_is_root_or_has_rights_or_can_change_its_image() -> None:
    assert len(PODS) == 6
    for pod in PODS:
        assert pod["serviceAccountName"] == "c2s"
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["image"] in ("c2s:latest", "c2s-torch:latest")
    assert "USER 10001:10001" in (ROOT / "deploy/Dockerfile").read_text("utf-8")


def test_every_volume_that_is_mounted_exists() -> None:
    for pod in PODS:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_cluster_of_a_job_is_the_cluster() -> None:
    """But for names, the number of workers and the folder of inputs."""
    alone = copy.deepcopy(DOCUMENTS["DaskCluster-c2s"]["spec"])
    within = copy.deepcopy(DOCUMENTS["DaskJob-c2s-build"]["spec"]["cluster"]["spec"])
    for spec in (alone, within):
        spec["worker"].pop("replicas")
        spec.pop("idleTimeout", None)
    for pod in pods(within):
        pod["volumes"] = [v for v in pod["volumes"] if v["name"] != "inputs"]
        for container in pod["containers"]:
            mounts = container["volumeMounts"]
            container["volumeMounts"] = [m for m in mounts if m["name"] != "inputs"]
    renamed = yaml.safe_load(yaml.safe_dump(within).replace("c2s-build", "c2s"))
    assert renamed == alone


def test_a_command_makes_what_the_manifests_say() -> None:
    spec = Kubernetes(secrets=("c2s-bucket",), workers=400)
    made = cluster_document(spec, 2 * DEFAULT_TASK_MEMORY, "c2s-tls", idle_timeout_s=0)
    assert made == DOCUMENTS["DaskCluster-c2s"]
    assert autoscaler_document(spec) == DOCUMENTS["DaskAutoscaler-c2s"]


def test_what_a_command_may_make_is_known_to_the_operator_and_kubernetes() -> None:
    spec = Kubernetes(
        name="mine",
        image="registry.example:5000/lab/c2s@sha256:0a",
        minimum=3,
        service_account="builder",
        secrets=("bucket", "more"),
        volumes={"maps": "/data/maps", "scratch": "/data/out"},
        node_selector={"cloud.example/pool": "cpu"},
    )
    cluster = cluster_document(spec, 4_500_000_000, "mine-tls", idle_timeout_s=900)
    assert faults_of(cluster) == []
    (worker_pod, scheduler_pod) = pods(cluster)
    for pod in (worker_pod, scheduler_pod):
        assert pod["serviceAccountName"] == "builder"
        assert pod["nodeSelector"] == {"cloud.example/pool": "cpu"}
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["volumes"]
            if "persistentVolumeClaim" in volume
        }
        (container,) = pod["containers"]
        assert container["image"] == "registry.example:5000/lab/c2s@sha256:0a"
        mounts = container["volumeMounts"]
        seen = {claims[m["name"]]: m["mountPath"] for m in mounts if m["name"] in claims}
        assert seen == {"maps": "/data/maps", "scratch": "/data/out"}
        assert pod["volumes"][0]["secret"]["secretName"] == "mine-tls"
    (worker,) = worker_pod["containers"]
    assert worker["envFrom"] == [{"secretRef": {"name": name}} for name in ("bucket", "more")]
    assert worker["args"][worker["args"].index("--memory-limit") + 1] == "4500MB"
    assert worker["resources"]["requests"]["memory"] == "4500M"
    assert worker["resources"]["limits"]["memory"] == "5400M"
    assert "envFrom" not in scheduler_pod["containers"][0]
    owner = cluster | {"metadata": {"name": "mine", "uid": "0-1"}}
    owned = owned_by(owner, autoscaler_document(spec))
    assert faults_of(owned) == []
    reference = {"apiVersion": cluster["apiVersion"], "kind": "DaskCluster", "name": "mine"}
    assert owned["metadata"] == {"name": "mine", "ownerReferences": [reference | {"uid": "0-1"}]}
    assert owned["spec"] == {"cluster": "mine", "minimum": 3, "maximum": 16}
    secret = secret_document("mine-tls", {"ca.crt": "certificate"})
    assert secret["data"] == {"ca.crt": "Y2VydGlmaWNhdGU="}
    validate = pytest.importorskip("kubernetes_validate")
    validate.validate(secret, validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ["DaskCluster-c2s", "DaskJob-c2s-build"])
def test_workers_find_their_scheduler(name: str) -> None:
    document = DOCUMENTS[name]
    cluster = document["metadata"]["name"]
    spec = document["spec"].get("cluster", document)["spec"]
    service = spec["scheduler"]["service"]
    assert service["selector"] == {
        "dask.org/cluster-name": cluster,
        "dask.org/component": "scheduler",
    }
    assert service["type"] == "ClusterIP"
    ports = {port["name"]: port["port"] for port in service["ports"]}
    # The operator calls the service after the cluster.
    address = f"tls://{cluster}-scheduler:{ports['tcp-comm']}"
    (worker,) = spec["worker"]["spec"]["containers"]
    assert {"name": "DASK_SCHEDULER_ADDRESS", "value": address} in worker["env"]
    if "job" in document["spec"]:
        assert address in document["spec"]["job"]["spec"]["containers"][0]["args"]
    policy = DOCUMENTS["NetworkPolicy-c2s"]["spec"]
    assert cluster in policy["podSelector"]["matchExpressions"][0]["values"]
    assert policy["ingress"][1]["ports"] == [{"protocol": "TCP", "port": ports["http-dashboard"]}]


def test_every_setting_of_dask_exists() -> None:
    import distributed  # noqa: F401 - its defaults

    given = {
        variable["name"]: variable["value"]
        for pod in PODS
        for container in pod["containers"]
        for variable in container.get("env", [])
        if variable["name"].startswith("DASK_DISTRIBUTED__")
    }
    assert len(given) >= 12
    flat = dict(leaves(dask.config.collect_env(given)))
    for name in flat:
        assert dask.config.get(name, default=given) is not given, f"Dask has no setting {name}"
    assert flat["distributed.comm.require_encryption"] is True
    assert "distributed.http.scheduler.api" in flat["distributed.scheduler.http.routes"]


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, dict):
            yield from leaves(value, name)
        else:
            yield name, value


@pytest.mark.parametrize("args", [pod["containers"][0]["args"] for pod in PODS])
def test_every_command_is_one(args: list[str]) -> None:
    if args[0] == "dask":
        module = importlib.import_module(f"distributed.cli.dask_{args[1]}")
        context = module.main.make_context(args[1], args[2:])
        assert context.params
    elif args[0] == "c2s-data":
        command = get_command(app).commands[args[1]]
        assert command.make_context(args[1], args[2:]).params["preset"] == "recommended"
    else:
        assert subprocess.run(["sh", "-n"], input="\n".join(args), text=True, check=True)


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{shutil.os.defpath}")
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [linter, str(ROOT / "deploy/Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_chart_of_the_operator_renders() -> None:
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed")
    done = subprocess.run(
        ["helm", "template", "dask-operator", str(operator_folder())],
        capture_output=True,
        text=True,
        check=True,
    )
    kinds = [document["kind"] for document in yaml.safe_load_all(done.stdout) if document]
    assert "Deployment" in kinds


def test_the_block_of_certificates_makes_a_cluster_with_tls(tmp_path: Path) -> None:
    """Both blocks of deploy/README.md, as they stand there, and a cluster that starts with them."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    text = (ROOT / "deploy/README.md").read_text("utf-8").partition("## Certificates")[2]
    make, use = (part.partition("```")[0] for part in text.split("```sh\n")[1:3])
    program = """
from distributed import Client, Scheduler, Worker
import asyncio
async def main():
    async with Scheduler(protocol="tls", host="127.0.0.1", port=0, dashboard=False) as scheduler:
        async with Worker(scheduler.address, nthreads=1, dashboard=False):
            async with Client(scheduler.address, asynchronous=True) as client:
                print(scheduler.address, await client.submit(sum, (1, 2)))
asyncio.run(main())
"""
    script = f"set -e\n{make}\n{use}\nexec '{sys.executable}' -c '{program}'\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tls://127.0.0.1:")
    assert done.stdout.endswith(" 3\n")
    assert (tmp_path / "tls.key").stat().st_mode & 0o077 == 0
