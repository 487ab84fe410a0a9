"""Every check has a planted fault that it finds, and that no other check takes for its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from validation_stores import (
    ENTRY_ID,
    Built,
    build,
    config_of,
    empty_voxel,
    failed,
    message,
    numbers,
    numbers_with,
    replanned,
    shifted_labels,
    sorted_labels,
    statuses,
    store_of,
    with_density,
    with_facts,
    with_labels,
    with_residues,
    write_pair,
    write_store,
)

from c2s_data.config import make_config
from c2s_data.plan import PlannedEntry, make_plan
from c2s_data.sources.catalog import CatalogEntry
from c2s_data.store.documents import plain_spec
from c2s_data.store.index_columns import index_key, read_index_chunk
from c2s_data.store.layout import Layout, shard_key
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.shard import ShardEncoder, encode_chunk
from c2s_data.store.writer import LabeledMap
from c2s_data.transforms.label import VoxelLabels
from c2s_data.validation.checks import CHECKS
from c2s_data.validation.run import validate_store


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> CatalogEntry:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def built(entry: CatalogEntry) -> Built:
    return build(entry, config_of("paper"))


def one_voxel(value: float) -> Callable[[LabeledMap], LabeledMap]:
    def change(made: LabeledMap) -> LabeledMap:
        values = made.density_zyx.copy()
        values[empty_voxel(made)] = value
        return with_density(made, values)

    return change


def no_voxel_at_one(made: LabeledMap) -> LabeledMap:
    return with_facts(
        with_density(made, np.minimum(made.density_zyx, 0.99)), saturated_ca_share=0.0
    )


def statistics(**changes: object) -> Callable[[LabeledMap], LabeledMap]:
    return lambda made: replace(made, statistics={**made.statistics, **changes})


def another_scale(made: LabeledMap) -> LabeledMap:
    return with_facts(made, percentile_value=made.facts["percentile_value"] * 2)


def ca_column(made: LabeledMap, row: int, axis: str, add_A: float) -> LabeledMap:
    values = np.array(made.residues[f"ca_{axis}_A"])
    values[row] += add_A
    return with_residues(made, **{f"ca_{axis}_A": values})


def on_the_grid(made: LabeledMap, planned: PlannedEntry) -> LabeledMap:
    columns = {
        f"ca_{axis}_A": planned.origin_xyz_A[i] + np.array(made.residues[f"voxel_{axis}"], float)
        for i, axis in enumerate("xyz")
    }
    return with_residues(made, **columns)


def two_amino_acids_swapped(made: LabeledMap) -> LabeledMap:
    index, value = made.labels["amino"]
    other = int(np.flatnonzero(value != value[0])[0])
    swapped = value.copy()
    swapped[[0, other]] = value[[other, 0]]
    return with_labels(made, amino=VoxelLabels(index, swapped))


def stray_nitrogen(made: LabeledMap) -> LabeledMap:
    index, value = made.labels["atom"]
    index, value = np.vstack([index, empty_voxel(made)]), np.append(value, np.uint8(2))
    counts = made.facts["label_counts"]
    ca, n, c = counts["atom"]
    return with_facts(
        with_labels(made, atom=sorted_labels(index, value)),
        label_counts={**counts, "atom": [ca, n + 1, c]},
    )


def wrong_in_box(made: LabeledMap) -> LabeledMap:
    in_box = np.array(made.residues["in_box"])
    in_box[3] = ~in_box[3]
    return with_residues(made, in_box=in_box)


def without_first(made: LabeledMap, name: str) -> LabeledMap:
    index, value = made.labels[name]
    return with_labels(made, **{name: VoxelLabels(index[1:], value[1:])})


PLANTED = {
    "above one": ("P6", one_voxel(1.5)),
    "below zero": ("P6", one_voxel(-0.25)),
    "nothing at one": ("P7", no_voxel_at_one),
    "raw histogram": ("P9", statistics(raw_histogram=np.ones(256, np.int64))),
    "no range": ("P9", statistics(resampled_histogram_range=np.array([np.nan, 1.0]))),
    "raw slice": ("P9", statistics(raw_slice_yx=np.zeros((2, 3), np.float32))),
    "raw mean": ("P9", lambda made: with_facts(made, raw_mean=made.facts["raw_mean"] + 5)),
    "percentile": ("P9", another_scale),
    "saturation": ("P9", lambda made: with_facts(made, saturated_ca_share=0.123)),
    "moved residue": ("L2", lambda made: ca_column(made, 20, "y", 1.2)),
    "swapped classes": ("L4", two_amino_acids_swapped),
    "stray label": ("L5", stray_nitrogen),
    "counts": ("L7", lambda m: with_facts(m, label_counts={**m.facts["label_counts"], "ca": [1]})),
    "in box": ("L8", wrong_in_box),
    "share in box": ("L8", lambda made: with_facts(made, ca_in_box=0.5)),
    "outside": ("L8", lambda made: with_facts(made, n_atoms_outside=4)),
    "collisions": ("L9", lambda m: with_facts(m, n_collisions=m.facts["n_collisions"] + 1)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_exactly_the_check_of_a_planted_fault_fails(
    fault: str, built: Built, tmp_path: Path
) -> None:
    number, change = PLANTED[fault]
    report = validate_store(store_of(tmp_path, built, lambda made, _: change(made)))
    told = [f.message for f in report.findings if f.status == "fail"]
    assert numbers_with(report, "fail") == {number}, told
    assert ENTRY_ID in message(report, number)
    assert not report.is_valid


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number(value: float, entry: CatalogEntry, tmp_path: Path) -> None:
    # float32, because the coarser levels of a float16 map refuse it while they are written.
    built = build(entry, make_config("paper", density_dtype="float32"))
    report = validate_store(store_of(tmp_path, built, lambda made, _: one_voxel(value)(made)))
    assert numbers_with(report, "fail") == {"P5"}
    assert str(empty_voxel(built.made)) in message(report, "P5")
    assert numbers(report, "M12")["n_files"] == 4  # No file can hold it.
    assert "not written: emd_normalized_map.mrc" in message(report, "M1")


def test_labels_one_voxel_off_are_seen_from_every_side(built: Built, tmp_path: Path) -> None:
    url = store_of(tmp_path, built, lambda made, _: shifted_labels(made, (0, 0, 1)))
    report = validate_store(url)
    assert (
        {"L2", "L3", "L4", "L5"} <= numbers_with(report, "fail") <= {"L2", "L3", "L4", "L5", "P9"}
    )
    assert numbers(report, "L2")["share"] < 0.2
    # Nearest labels decide, so crowded C-alphas pull the bias a little towards zero.
    assert numbers(report, "L3")["bias_x_A"] == pytest.approx(0.5, abs=0.25)
    assert numbers(report, "L3")["bias_y_A"] == pytest.approx(-0.5, abs=0.2)


def test_coordinates_on_the_grid_have_another_bias(built: Built, tmp_path: Path) -> None:
    report = validate_store(store_of(tmp_path, built, on_the_grid))
    assert numbers_with(report, "fail") == {"L3"}
    assert numbers(report, "L3")["bias_z_A"] == pytest.approx(0, abs=1e-9)
    assert numbers(report, "L3")["mean_distance_A"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", ["atom", "secondary"])
def test_a_label_that_is_missing(name: str, built: Built, tmp_path: Path) -> None:
    url = store_of(tmp_path, built, lambda made, _: without_first(made, name))
    assert failed(url) == {"L4", "L7"}


def test_a_mask_with_a_value_of_no_class(entry: CatalogEntry, tmp_path: Path) -> None:
    config = make_config("paper", extra_masks=("ignore",))

    def change(made: LabeledMap, _: PlannedEntry) -> LabeledMap:
        odd = VoxelLabels(np.array([[1, 2, 3]], np.int32), np.array([7], np.uint8))
        counts = {**made.facts["label_counts"], "ignore": [0]}
        return with_facts(with_labels(made, ignore=odd), label_counts=counts)

    report = validate_store(store_of(tmp_path, build(entry, config), change))
    assert numbers_with(report, "fail") == {"L6"}
    assert "ignore holds [7]" in message(report, "L6")


def test_the_same_map_twice(entry: CatalogEntry, built: Built, tmp_path: Path) -> None:
    def findings(second: CatalogEntry, made: LabeledMap, folder: str) -> set[str]:
        plan = make_plan([entry, second], built.plan.config)
        report = validate_store(write_store(tmp_path / folder, plan, [built.made, made]))
        assert numbers_with(report, "fail") <= {"P1"}
        return {message(report, "P1", name).split(";")[0] for name in (ENTRY_ID, "MADE-0002")}

    other = replace(entry, entry_id="MADE-0002", emdb_id="EMD-9999")
    unlike = with_facts(built.made, raw_sd=built.made.facts["raw_sd"] * 1.5)
    no_inputs = replace(unlike, inputs=())
    unique = {f"{name}: no other entry has this map" for name in (ENTRY_ID, "MADE-0002")}
    assert findings(other, no_inputs, "different") == unique
    for what, second, made in (
        ("same EMDB id", replace(other, emdb_id=entry.emdb_id), no_inputs),
        ("same map file", other, unlike),
        ("same raw density", other, replace(built.made, inputs=())),
    ):
        told = findings(second, made, what)
        assert told == {f"{ENTRY_ID}: {what} as MADE-0002", f"MADE-0002: {what} as {ENTRY_ID}"}


def coordinate(url: str, axis: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write the coordinates of an axis anew, as any program may."""
    store = open_store(url)
    entry = store.entry(ENTRY_ID)
    n = entry.shape_zyx["zyx".index(axis)]
    values = change(entry.origin_xyz_A["xyz".index(axis)] + np.arange(n, dtype=np.float64))
    data = encode_chunk(values, plain_spec((n,), values.dtype))
    open_objects(url).put(f"maps/{entry.group}/s0/{axis}/c/0", bytes(data))


