"""`--cluster kubernetes` against an emulated API server whose pods are real Dask processes."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from c2s_data.cluster.connect import connect
from c2s_data.cluster.manifests import autoscaler_document, cluster_document
from c2s_data.cluster.spec import Kubernetes as Spec
from c2s_data.distribute import map_over_workers
from c2s_data.errors import ClusterError, ConfigError

if TYPE_CHECKING:
    from api_server import Kubernetes

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def written(folder: Path, **keys: object) -> Path:
    """Write a file like deploy/kubernetes.yaml."""
    document = yaml.safe_load((DEPLOY / "kubernetes.yaml").read_text("utf-8")) | keys
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def assert_nothing_is_left(server: Kubernetes) -> None:
    for plural in ("daskclusters", "daskautoscalers", "pods"):
        assert server.names(plural) == []
    assert [name for name in server.names("secrets") if "-tls-" in name] == []
    deadline = time.monotonic() + 60
    while server.pods.is_running():
        assert time.monotonic() < deadline, "a pod does not end"
        time.sleep(0.1)


def test_a_build_in_pods_gives_the_bytes_of_a_laptop(server: Kubernetes, tmp_path: Path) -> None:
    from builds import digests, run, write_inputs

    catalog = write_inputs(tmp_path / "inputs", n_entries=4)
    server.add_secret("c2s-bucket", {"AWS_REGION": "bWFycy0x"})
    asked = written(tmp_path, workers=2, queue_timeout=600)
    build = ("build", catalog, "--preset=recommended")
    here, there = tmp_path / "here.zarr", tmp_path / "there.zarr"
    for store, cluster in ((here, "local"), (there, asked)):
        done = run(tmp_path / "logs", *build[:2], store, *build[2:], f"--cluster={cluster}")
        assert done.process.returncode == 0, done.output
    assert digests(there) == digests(here)
    assert "DaskCluster lab/c2s, 1 to 2 workers" in done.output
    assert "http://127.0.0.1:" in done.output

    cluster, secret, autoscaler = server.posted
    spec = Spec.model_validate(yaml.safe_load(asked.read_text()))
    name = secret["metadata"]["name"]
    assert cluster == cluster_document(spec, 3_000_000_000, name, 600 + 300)
    assert autoscaler["spec"] == autoscaler_document(spec)["spec"]
    assert server.refused == []  # The role of deploy/kubernetes/rbac.yaml is enough.
    # The scheduler saw work for more than one worker, and the secret became variables of theirs.
    assert server.pods.most_workers == 2
    worker = server.pods.environments["c2s-worker-0"]
    assert worker["AWS_REGION"] == "mars-1"
    assert worker["DASK_SCHEDULER_ADDRESS"] == "tls://c2s-scheduler:8786"
    assert_nothing_is_left(server)


def test_a_cluster_goes_when_its_command_fails(server: Kubernetes) -> None:
    said: list[str] = []

    def work() -> None:
        with connect(Spec(workers=1), tell=said.append) as client:
            assert dict(map_over_workers(client, abs, [-3, 4])) == {-3: 3, 4: 4}
            info = client.scheduler_info(n_workers=-1)
            assert all(address.startswith("tls://") for address in [*info["workers"]])
            assert server.names("daskclusters") == ["c2s"]
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        work()
    assert any("scheduler: 1 Ready" in line or "worker: " in line for line in said)
    assert_nothing_is_left(server)


def test_certificates_of_a_named_secret_are_used(server: Kubernetes, tmp_path: Path) -> None:
    from distributed import Security

    made = Security.temporary()
    files = {"ca_file": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
    for key, text in files.items():
        (tmp_path / key).write_text(text)
    paths: dict[str, Any] = {key: tmp_path / key for key in files}
    names = {"ca.crt": "ca_file", "tls.crt": "cert", "tls.key": "key"}
    data = {name: base64.b64encode(files[key].encode()).decode() for name, key in names.items()}
    server.add_secret("ours", data)
    with connect(Spec(workers=1, tls_secret="ours", **paths)) as client:
        assert dict(map_over_workers(client, abs, [-5])) == {-5: 5}
    assert [document["kind"] for document in server.posted] == ["DaskCluster", "DaskAutoscaler"]
    assert server.names("secrets") == ["ours"]
    with (
        pytest.raises(ConfigError, match="give all four"),
        connect(Spec(tls_secret="ours")),
    ):
        pass


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every wait, so that a test needs seconds for what a user has less than 60 for."""
    monkeypatch.setattr("c2s_data.cluster.kubernetes._LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("c2s_data.cluster.kubernetes.OPERATOR_S", 5.0)
    monkeypatch.setattr("c2s_data.cluster.kubernetes_api.ANSWER_S", 2.0)


def no_definitions(server: Kubernetes) -> None:
    server.has_definitions = False


def name_is_taken(server: Kubernetes) -> None:
    server.objects["daskclusters", "c2s"] = {"metadata": {"name": "c2s", "uid": "of-another"}}


def no_operator(server: Kubernetes) -> None:
    server.pods.has_operator = False


def no_image(component: str) -> Callable[[Kubernetes], None]:
    def arrange(server: Kubernetes) -> None:
        message = 'Back-off pulling image "c2s:latest"'
        server.pods.waiting[component] = {"reason": "ImagePullBackOff", "message": message}

    return arrange


def crashes(server: Kubernetes) -> None:
    server.pods.waiting["worker"] = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}


