"""What the status of pods says: ready, waiting for something, or never to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Pod = Mapping[str, Any]

_NEVER: Final = {
    "ImagePullBackOff": "correct key image, or give the service account the registry's password",
    "ErrImageNeverPull": "correct key image, or load it on the nodes",
    "InvalidImageName": "correct key image",
    "CreateContainerConfigError": "correct key secrets, or make what is missing",
    "CreateContainerError": "see `kubectl describe pod`",
    "RunContainerError": "see `kubectl describe pod`",
    "CrashLoopBackOff": "the image needs this package and the versions of this process",
}
"""Reasons of the kubelet for a container that will not run, each with its remedy.

``ErrImagePull`` is not among them: the first failure may be the registry's, and is tried again.
"""


def is_ready(pod: Pod) -> bool:
    """Return whether a pod runs and has passed its readiness probe."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def never_runs(pod: Pod) -> str | None:
    """Return why a pod will never run, with the remedy; None while it may."""
    for waiting in _waiting(pod):
        if remedy := _NEVER.get(waiting.get("reason", "")):
            told = ": ".join(filter(None, (waiting["reason"], waiting.get("message"))))
            return f"pod {pod['metadata']['name']}: {told}; {remedy}"
    return None


def has_crashed(pod: Pod) -> bool:
    """Return whether a container of a pod ended and is started again and again."""
    return any(waiting.get("reason") == "CrashLoopBackOff" for waiting in _waiting(pod))


def states(pods: Iterable[Pod]) -> str:
    """Return in one line how many pods are in which state, and what those without a node lack."""
    counted = Counter(_state(pod) for pod in pods)
    return ", ".join(f"{number} {state}" for state, number in sorted(counted.items()))


def _state(pod: Pod) -> str:
    for waiting in _waiting(pod):
        if reason := waiting.get("reason"):
            return str(reason)
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"Pending ({condition.get('message') or condition.get('reason')})"
    if is_ready(pod):
        return "Ready"
    return str(pod.get("status", {}).get("phase", "Pending"))


def _waiting(pod: Pod) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            if waiting := container.get("state", {}).get("waiting"):
                yield waiting