def test_a_voxel_size_that_is_not_one(built: Built, tmp_path: Path) -> None:
    url = store_of(tmp_path, built)
    coordinate(url, "y", lambda values: values[0] + 1.01 * (values - values[0]))
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"P2"}
    assert "coordinate y 1.01 A" in message(report, "P2")

    key = f"maps/{ENTRY_ID}/zarr.json"
    url = store_of(tmp_path / "ome", built)
    document = json.loads(open_objects(url).get(key))
    scale = document["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    scale["coordinateTransformations"][0]["scale"][2] = 1.07
    open_objects(url).put(key, json.dumps(document).encode())
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"P2"}
    assert "OME-Zarr x 1.07 A" in message(report, "P2")


def test_an_origin_that_is_not_the_sources(built: Built, tmp_path: Path) -> None:
    url = store_of(tmp_path, built)
    coordinate(url, "x", lambda values: values + 0.25)
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"P4"}
    assert "the catalog says" in message(report, "P4")
    assert "the source map says" in message(report, "P4")
    assert numbers(report, "P4")["difference_A"] == pytest.approx(0.25)


def test_a_grid_that_does_not_follow_from_the_source(built: Built, tmp_path: Path) -> None:
    odd = replanned(built, voxel_size_zyx_A=(1.07, 0.93, 1.12))
    report = validate_store(store_of(tmp_path, odd))
    assert numbers_with(report, "fail") == {"P3"}
    assert str(built.planned.shape_zyx) in message(report, "P3")