def no_account(server: Kubernetes) -> None:
    server.pods.no_pods_because = 'serviceaccount "c2s" not found'


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("arrange", "keys", "kind", "told"),
    [
        (no_definitions, {}, ConfigError, r"DaskCluster lab/c2s: .*404.*operator is not installed"),
        (None, {"namespace": "none"}, ConfigError, 'namespaces "none" not found; correct key name'),
        (name_is_taken, {}, ConfigError, "already exists; .*kubectl delete daskcluster c2s -n lab"),
        (no_operator, {}, ClusterError, r"operator has not taken up DaskCluster lab/c2s \(no st"),
        (
            no_image("scheduler"),
            {},
            ClusterError,
            "scheduler: pod c2s-scheduler-0: ImagePullBackOf",
        ),
        (no_image("worker"), {}, ClusterError, "worker: pod c2s-worker-0: ImagePullBackOff: Back-"),
        (crashes, {}, ClusterError, r"CrashLoopBackOff: .*\n  ModuleNotFoundError: No module"),
        (None, {"secrets": ("x",)}, ClusterError, 'secret "x" not found; correct key secrets'),
        (
            no_account,
            {"queue_timeout": 2},
            ClusterError,
            r'not ready after 2 s \(scheduler: serviceaccount "c2s" not found\)',
        ),
    ],
)
def test_what_cannot_work_is_told_and_leaves_nothing(
    arrange: Callable[[Kubernetes], None] | None,
    keys: dict[str, Any],
    kind: type[Exception],
    told: str,
    server: Kubernetes,
) -> None:
    if arrange is not None:
        arrange(server)
    taken = server.objects.get(("daskclusters", "c2s"))
    with pytest.raises(kind, match=f"(?s){told}"), connect(Spec(workers=1, **keys)):
        pass
    # What belongs to another stays.
    assert server.objects.pop(("daskclusters", "c2s"), None) is taken
    assert_nothing_is_left(server)


@pytest.mark.usefixtures("impatient")
def test_who_may_not_make_clusters_is_told(
    server: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api_server import STRANGER

    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(STRANGER)))
    with pytest.raises(ConfigError, match=r"forbidden: .*rbac\.yaml"), connect(Spec()):
        pass
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig("wrong")))
    with pytest.raises(ConfigError, match="refuses the login: Unauthorized"), connect(Spec()):
        pass
    assert server.posted == []


@pytest.mark.usefixtures("impatient")
def test_an_api_server_that_is_not_there_or_says_nothing_is_told(
    server: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(server=address)))
        with pytest.raises(ConfigError, match=r"does not answer \(.*connect"), connect(Spec()):
            pass
        silent.listen()
        with pytest.raises(ConfigError, match="does not answer"), connect(Spec()):
            pass


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "no usable kubeconfig: "),
        ("]", "no usable kubeconfig: "),
        ("{}", "no usable kubeconfig: "),
    ],
)
def test_a_kubeconfig_that_is_none_is_told(
    text: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kr8s", reason="kr8s is not installed")
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ConfigError, match=told), connect(Spec()):
        pass


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(ConfigError, match=r"pip install 'cryo2struct-store\[kubernetes\]'"),
        connect(Spec()),
    ):
        pass


def test_an_unknown_context_is_told(server: Kubernetes) -> None:
    with (
        pytest.raises(ConfigError, match=r"No such context prod; .*key context"),
        connect(Spec(context="prod")),
    ):
        pass
    assert server.posted == []


@pytest.fixture
def pretending(server: Kubernetes) -> None:
    server.pods.has_processes = False


def cluster_of(spec: Spec, said: list[str] | None = None) -> Any:
    from c2s_data.cluster.kubernetes import kubernetes

    return kubernetes(spec, 3_000_000_000, (said if said is not None else []).append)


@pytest.mark.usefixtures("impatient", "pretending")
def test_a_cluster_that_is_just_being_removed_is_waited_for(server: Kubernetes) -> None:
    name_is_taken(server)
    server.objects["daskclusters", "c2s"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with cluster_of(Spec()):
        assert server.objects["daskclusters", "c2s"]["metadata"]["uid"] != "of-another"
    assert [refusal[-3:] for refusal in server.refused] == ["409"]
    assert_nothing_is_left(server)


@pytest.mark.usefixtures("impatient", "pretending")
def test_a_removal_is_tried_again_and_its_failure_told(server: Kubernetes) -> None:
    said: list[str] = []
    server.fails_to_delete = 2
    with cluster_of(Spec(), said):
        pass
    assert server.names("daskclusters") == []
    assert "NOT removed" not in "".join(said)
    server.fails_to_delete = 3
    with cluster_of(Spec(), said):
        pass
    assert "kubectl delete daskcluster c2s -n lab" in said[-1]
    assert "after 3900 s without work" in said[-1]


@pytest.mark.usefixtures("impatient", "pretending")
def test_a_cluster_of_the_same_name_that_came_later_stays(server: Kubernetes) -> None:
    with cluster_of(Spec()):
        server.objects["daskclusters", "c2s"]["metadata"]["uid"] = "of-another"
    assert server.names("daskclusters") == ["c2s"]


@pytest.mark.usefixtures("impatient", "pretending")
def test_in_a_pod_the_service_is_used_and_nothing_forwarded(
    server: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with cluster_of(Spec(name="mine")) as place:
        assert place.target == "tls://mine-scheduler.lab:8786"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with cluster_of(Spec(name="mine", workers=7)) as place:
        assert place.target.startswith("tls://127.0.0.1:")
        assert place.most_workers == 7
        assert place.workers_timeout_s == 3600.0
        assert place.why_none() is None
    assert not any("portforward" in line for line in server.asked)
