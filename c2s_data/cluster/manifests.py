"""What the launcher asks Kubernetes for; deploy/kubernetes/cluster.yaml is such a document."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from c2s_data.cluster.settings import as_environment, settings_of
from c2s_data.cluster.spec import Kubernetes

Document = dict[str, Any]
GROUP: Final = "kubernetes.dask.org/v1"
SCHEDULER_PORT: Final = 8786
DASHBOARD_PORT: Final = 8787
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
_USER: Final = 10001  # deploy/Dockerfile
# What a worker may use beyond its limit before Kubernetes ends it: its nanny, and the moment that
# the nanny takes to notice.
_BEYOND: Final = 1.2
_ROUTES: Final = ("scheduler.prometheus", "scheduler.info", "scheduler.json", "health")
# The operator asks there which workers may go and whether there is work; it has no certificate.
_OF_OPERATOR: Final = "scheduler.api"


def cluster_document(
    spec: Kubernetes, memory_bytes: int, tls_secret: str, idle_timeout_s: int
) -> Document:
    """Return the DaskCluster: a scheduler, and as many workers as there are at least.

    Parameters
    ----------
    spec
        Names, image and what pods may see.
    memory_bytes
        Of one worker.
    tls_secret
        Secret with ``ca.crt``, ``tls.crt`` and ``tls.key``.
    idle_timeout_s
        After so long without work the operator removes the cluster; 0 for never.
    """
    return {
        "apiVersion": GROUP,
        "kind": "DaskCluster",
        "metadata": {"name": spec.name},
        "spec": {
            "idleTimeout": idle_timeout_s,
            "worker": {
                "replicas": spec.minimum,
                "spec": _pod(spec, tls_secret, _worker(spec, memory_bytes)),
            },
            "scheduler": {
                "spec": _pod(spec, tls_secret, _scheduler(spec)),
                "service": _service(spec),
            },
        },
    }


def autoscaler_document(spec: Kubernetes) -> Document:
    """Return the DaskAutoscaler: more workers while there is work, fewer when there is none."""
    return {
        "apiVersion": GROUP,
        "kind": "DaskAutoscaler",
        "metadata": {"name": spec.name},
        "spec": {"cluster": spec.name, "minimum": spec.minimum, "maximum": spec.workers},
    }


def secret_document(name: str, files: Mapping[str, str]) -> Document:
    """Return the Secret that holds the files of certificates."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in files.items()},
    }


def owned_by(owner: Document, document: Document) -> Document:
    """Return a document that Kubernetes removes together with another that exists."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return document | {"metadata": document["metadata"] | {"ownerReferences": [reference]}}


def _pod(spec: Kubernetes, tls_secret: str, container: Document) -> Document:
    claims = [
        (f"claim-{number}", claim, path)
        for number, (claim, path) in enumerate(spec.volumes.items())
    ]
    container["volumeMounts"] = [
        {"name": "tls", "mountPath": "/tls", "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the pod alone
        *({"name": name, "mountPath": path} for name, _, path in claims),
    ]
    selector = {"nodeSelector": dict(spec.node_selector)} if spec.node_selector else {}
    return {
        "serviceAccountName": spec.service_account,
        "automountServiceAccountToken": False,
        **selector,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tls", "secret": {"secretName": tls_secret, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
            *(
                {"name": name, "persistentVolumeClaim": {"claimName": claim}}
                for name, claim, _ in claims
            ),
        ],
    }


def _container(spec: Kubernetes, name: str, args: list[str], env: Mapping[str, str]) -> Document:
    return {
        "name": name,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "env": [{"name": key, "value": value} for key, value in env.items()],
    }


def _worker(spec: Kubernetes, memory_bytes: int) -> Document:
    megabytes = memory_bytes // 1_000_000
    # One thread, because a map is one task; no dashboard, because it knows no passwords.
    args = ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--nthreads", "1"]
    args += ["--memory-limit", f"{megabytes}MB", "--dashboard-address", "127.0.0.1:0"]
    args += ["--local-directory", "/tmp"]  # noqa: S108 - of the pod alone
    env = {"DASK_SCHEDULER_ADDRESS": f"tls://{spec.name}-scheduler:{SCHEDULER_PORT}"}
    env |= dict.fromkeys(_ONE_THREAD, "1") | _tls("WORKER") | _settings(spec, "worker")
    return _container(spec, "worker", args, env) | {
        "resources": {
            "requests": {"cpu": "1", "memory": f"{megabytes}M"},
            "limits": {"memory": f"{int(megabytes * _BEYOND)}M"},
        },
        "envFrom": [{"secretRef": {"name": name}} for name in spec.secrets],
    }


def _scheduler(spec: Kubernetes) -> Document:
    args = ["dask", "scheduler", "--protocol", "tls", "--port", str(SCHEDULER_PORT)]
    args += ["--dashboard-address", f":{DASHBOARD_PORT}"]
    names = ", ".join(f'"distributed.http.{name}"' for name in (*_ROUTES, _OF_OPERATOR))
    env = _tls("SCHEDULER") | _settings(spec, "scheduler")
    env["DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"] = f"[{names}]"
    alive = {"httpGet": {"port": "http-dashboard", "path": "/health"}}
    return _container(spec, "scheduler", args, env) | {
        "ports": [
            {"name": "tcp-comm", "containerPort": SCHEDULER_PORT, "protocol": "TCP"},
            {"name": "http-dashboard", "containerPort": DASHBOARD_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": alive | {"initialDelaySeconds": 5, "periodSeconds": 10},
        # A scheduler that is busy is not dead.
        "livenessProbe": alive
        | {"initialDelaySeconds": 15, "periodSeconds": 20, "failureThreshold": 6},
        # Measured with 50,000 maps and 400 workers: docs/scale.md.
        "resources": {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"memory": "4Gi"},
        },
    }


def _service(spec: Kubernetes) -> Document:
    ports = (("tcp-comm", SCHEDULER_PORT), ("http-dashboard", DASHBOARD_PORT))
    return {
        "type": "ClusterIP",  # never a LoadBalancer: the scheduler runs what it is sent
        "selector": {"dask.org/cluster-name": spec.name, "dask.org/component": "scheduler"},
        "ports": [
            {"name": name, "protocol": "TCP", "port": port, "targetPort": name}
            for name, port in ports
        ],
    }


def _tls(role: str) -> dict[str, str]:
    prefix = "DASK_DISTRIBUTED__COMM__"
    return {
        f"{prefix}REQUIRE_ENCRYPTION": "true",
        f"{prefix}TLS__CA_FILE": "/tls/ca.crt",
        f"{prefix}TLS__{role}__CERT": "/tls/tls.crt",
        f"{prefix}TLS__{role}__KEY": "/tls/tls.key",
    }


def _settings(spec: Kubernetes, role: str) -> dict[str, str]:
    """Return those of our settings that a role reads, as variables of its pod."""
    ours = ("distributed.comm.", f"distributed.{role}.")
    return dict(as_environment({k: v for k, v in settings_of(spec).items() if k.startswith(ours)}))
