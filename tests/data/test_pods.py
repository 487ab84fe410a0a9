"""What the status of pods says, on statuses as a kubelet writes them."""

from __future__ import annotations

from typing import Any

import pytest

from c2s_data.cluster.pods import has_crashed, is_ready, never_runs, states


def pod(name: str = "c2s-scheduler-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": status}


def waiting(reason: str | None, message: str | None = None) -> dict[str, Any]:
    told = {"reason": reason, "message": message}
    state = {"waiting": {key: value for key, value in told.items() if value is not None}}
    return pod(phase="Pending", containerStatuses=[{"ready": False, "state": state}])


READY = pod(
    phase="Running",
    conditions=[{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
    containerStatuses=[
        {"ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    ],
)
STARTING = pod(phase="Running", conditions=[{"type": "Ready", "status": "False"}])
WITHOUT_A_NODE = pod(
    phase="Pending",
    conditions=[
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient memory.",
        }
    ],
)


def test_ready_means_that_the_probe_has_passed() -> None:
    assert is_ready(READY)
    assert not any(map(is_ready, [STARTING, WITHOUT_A_NODE, pod(), waiting("ErrImagePull")]))


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ImagePullBackOff", "correct key image"),
        ("InvalidImageName", "correct key image"),
        ("CreateContainerConfigError", "correct key secrets"),
        ("CrashLoopBackOff", "the image needs this package"),
    ],
)
def test_what_never_runs_is_told_with_its_remedy(reason: str, remedy: str) -> None:
    told = never_runs(waiting(reason, 'secret "c2s-bucket" not found'))
    assert told is not None
    assert told.startswith(f'pod c2s-scheduler-1: {reason}: secret "c2s-bucket" not found; ')
    assert remedy in told
    without_message = never_runs(waiting(reason))
    assert without_message is not None
    assert f"c2s-scheduler-1: {reason}; " in without_message


def test_an_init_container_can_fail_too() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff"}}
    assert never_runs(pod(initContainerStatuses=[{"state": state}])) is not None


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "ErrImagePull", None])
def test_what_may_still_run_is_waited_for(reason: str | None) -> None:
    assert never_runs(waiting(reason)) is None
    assert not has_crashed(waiting(reason))


def test_only_a_container_that_ran_has_a_log() -> None:
    assert has_crashed(waiting("CrashLoopBackOff"))
    assert not has_crashed(waiting("ImagePullBackOff"))


def test_states_are_counted_in_one_line() -> None:
    created = waiting("ContainerCreating")
    assert states([READY, WITHOUT_A_NODE, created, READY, STARTING, pod()]) == (
        "1 ContainerCreating, 1 Pending, "
        "1 Pending (0/3 nodes are available: 3 Insufficient memory.), 2 Ready, 1 Running"
    )
    assert states([]) == ""
