"""Manifests of deploy/kubernetes against the schemas that a cluster would hold them to.

`make test-kubernetes` lays the schemas aside: those of the custom resources come with
dask-kubernetes, those of Kubernetes with kubernetes-validate.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ASIDE = Path(os.environ.get("C2S_KUBERNETES", ROOT / ".cache" / "kubernetes"))
RESOURCES = ASIDE / "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds"
DASK = "kubernetes.dask.org/v1"
MANIFESTS = [
    (path.name, document)
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text("utf-8"))
]
IDS = [f"{name}-{document['kind']}" for name, document in MANIFESTS]
OF_DASK = [document for _, document in MANIFESTS if document["apiVersion"] == DASK]
OTHERS = [document for _, document in MANIFESTS if document["apiVersion"] != DASK]


def closed(schema: Any) -> Any:
    """Return a schema that refuses what it does not name, as a typing error would be."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    has_names = isinstance(schema.get("properties"), dict) and "type" in schema
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") is True
    if has_names and not is_open and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


@lru_cache
def validator(api: str, kind: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    if not RESOURCES.is_dir():
        pytest.skip("the schemas of dask-kubernetes are not here; see `make test-kubernetes`")
    [found] = [
        version["schema"]["openAPIV3Schema"]
        for path in RESOURCES.glob("*.yaml")
        for resource in yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader)
        if resource["spec"]["names"]["kind"] == kind
        for version in resource["spec"]["versions"]
        if f"{resource['spec']['group']}/{version['name']}" == api
    ]
    return jsonschema.Draft202012Validator(closed(found))


def faults(document: dict[str, Any]) -> list[str]:
    # What every resource has, the server checks itself.
    body = {name: document[name] for name in document.keys() - {"apiVersion", "kind", "metadata"}}
    found = validator(document["apiVersion"], document["kind"]).iter_errors(body)
    return [error.message for error in found]


def with_change(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    made = copy.deepcopy(document)
    *parents, last = path.split(".")
    node: Any = made
    for name in parents:
        node = node[int(name) if name.isdecimal() else name]
    node[last] = value
    return made


@pytest.mark.parametrize("document", OF_DASK, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}")
def test_custom_resources_are_what_the_operator_takes(document: dict[str, Any]) -> None:
    assert faults(document) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("DaskAutoscaler", "spec.maximun", 3),
        ("DaskAutoscaler", "spec.minimum", "two"),
        ("DaskCluster", "spec.worker.replica", 3),
        ("DaskCluster", "spec.worker.spec.containers.0.imagePullPolice", "Always"),
        ("DaskJob", "spec.job.spec.serviceAccount_name", "c2s"),
        ("DaskJob", "spec.cluster.spec.scheduler.service.ports.0.portt", 1),
    ],
)
def test_a_typing_error_is_found(kind: str, path: str, value: object) -> None:
    [document] = [d for d in OF_DASK if d["kind"] == kind]
    assert len(faults(with_change(document, path, value))) >= 1


@pytest.mark.parametrize("document", OTHERS, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}")
def test_other_resources_are_what_kubernetes_takes(document: dict[str, Any]) -> None:
    if not (ASIDE / "kubernetes_validate").is_dir():
        pytest.skip("kubernetes-validate is not here; see `make test-kubernetes`")
    text = yaml.safe_dump(document)

    def check(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kubernetes_validate", "--strict", "-"],
            input=text,
            env=os.environ | {"PYTHONPATH": str(ASIDE)},
            text=True,
            capture_output=True,
            check=False,
        )

    done = check(text)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = check(text.replace("metadata:", "metadatas:", 1))
    assert broken.returncode != 0


def holding(node: Any, name: str) -> list[dict[str, Any]]:
    """Return every table within a document that has a key."""
    if isinstance(node, list):
        return [found for part in node for found in holding(part, name)]
    if not isinstance(node, dict):
        return []
    below = [found for part in node.values() for found in holding(part, name)]
    return [node, *below] if name in node else below


def test_every_pod_is_bound_as_the_others_are() -> None:
    """No root, no capabilities, a limit of memory, a pinned image; Dask behind a NetworkPolicy."""
    found = [pod for _, document in MANIFESTS for pod in holding(document, "containers")]
    for container in (container for pod in found for container in pod["containers"]):
        context = container["securityContext"]
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert "memory" in container["resources"]["limits"]
        assert container["image"].rpartition(":")[2] not in ("", "latest")
    assert len(found) == 6
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["serviceAccountName"] == "c2s"
    labeled = [
        template["metadata"]["labels"]["app"]
        for document in OF_DASK
        for template in holding(document, "spec")
        if "containers" in template["spec"]
    ]
    assert labeled == ["c2s-build"] * 5
    [policy] = [d for _, d in MANIFESTS if d["kind"] == "NetworkPolicy"]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app": "c2s-build"}}


def test_pods_ask_for_no_more_than_one_role_gives() -> None:
    [role] = [d for _, d in MANIFESTS if d["kind"] == "Role"]
    asked = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert "*" not in asked
    assert "secrets" not in {name for rule in role["rules"] for name in rule["resources"]}


def test_the_image_is_what_the_linter_takes_and_runs_as_nobody_special() -> None:
    path = ROOT / "deploy/Dockerfile"
    text = path.read_text("utf-8")
    assert "\nUSER 10001\n" in text
    [base] = [line for line in text.splitlines() if line.startswith("ARG BASE=")]
    assert base.endswith(":3.11.13-slim-bookworm")
    linter = ASIDE / "bin" / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint is not here; see `make test-kubernetes`")
    done = subprocess.run(
        [linter, path],
        env=os.environ | {"PYTHONPATH": str(ASIDE)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
