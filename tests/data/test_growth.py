"""What a new catalog adds to a plan: appended entries, kept rows, refusals in words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_maps import SHAPES_ZYX, made_plan

from c2s_data.config import BuildConfig, make_config
from c2s_data.errors import ConfigError
from c2s_data.growth import extend_plan, withdraw
from c2s_data.plan import Failure, Plan, plan_of, with_rows

LARGE = (170, 160, 180)


def planned(*names: str, shapes=None, **changes) -> Plan:
    """A plan of entries with these names, as a catalog alone leads to."""
    shapes = shapes or [SHAPES_ZYX[i % 2] for i in range(len(names))]
    plan = made_plan(shapes=shapes)
    changes = {"resolution_A": 3.0, "split": "train"} | changes
    entries = [
        replace(entry, entry=replace(entry.entry, entry_id=name, **changes))
        for entry, name in zip(plan.entries, names, strict=True)
    ]
    entries = [with_rows(entry, entry.first_subgrid, plan.config) for entry in entries]
    return plan_of(plan.config, entries, plan.n_rows)


def grow(earlier: Plan, fresh: Plan, built: str = "", **options) -> Plan:
    return extend_plan(earlier, fresh, lambda e: e.group in built.split(), **options)


def rows(plan: Plan) -> list[tuple[str, int, int, int]]:
    return [(e.group, e.map_index, e.first_subgrid, e.n_shards) for e in plan.entries]


def test_new_entries_get_rows_behind_all_others_wherever_the_catalog_names_them() -> None:
    old = planned("A", "B")
    grown = grow(old, planned("N", "A", "M", "B", shapes=[LARGE, *SHAPES_ZYX, SHAPES_ZYX[1]]), "A")
    assert rows(grown) == [
        ("A", 0, 0, 1), ("B", 1, 512, 1), ("N", 2, 1024, 2), ("M", 3, 2048, 1),
    ]  # fmt: skip
    assert grown.n_rows == 2560
    assert grown.lineage == old.lineage
    assert grown.fingerprint != old.fingerprint
    assert grown.entries[0].fingerprint == old.entries[0].fingerprint
    assert len({entry.fingerprint for entry in grown.entries}) == 4
    assert grow(grown, planned("A", "B", "M", "N", shapes=[*SHAPES_ZYX, SHAPES_ZYX[1], LARGE]))


def test_the_same_catalog_changes_nothing() -> None:
    old = planned("A", "B")
    assert grow(old, planned("A", "B"), "A B") == old
    assert grow(old, planned("B", "A", shapes=SHAPES_ZYX[::-1]), "A B") == old


def test_what_only_the_catalog_says_may_change() -> None:
    old = planned("A", "B")
    fresh = planned("A", "B", split="test", metadata={"title": "Shaker"})
    grown = grow(old, fresh, "A B")
    assert [entry.entry.split for entry in grown.entries] == ["test", "test"]
    assert grown.entries[1].entry.metadata == {"title": "Shaker"}
    assert rows(grown) == rows(old)
    assert grown.fingerprint == old.fingerprint


def test_a_run_with_less_memory_takes_files_for_what_is_planned_already() -> None:
    old, fresh = planned("A", "B"), planned("A", "B")
    smaller = replace(fresh.entries[1], paged=True, predicted_memory_bytes=7)
    refused = replace(fresh.entries[0], failure=Failure("plan", "task-memory", "too large"))
    fresh = replace(fresh, entries=(refused, smaller))
    grown = grow(old, fresh, "A")
    assert grown.entries == (old.entries[0], smaller)
    assert grown.fingerprint == old.fingerprint


def test_a_contour_level_counts_where_quality_is_measured_by_it() -> None:
    old, fresh = planned("A"), planned("A", contour_level=0.4)
    with pytest.raises(ConfigError, match=r"A\.contour_level: None -> 0\.4"):
        grow(old, fresh, "A")
    unmeasured = make_config("paper")
    old, fresh = (replace(plan, config=unmeasured) for plan in (old, fresh))
    assert grow(old, fresh, "A").entries[0].entry.contour_level == 0.4


def test_a_built_entry_whose_inputs_changed_is_refused_or_rebuilt_in_new_rows() -> None:
    old = planned("A", "B")
    fresh = planned("A", "B", pdb_id="7kjr")
    with pytest.raises(ConfigError, match=r"A\.pdb_id: None -> '7kjr'"):
        grow(old, fresh, "A B")
    grown = grow(old, fresh, "A", rebuild=True)
    # B was never built, but a part may be about to write it: its old rows stay its own as well.
    assert rows(grown) == [
        ("A", 0, 0, 1), ("B", 1, 512, 1), ("A.r2", 2, 1024, 1), ("B.r2", 3, 1536, 1),
    ]  # fmt: skip
    assert grown.entries[0].withdrawn == Failure(
        "withdrawn", "rebuilt", "built anew from other inputs in later rows"
    )
    assert grown.entries[1].withdrawn.reason == "replaced"
    assert [entry.group for entry in grown.live] == ["A.r2", "B.r2"]
    third = grow(grown, planned("A", "B", pdb_id="8aaa"), "A.r2", rebuild=True)
    assert [entry.group for entry in third.live] == ["A.r3", "B.r3"]
    assert third.n_rows == 3072


def test_an_entry_that_left_the_catalog_is_dropped_unless_it_was_built() -> None:
    old = planned("A", "B")
    with pytest.raises(ConfigError, match="A: no longer in the catalog"):
        grow(old, planned("B", shapes=[SHAPES_ZYX[1]]), "A")
    grown = grow(old, planned("A"), "A")
    assert grown.entries[1].withdrawn.reason == "dropped"
    back = grow(grown, planned("A", "B"), "A")
    assert rows(back)[2] == ("B.r2", 2, 1024, 1)


def test_a_withdrawn_entry_comes_back_only_when_asked_for() -> None:
    old = withdraw(planned("A", "B"), "B", "handedness is wrong")
    assert [entry.entry_id for entry in old.live] == ["A"]
    assert grow(old, planned("A"), "A B") == old
    with pytest.raises(ConfigError, match=r"B: was withdrawn \(handedness is wrong\)"):
        grow(old, planned("A", "B"), "A B")
    again = grow(old, planned("A", "B"), "A B", rebuild=True)
    assert [entry.group for entry in again.live] == ["A", "B.r2"]
    with pytest.raises(ConfigError, match="no entry 'C'"):
        withdraw(old, "C", "x")
    with pytest.raises(ConfigError, match="no entry 'B'"):
        withdraw(old, "B", "twice")


def test_names_that_differ_in_case_alone_are_refused_over_generations_too() -> None:
    with pytest.raises(ConfigError, match="a: the store has A; names must differ"):
        grow(planned("A", "B"), planned("A", "B", "a"), "A")


def failed(plan: Plan, reason: str) -> Plan:
    bare = {"source_shape_zyx": (0, 0, 0), "n_subgrids": 0, "n_shards": 0}
    entries = [replace(e, failure=Failure("plan", reason, "why"), **bare) for e in plan.entries]
    return plan_of(plan.config, entries, 0)


def test_built_entries_need_their_inputs_no_more_but_damaged_ones_are_told() -> None:
    old = planned("A", "B")
    gone = failed(planned("A", "B", split="test"), "not-found")
    grown = grow(old, gone, "A B")
    assert rows(grown) == rows(old)
    assert [entry.entry.split for entry in grown.entries] == ["test", "test"]
    with pytest.raises(ConfigError, match="A: could be read then, not now: why"):
        grow(old, failed(planned("A", "B"), "bad-gzip"), "A B")
    with pytest.raises(ConfigError, match="A: could be read then"):
        grow(old, failed(planned("A", "B", resolution_A=9.9), "not-found"), "A B")


def test_an_entry_that_failed_in_the_plan_gets_rows_once_it_is_mended() -> None:
    entries = planned("A", "B").entries
    bad = replace(entries[0], failure=Failure("plan", "not-found", "x"), n_shards=0, n_subgrids=0)
    old = plan_of(make_config("recommended"), [bad, entries[1]], 1024)
    grown = grow(old, planned("A", "B"), "B")
    assert rows(grown) == [("A", 0, 1024, 1), ("B", 1, 512, 1)]
    assert grown.entries[0].failure is None


CHANGES = {
    "preset": "paper", "origin": "nstart", "positions": "float32", "integer_maps": "truncate",
    "scale": "nonzero", "percentile": 90.0, "label_rule": "formula1", "atoms": "named",
    "collision": "last-wins", "modified_residues": "unknown", "unknown_amino": "background",
    "zero_occupancy": "keep", "secondary": "records", "density_dtype": "float32", "box": 34,
    "core": 18, "compressor": "zstd", "non_finite": "zero",
    "resampling": "trilinear", "antialias": False, "assembly": "1", "extra_masks": ("nucleic",),
    "ignore_radius_A": 2.0, "quality": False, "gate": "drop", "density": "normalized",
    "masks": "files",
}  # fmt: skip


@pytest.mark.parametrize("name", BuildConfig.model_fields)
def test_every_option_that_differs_is_refused_and_shown(name: str) -> None:
    old = planned("A")
    changed = old.config.model_copy(update={name: CHANGES[name]})
    fresh = plan_of(changed, old.entries, old.n_rows)
    assert fresh.fingerprint != old.fingerprint
    with pytest.raises(ConfigError) as caught:
        grow(old, fresh, "A")
    was = getattr(old.config, name)
    assert str(caught.value) == f"  {name}: {was!r} -> {CHANGES[name]!r}"
