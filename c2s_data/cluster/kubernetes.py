"""Pods that the Dask operator of a Kubernetes cluster starts, for the time of one command.

`dask_kubernetes.operator.KubeCluster` would do the same, but it speaks plain TCP with its scheduler
and waits for ever for an image that does not exist. From outside the Kubernetes cluster the
scheduler is reached through the API server, which whoever can use kubectl can reach too.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import dask
from distributed import Security

from c2s_data.cluster.certificates import tls_of
from c2s_data.cluster.kubernetes_api import Api, RefusedError, is_in_pod, open_api
from c2s_data.cluster.manifests import (
    DASHBOARD_PORT,
    SCHEDULER_PORT,
    autoscaler_document,
    cluster_document,
    owned_by,
    secret_document,
)
from c2s_data.cluster.pods import has_crashed, is_ready, never_runs, states
from c2s_data.cluster.settings import WORKERS_TIMEOUT_S
from c2s_data.cluster.spec import Kubernetes
from c2s_data.cluster.started import Started, Tell, need
from c2s_data.errors import ClusterError, ConfigError

OPERATOR_S: Final = 40.0
"""How long the operator may take to notice a cluster; it takes a second."""
_REMOVAL_S: Final = 45.0
_LOOK_EVERY_S: Final = 2.0
_LOG_LINES: Final = 12
_TRIES: Final = 3
Document = dict[str, Any]


@contextlib.contextmanager
def kubernetes(spec: Kubernetes, memory_bytes: int, tell: Tell) -> Iterator[Started]:
    """Have the operator make a cluster, and remove it at the end, however that comes.

    Scheduler, workers and this process talk TLS, with certificates made for this run or those of
    the secret that the specification names.

    Raises
    ------
    ConfigError
        If Kubernetes cannot be reached, refuses the cluster, or has no operator's definitions.
    ClusterError
        If the operator does not take it up, or its scheduler will never run.
    """
    need("kr8s", "kubernetes", "--cluster kubernetes")
    security, tls_secret, files = _certificates(spec)
    idle_timeout_s = spec.queue_timeout + int(WORKERS_TIMEOUT_S)
    document = cluster_document(spec, memory_bytes, tls_secret, idle_timeout_s)
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(open_api(spec.context, spec.namespace))
        cluster = stack.enter_context(_made(api, document, tell))
        if files:
            _create(api, owned_by(cluster, secret_document(tls_secret, files)))
        _create(api, owned_by(cluster, autoscaler_document(spec)))
        tell(
            f"Kubernetes: DaskCluster {api.namespace}/{spec.name}, {spec.minimum} to "
            f"{spec.workers} workers of image {spec.image}"
        )
        pods = _Pods(api, spec, tell)
        scheduler = pods.wait_for_scheduler()
        if is_in_pod():
            place = f"{spec.name}-scheduler.{api.namespace}"
            address, dashboard = f"{place}:{SCHEDULER_PORT}", f"{place}:{DASHBOARD_PORT}"
        else:
            ports = (SCHEDULER_PORT, DASHBOARD_PORT)
            address, dashboard = (
                f"127.0.0.1:{stack.enter_context(api.forwarded(scheduler, port))}" for port in ports
            )
        link = {"distributed.dashboard.link": f"http://{dashboard}/status"}
        stack.enter_context(dask.config.set(link))
        yield Started(
            f"tls://{address}",
            security=security,
            most_workers=spec.workers,
            workers_timeout_s=float(spec.queue_timeout),
            why_none=pods.why_none,
        )


def _certificates(spec: Kubernetes) -> tuple[Security, str, dict[str, str]]:
    """Return this process's certificates, the name of the pods' secret, and what to put there."""
    given = tls_of(spec)
    if (given is None) != (spec.tls_secret is None):
        raise ConfigError(
            "tls_secret names the pods' certificates, and ca_file, cert and key those of this "
            "process, which must come from the same authority: give all four, or none of them for "
            "certificates that are made for the run"
        )
    if given is not None and spec.tls_secret is not None:
        return given, spec.tls_secret, {}
    made = Security.temporary()
    cert, key = str(made.tls_client_cert), str(made.tls_client_key)
    # A name that no other run has: the secret of one that was removed may still be there.
    name = f"{spec.name}-tls-{secrets.token_hex(4)}"
    return made, name, {"ca.crt": cert, "tls.crt": cert, "tls.key": key}


@contextlib.contextmanager
def _made(api: Api, document: Document, tell: Tell) -> Iterator[Document]:
    made = _create(api, document)
    try:
        yield made
    finally:
        _remove(api, made, tell)


def _create(api: Api, document: Document) -> Document:
    """Make an object; one of that name which is just being removed is waited for."""
    until = time.monotonic() + _REMOVAL_S
    while True:
        try:
            return api.create(document)
        except RefusedError as error:
            if error.code != 409 or not _is_being_removed(api, document, until):
                _refuse(api, document, error)
        time.sleep(_LOOK_EVERY_S)


def _is_being_removed(api: Api, document: Document, until: float) -> bool:
    if time.monotonic() > until:
        return False
    try:
        there = api.get(document["kind"], document["metadata"]["name"])
    except RefusedError as error:
        return error.code == 404
    return "deletionTimestamp" in there["metadata"]


def _refuse(api: Api, document: Document, error: RefusedError) -> NoReturn:
    kind, name = document["kind"], document["metadata"]["name"]
    remedies = {
        401: "log in again; see `kubectl auth whoami`",
        403: "have an administrator grant what deploy/kubernetes/rbac.yaml lists",
        404: "the Dask operator is not installed there; deploy/README.md has the command (helm)",
        409: f"another command uses it, or one that was killed left it: choose another key name, "
        f"or remove it with `kubectl delete {kind.lower()} {name} -n {api.namespace}`",
        422: "another version of the Dask operator may be installed there; see deploy/README.md",
    }
    if error.code == 404 and str(error).startswith("namespaces "):
        remedies[404] = "correct key namespace, or make it with `kubectl create namespace`"
    raise ConfigError(
        f"Kubernetes does not make {kind} {api.namespace}/{name}: {error}; "
        f"{remedies.get(error.code, 'see `kubectl cluster-info`, then run again')}"
    ) from error


def _remove(api: Api, cluster: Document, tell: Tell) -> None:
    """Remove the cluster; the error of a command that failed stays the one that is told."""
    name = cluster["metadata"]["name"]
    for number in range(_TRIES):
        try:
            api.delete(cluster)
        except RefusedError as error:
            if error.code in (404, 409):  # It is gone, or another of its name is there.
                return
            if number == _TRIES - 1:
                tell(
                    f"DaskCluster {api.namespace}/{name} is NOT removed: {error}; remove it with "
                    f"`kubectl delete daskcluster {name} -n {api.namespace}`. The operator does "
                    f"so after {cluster['spec']['idleTimeout']} s without work"
                )
            else:
                time.sleep(_LOOK_EVERY_S)
        else:
            return


class _Pods:
    """The pods of a cluster until they work."""

    def __init__(self, api: Api, spec: Kubernetes, tell: Tell) -> None:
        self._api = api
        self._spec = spec
        self._tell = tell
        self._told = ""
        self._next_look = 0.0

    def wait_for_scheduler(self) -> Document:
        """Return the scheduler's pod as soon as it is ready."""
        started_at = answered_at = time.monotonic()
        while True:
            now = time.monotonic()
            with contextlib.suppress(RefusedError):
                found = self._look("scheduler")
                answered_at = now
                if ready := [pod for pod in found if is_ready(pod)]:
                    return ready[0]
                if not found and now > started_at + OPERATOR_S:
                    self._check_operator()
            if now > answered_at + OPERATOR_S:
                raise ClusterError(
                    f"the API server of Kubernetes has not answered for {OPERATOR_S:.0f} s; see "
                    "`kubectl cluster-info`, then run the same command again"
                )
            if now > started_at + self._spec.queue_timeout:
                raise ClusterError(
                    f"the scheduler's pod was not ready after {self._spec.queue_timeout} s "
                    f"({self._told or 'no pod'}); free room for it, or raise queue_timeout"
                )
            time.sleep(_LOOK_EVERY_S)

    def why_none(self) -> str | None:
        """Return why no worker will come: all pods of them never run; tell what they wait for."""
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        try:
            self._look("worker")
        except ClusterError as error:
            return str(error)
        except RefusedError:
            return None
        return None

    def _look(self, component: str) -> list[Document]:
        labels = f"dask.org/cluster-name={self._spec.name},dask.org/component={component}"
        found = self._api.list("Pod", labels)
        faults = [fault for pod in found if (fault := never_runs(pod))]
        if found and len(faults) == len(found):
            logs = [self._log(pod) for pod in found if has_crashed(pod)][:1]
            raise ClusterError(f"{component}: {faults[0]}{''.join(logs)}")
        line = states(found) or self._why_no_pod(labels)
        if line and (told := f"{component}: {line}") != self._told:
            self._tell(f"Kubernetes: {told}")
            self._told = told
        return found

    def _why_no_pod(self, labels: str) -> str:
        """Return why Kubernetes makes no pod, such as a quota or an unknown service account."""
        conditions = [
            condition.get("message", condition["type"])
            for deployment in self._api.list("Deployment", labels)
            for condition in deployment.get("status", {}).get("conditions") or ()
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        return "; ".join(dict.fromkeys(conditions))

    def _check_operator(self) -> None:
        phase = self._api.get("DaskCluster", self._spec.name).get("status", {}).get("phase")
        if phase is None or phase == "Error":
            raise ClusterError(
                f"the Dask operator has not taken up DaskCluster {self._api.namespace}/"
                f"{self._spec.name} ({phase or 'no status'} after {OPERATOR_S:.0f} s); see "
                "`kubectl get pods -n dask-operator`, and whether it watches this namespace"
            )

    def _log(self, pod: Document) -> str:
        name = pod["metadata"]["name"]
        with contextlib.suppress(RefusedError):
            lines = self._api.log(name, _LOG_LINES).splitlines()
            return "".join(f"\n  {line}" for line in lines)
        return f"\n  (no log of {name})"
