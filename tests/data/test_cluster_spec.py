"""What --cluster and its YAML files may say; nothing is started here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from c2s_data.cluster.exposure import refuse_exposed
from c2s_data.cluster.settings import SETTINGS, as_environment, lifetime_s
from c2s_data.cluster.spec import (
    KINDS,
    Address,
    Local,
    SchedulerFile,
    Slurm,
    Ssh,
    read_cluster,
    spec_from,
)
from c2s_data.errors import ConfigError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_a_word_names_a_cluster() -> None:
    assert read_cluster(None) == Local()
    assert read_cluster("local", 3) == Local(workers=3)
    assert read_cluster("tls://host:8786") == Address(address="tls://host:8786")
    assert read_cluster("host:8786") == Address(address="host:8786")
    assert read_cluster("a/scheduler.json") == SchedulerFile(file=Path("a/scheduler.json"))
    assert read_cluster("slurm", 5).workers == 5
    made = Slurm(workers=64, minimum=8)
    assert read_cluster(made, 4) == made.model_copy(update={"workers": 4, "minimum": 4})
    assert read_cluster(made) is made


@pytest.mark.parametrize("word", ["tcp://host:1", "x.json", "slurm-runner"])
def test_workers_of_a_running_cluster_are_its_own(word: str) -> None:
    with pytest.raises(ConfigError, match="--workers says how many workers to start"):
        read_cluster(word, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_kind_is_valid_and_explains_every_key(kind: str) -> None:
    path = DEPLOY / f"{kind}.yaml"
    assert read_cluster(path).kind == kind
    text = path.read_text("utf-8")
    told = set(re.findall(r"^(?:# )?([a-z_]+): ", text, re.M))
    assert told == set(KINDS[kind].model_fields)
    # Keys that are commented out work as they stand, too.
    everything = yaml.safe_load(re.sub(r"^# ([a-z_]+: )", r"\1", text, flags=re.M))
    assert spec_from(everything, "example").kind == kind
    for number, line in enumerate(text.splitlines()):
        assert len(line) <= 100, f"{path}:{number + 1}"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"kind": "slurm", "partion": "x"}, "unknown key 'partion', did you mean partition?"),
        ({"kind": "slurm", "queue_timeout": "soon"}, "'queue_timeout': .*HH:MM:SS"),
        ({"kind": "slurm", "walltime": "00:01:59"}, "'walltime': .*120"),
        ({"kind": "slurm", "walltime": "4h"}, "'walltime': .*HH:MM:SS"),
        ({"kind": "slurm", "workers": 0}, "'workers': .*greater than 0"),
        ({"kind": "slurm", "directives": ["--qos=a\nrm -r x"]}, "'directives.0'"),
        ({"kind": "slurm", "partition": "a b"}, "'partition'"),
        ({"kind": "kubernetes", "name": "Mine"}, "'name'"),
        ({"kind": "kubernetes", "name": "m" * 41}, "'name'"),
        ({"kind": "kubernetes", "namespace": "a.b"}, "'namespace'"),
        ({"kind": "kubernetes", "volumes": {"claim": "relative"}}, "'volumes.claim'"),
        ({"kind": "kubernetes", "secret": ["a"]}, "'secret', did you mean secrets"),
        ({"kind": "local", "memory_per_worker": 3}, "'memory_per_worker': .*unit"),
        ({"kind": "local", "memory_per_worker": "3 bananas"}, "write it as 1.5GB"),
        ({"kind": "local", "memory_per_worker": "3KB"}, "'memory_per_worker'"),
        ({"kind": "ssh"}, "key 'hosts' is missing"),
        ({"kind": "ssh", "hosts": ["only-one"]}, "'hosts': .*at least 2"),
        ({"kind": "slrum"}, "kind is 'slrum'; it must be one of local, address"),
        ({}, "kind is None"),
        ({"kind": ["slurm"]}, r"kind is \['slurm'\]"),
    ],
)
def test_a_key_that_is_unknown_or_not_usable_is_told(document: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        spec_from(document, "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [("kind: [", "c.yaml: "), ("- 1", "not a table"), ("", "not a table")],
)
def test_a_file_that_is_no_table_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_cluster(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cluster(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="did you mean slurm"):
        read_cluster("slrum")


def test_yaml_constructs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="see deploy/"):
        read_cluster(path)


def test_a_time_is_read_as_slurm_and_as_yaml_write_it() -> None:
    def seconds(text: str) -> int:
        made = spec_from(yaml.safe_load(f"kind: slurm\nwalltime: {text}"), "x")
        assert isinstance(made, Slurm)
        return made.walltime

    assert seconds("04:00:00") == seconds('"04:00:00"') == 14400
    assert seconds("12:00:00") == 43200  # YAML 1.1 makes the number 43200 of it
    assert seconds("2-01:00:03") == 49 * 3600 + 3


def test_workers_end_before_the_walltime_does() -> None:
    for walltime in (120, 600, 3600, 86400, 7 * 86400):
        lifetime, stagger = lifetime_s(walltime)
        assert 0 < lifetime - stagger < lifetime + stagger < walltime
        assert walltime - lifetime <= max(60, walltime / 10)
    assert lifetime_s(3600) == (3240, 180)
    assert lifetime_s(86400) == (85800, 300)


def test_settings_reach_other_machines_as_variables() -> None:
    """Dask itself reads back what a job script exports."""
    import dask

    variables = dict(as_environment(SETTINGS))
    back = dask.config.collect_env(variables)
    for name, value in SETTINGS.items():
        if not isinstance(value, dict | list):
            assert dask.config.get(name, config=back) == value
    assert {type(value) for value in variables.values()} == {str}
    assert variables["DASK_DISTRIBUTED__WORKER__MEMORY__SPILL"] == "False"


def test_ssh_takes_hosts_of_the_field() -> None:
    made = spec_from({"kind": "ssh", "hosts": ["a.b", "10.0.0.2", "fe80::1"]}, "x")
    assert isinstance(made, Ssh)
    assert made.hosts == ("a.b", "10.0.0.2", "fe80::1")
    with pytest.raises(ConfigError, match="hosts"):
        spec_from({"kind": "ssh", "hosts": ["a", "b; rm -r x"]}, "x")


def test_loopback_needs_no_tls() -> None:
    refuse_exposed(["tcp://127.0.0.1:1", "tls://192.0.2.1:1"])
    with pytest.raises(ConfigError, match="--insecure"):
        refuse_exposed(["tcp://127.0.0.1:1", "tcp://192.0.2.1:1"])


def test_a_command_is_told_of_a_wrong_cluster_before_dask_is_imported() -> None:
    script = """
import sys
from c2s_data.cluster_options import asked_cluster
from c2s_data.errors import ConfigError
assert asked_cluster(None, None, False, None) is None
assert asked_cluster("slurm", 3, False, None).workers == 3
try:
    asked_cluster(None, None, True, None)
except ConfigError as error:
    assert "add --cluster" in str(error)
    print(sorted({"dask", "distributed"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