@pytest.mark.parametrize("array", ["density", "amino"])
def test_a_subgrid_that_is_not_its_window(array: str, built: Built, tmp_path: Path) -> None:
    url = store_of(tmp_path, built)
    store, spec = open_store(url), Layout.of(built.plan.config).subgrid_spec(array)
    rows = np.zeros(spec.shard_shape, spec.dtype)
    store.read_shard_rows(array, 0, 0, len(rows), rows)
    rows[5, 31, 0, 1] = 1 - rows[5, 31, 0, 1]  # in the margin, where stitching does not look
    blob = ShardEncoder().encode(rows, spec)
    open_objects(url).put(shard_key(array, 0), bytes(blob))
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"L10"}
    assert f"1 of {array} (first row 5)" in message(report, "L10")


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [("n_ca", 2, 99), ("corner_zyx", 7, 4), ("map", 1, 3), ("map", 400, 0)],
)
def test_an_index_that_is_not_the_maps(
    name: str, row: int, value: int, built: Built, tmp_path: Path
) -> None:
    url = store_of(tmp_path, built)
    objects = open_objects(url)
    column = read_index_chunk(objects, name, 0)
    assert built.planned.n_subgrids < 400
    column[row] = value
    data = encode_chunk(column, plain_spec(column.shape, column.dtype))
    objects.put(index_key(name, 0), bytes(data))
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"L11"}
    assert ("padding" if row == 400 else name) in message(report, "L11")


def test_a_residue_table_that_makes_no_sense(built: Built, tmp_path: Path) -> None:
    def far(made: LabeledMap, _: PlannedEntry) -> LabeledMap:
        voxel = np.array(made.residues["voxel_z"])
        voxel[7] = 10**6
        return with_residues(made, voxel_z=voxel)

    # The voxel lies in no mask, and the label that is there belongs to nobody.
    assert failed(store_of(tmp_path, built, far)) == {"L5", "L8"}

    def short(made: LabeledMap, _: PlannedEntry) -> LabeledMap:
        columns = {n: v for n, v in made.residues.items() if n != "is_modified"}
        return replace(made, residues=columns)

    report = validate_store(store_of(tmp_path / "short", built, short))
    assert numbers_with(report, "fail") == {"S1"}
    assert "lacks ['is_modified']" in message(report, "S1")


def test_an_error_that_nobody_foresaw_stops_no_other_entry(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(subject: object) -> None:
        raise ZeroDivisionError("planted")

    url = store_of(tmp_path, built)
    monkeypatch.setattr("c2s_data.validation.run.handedness", broken)
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"S1"}
    assert "planted (unforeseen, at test_validation_faults.py:" in message(report, "S1")
    assert statuses(report)["P6"] == "pass"  # What was found before it counts.


def test_an_object_that_cannot_be_read_is_told_and_stops_nothing(
    built: Built, tmp_path: Path
) -> None:
    url = store_of(tmp_path, built)
    open_objects(url).delete(f"maps/{ENTRY_ID}/s0/secondary/c/0/0/0")
    report = validate_store(url)
    assert numbers_with(report, "fail") == {"S1"}
    assert "secondary/c/0/0/0" in message(report, "S1")
    assert set(statuses(report)) == set(CHECKS)
    assert statuses(report)["P1"] == "pass"
    assert numbers_with(report, "skip") == set(CHECKS) - {"S1", "P1"}
