"""The harness of the benchmarks: turns, ratios, goals, the check for regressions, the table."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.suite import __main__ as suite  # noqa: E402
from benchmarks.suite import peers, results, table  # noqa: E402
from benchmarks.suite.groups import GROUPS  # noqa: E402
from benchmarks.suite.growth import fitted_power  # noqa: E402
from benchmarks.suite.peers import Peer, PeerProcess, PeerUnavailableError  # noqa: E402
from benchmarks.suite.regression import changes  # noqa: E402
from benchmarks.suite.results import Results  # noqa: E402
from benchmarks.suite.rows import (  # noqa: E402
    Row,
    at_least,
    at_most,
    compared,
    faster,
    figure,
    judged,
    of_limit,
    within,
    without_figure,
)
from benchmarks.suite.turns import in_turns  # noqa: E402

ABOUT = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "date": "2026-01-02",
    "size": "bench",
    "groups": ["loader"],
    "machine": {"processor": "A Processor", "cores": 2, "memory_GB": 8.0, "kernel": "6.1"},
    "versions": {"python": "3.11.7", "numpy": "2.4.6"},
}


def test_measures_take_turns_and_warm_up_without_counting():
    calls = []

    def named(name):
        def measure():
            calls.append(name)
            return float(len(calls))

        return measure

    samples = in_turns({"ours": named("ours"), "peer": named("peer")}, repeats=3, warm=1)
    assert calls == ["ours", "peer"] * 4
    assert samples == {"ours": [3.0, 5.0, 7.0], "peer": [4.0, 6.0, 8.0]}
    with pytest.raises(ValueError, match="0 repeats measure nothing"):
        in_turns({"ours": named("ours")}, repeats=0)


def test_the_ratio_is_that_of_each_turn_not_of_the_medians():
    # The machine is ten times as slow in the second turn: both are.
    row = compared("read", "1/s", [40.0, 6.0, 44.0], [10.0, 1.0, 22.0], against="peer")
    assert row.value == 40.0
    assert row.spread == (6.0, 44.0)
    assert (row.peer, row.limit) == (10.0, None)
    assert row.ratio == 4.0  # of 4, 6 and 2; the medians' own is 4 by chance, below it is not
    assert row.ratio_spread == (2.0, 6.0)
    other = compared("read", "1/s", [3.0, 8.0, 10.0], [3.0, 1.0, 10.0], against="peer")
    assert other.ratio == 1.0  # of 1, 8, 1; the medians would say 8/3


def test_unequal_numbers_of_turns_compare_medians():
    row = compared("read", "s", [2.0, 4.0, 3.0], [12.0], against="peer", ratio="other/own")
    assert row.ratio == 4.0
    assert row.ratio_spread == (4.0, 4.0)


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [
        (at_least(4), 4.0, True),
        (at_least(4), 3.99, False),
        (at_least(4), 9.0, True),
        (at_most(2), 2.0, True),
        (at_most(2), 2.01, False),
        (at_most(2), 0.5, True),
    ],
)
def test_a_goal_is_met_on_its_side_of_the_bound(goal, ratio, met):
    row = compared("x", "s", [ratio], [1.0], against="limit", role="limit", goal=goal)
    assert row.met is met
    assert row.goal == ("≥ 4" if goal.relation == ">=" else "≤ 2")
    assert row.better == ("higher" if goal.relation == ">=" else "lower")
    assert compared("x", "s", [ratio], [1.0], against="limit").met is None


def test_seconds_become_how_many_times_as_fast_and_how_many_times_the_limit():
    assert faster("x", [2.0], [10.0], "scipy").ratio == 5.0
    row = of_limit("x", [3.0], [1.5], "memcpy")
    assert (row.ratio, row.limit, row.peer, row.better) == (2.0, 1.5, None, "lower")


def test_a_count_is_held_against_its_goal_itself():
    row = judged("power", "", [2.2], at_most(2.1), "1,000: 0.1 s")
    assert (row.ratio, row.met, row.better) == (2.2, False, "lower")
    assert table.line(row) == "| power | 2.2; 1,000: 0.1 s |  |  | ≤ 2.1: **not reached** |"
    assert judged("power", "", [2.1], at_most(2.1)).met is True


def ratio_row(low, middle, high, better="higher", **options):
    return Row("g", "n", 1.0, "s", (1.0, 1.0), "peer", 1.0, None, middle, (low, high), better,
               **options)  # fmt: skip


def worse(earlier, now):
    return [change.worse for change in changes([earlier], [now])]


def test_a_regression_is_found_and_noise_is_not():
    before = ratio_row(3.8, 4.0, 4.2)
    assert worse(before, ratio_row(2.0, 2.1, 2.3)) == [True]
    assert worse(before, ratio_row(3.4, 3.6, 3.7)) == []  # apart, but within the tolerance
    assert worse(before, ratio_row(2.0, 2.1, 3.9)) == []  # far, but one turn was as good
    assert worse(before, ratio_row(9.0, 9.1, 9.2)) == []  # better


def test_a_lower_ratio_can_be_the_better_one():
    before = ratio_row(1.9, 2.0, 2.1, "lower")
    assert worse(before, ratio_row(3.0, 3.1, 3.2, "lower")) == [True]
    assert worse(before, ratio_row(1.0, 1.1, 1.2, "lower")) == []


def test_a_single_turn_has_to_be_much_worse():
    before = ratio_row(4.0, 4.0, 4.0)
    assert worse(before, ratio_row(3.0, 3.0, 3.0)) == []
    assert worse(before, ratio_row(2.5, 2.5, 2.5)) == [True]


def test_an_absolute_bound_has_a_goal_but_no_regression():
    row = within("score", "s", [0.5, 0.6, 0.7], 2.0)
    assert (row.limit, row.ratio, row.goal, row.met) == (2.0, 0.3, "≤ 1", True)
    slower = within("score", "s", [1.9, 1.9, 1.9], 2.0)
    assert changes([row], [slower]) == []
    assert within("verify", "1/s", [9000.0], 10_000.0, relation=">=").met is False
    assert within("verify", "1/s", [11_000.0], 10_000.0, relation=">=").met is True
    (told,) = changes([row], [within("score", "s", [2.1], 2.0)])
    assert (told.worse, told.text) == (False, "goal ≤ 1 no longer met: 0.3 before, 1.05 now")


def test_what_vanished_or_lost_its_goal_is_told_without_failing():
    before = ratio_row(3.8, 4.0, 4.2, goal="≥ 4", met=True)
    assert [c.text for c in changes([before], [])] == ["not measured in this run"]
    gone = replace(without_figure("n", "peer", "no network"), group="g")
    (told,) = changes([before], [gone])
    assert (told.worse, told.text) == (False, "no figure: no network")
    (told,) = changes([before], [ratio_row(3.7, 3.9, 4.1, goal="≥ 4", met=False)])
    assert (told.worse, told.text) == (False, "goal ≥ 4 no longer met: 4 before, 3.9 now")


def made_results():
    rows = [
        compared("shuffled", "subgrids/s", [38000.0, 40000.0, 39000.0], [50000.0] * 3,
                 against="codec", role="limit", goal=at_least(0.8)),
        compared("shuffled", "subgrids/s", [39000.0], [3900.0], against="WebDataset",
                 goal=at_least(4)),
        without_figure("shuffled", "LitData", "cannot be installed: no such version"),
        figure("peak", "B", [1.5e9], "one process"),
    ]  # fmt: skip
    return Results(ABOUT, tuple(row.named("Loader") for row in rows))


def test_the_table_shows_figures_spread_goal_and_reasons():
    text = table.render(made_results())
    assert "Commit `0123456789ab`, 2026-01-02, size `bench`; 2 cores of A Processor, 8 GB" in text
    assert (
        "| shuffled | 39,000 subgrids/s | codec: 50,000 subgrids/s | 0.78 (0.76 to 0.8) "
        "| ≥ 0.8: **not reached** |" in text
    )
    assert "| shuffled | 39,000 subgrids/s | WebDataset: 3,900 subgrids/s | 10 | ≥ 4 |" in text
    assert "| shuffled | | LitData | | cannot be installed: no such version |" in text
    assert "| peak | 1.5 GB; one process |  |  |  |" in text


def test_the_readme_takes_the_rows_with_a_goal_between_its_markers(tmp_path):
    readme, page = tmp_path / "README.md", tmp_path / "results.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write(made_results(), page, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\nCommit")
    assert text.endswith(f"{table.END}\nafter\n")
    assert "old" not in text
    assert "1 of 2 goals met" in text
    assert "LitData" not in text
    again = table.include(text, table.render_short(made_results()))
    assert again == text
    with pytest.raises(ValueError, match="the page lacks the line"):
        table.include(f"{table.END} {table.BEGIN}", "x")


def test_the_readme_of_the_project_has_the_markers():
    assert "replaced" in table.include((ROOT / "README.md").read_text("utf-8"), "replaced")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0000021, "s", "2.1 µs"),
        (0.0135, "s", "13.5 ms"),
        (39.94, "s", "39.9 s"),
        (524_544, "B", "525 kB"),
        (11.2e9, "B/s", "11.2 GB/s"),
        (25_000.4, "windows/s", "25,000 windows/s"),
        (2.01, "", "2.01"),
    ],
)
def test_quantities_have_three_digits_and_a_prefix(value, unit, text):
    assert table.quantity(value, unit) == text


def test_results_come_back_as_they_were_saved(tmp_path):
    path = tmp_path / "results.json"
    results.save(made_results(), path)
    assert results.parse(path.read_text("utf-8")) == made_results()
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]
    row = json.loads(path.read_text("utf-8"))["rows"][0]
    assert {"name", "value", "unit", "peer", "limit", "ratio", "goal", "met"} <= row.keys()


def test_a_revision_without_results_has_none():
    assert results.committed("HEAD", ROOT / "benchmarks" / "no-such-results.json") is None


def test_about_names_commit_machine_and_versions():
    about = results.about_this_run("quick", ["loader"])
    assert len(about["commit"].split()[0]) == 40
    assert about["machine"]["cores"] >= 1
    assert about["versions"]["python"].startswith("3.")
    assert about["versions"]["numpy"]
    assert results.versions(("no-such-package-as-this",)) == {}


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: A B\n"
         "cache size\t: 1024 KB\n\nprocessor\t: 1\nmodel\t: 3\n",
         "A B (family 26, model 2, cache 1024 KB)"),
        ("model name\t: A B\n", "A B"),
        ("CPU implementer\t: 0x41\n", platform.machine()),
    ],
)  # fmt: skip
def test_generations_of_a_processor_are_told_apart(cpuinfo, name):
    assert results.processor(cpuinfo) == name


@pytest.mark.parametrize(("before", "code"), [("A Processor", 1), ("Another", 0)])
def test_rows_are_held_to_those_of_the_same_processor(monkeypatch, capsys, before, code):
    def measured(processor, ratio):
        about = ABOUT | {
            "groups": ["loader"],
            "machine": ABOUT["machine"] | {"processor": processor},
        }
        row = compared("epoch", "subgrids/s", [ratio], [1.0], against="a peer")
        return results.Results(about, (row.named(GROUPS["loader"]),))

    monkeypatch.setattr(suite.stored, "committed", lambda _: measured(before, 9.0))
    assert suite.check(measured("A Processor", 2.0), "HEAD") == code
    said = capsys.readouterr().out
    assert "ratio 9 before, 2 now" in said
    assert ("another processor, Another, not A Processor" in said) is (code == 0)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder of peers' programs that a test writes."""
    monkeypatch.setattr(peers, "PROGRAMS", tmp_path)
    source = ROOT / "benchmarks" / "suite" / "peer_programs" / "answers.py"
    (tmp_path / "answers.py").write_text(source.read_text("utf-8"))
    return tmp_path


def test_a_peer_measures_when_it_is_asked(programs):
    (programs / "peer.py").write_text(
        "import sys\nfrom answers import serve\nprint('hello')\n"
        "serve(['numpy'], {'a': lambda: 2.0, 'argument': lambda: float(sys.argv[1][4:])})\n"
    )
    with PeerProcess(Peer("one", "peer.py"), {"n": 7.5}) as process:
        assert process.versions == results.versions(["numpy"])
        assert [process.measure("a"), process.measure("argument")] == [2.0, 7.5]


@pytest.mark.parametrize(
    ("program", "within_s", "reason"),
    [
        ("raise ImportError('no module named peer')", 60.0, "ImportError: no module named peer"),
        ("import time; time.sleep(60)", 1.0, "its program failed: without a word"),
    ],
)
def test_a_peer_that_fails_or_hangs_is_unavailable_with_its_reason(
    programs, program, within_s, reason
):
    (programs / "peer.py").write_text(program)
    with pytest.raises(PeerUnavailableError, match=reason):
        PeerProcess(Peer("one", "peer.py"), {}, within_s=within_s)


def test_a_peer_that_ends_between_two_turns_is_unavailable(programs):
    (programs / "peer.py").write_text(
        "from answers import serve\nserve(['numpy'], {'a': lambda: 1 / 0})\n"
    )
    with (
        PeerProcess(Peer("one", "peer.py"), {}) as process,
        pytest.raises(PeerUnavailableError, match="ZeroDivisionError"),
    ):
        process.measure("a")


def test_a_peer_that_pip_cannot_install_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    peer = Peer("none", "peer.py", ("no-such-package-as-this",))
    with pytest.raises(PeerUnavailableError, match=r"cannot be installed: .*no-such-package"):
        peers.python_of(peer, tmp_path)
    assert not list(tmp_path.glob("*/ready"))


def test_every_peer_has_its_program_and_pinned_versions():
    for peer in peers.PEERS.values():
        assert (peers.PROGRAMS / peer.program).is_file()
        assert not peer.requirements or "==" in peer.requirements[0]


def test_the_power_of_a_growth_is_fitted():
    assert fitted_power([1e3, 2e3, 5e3], [3 * n**2.01 for n in (1e3, 2e3, 5e3)]) == pytest.approx(
        2.01
    )
    assert fitted_power([10, 100], [5.0, 5.0]) == pytest.approx(0.0, abs=1e-12)
