"""Rows G, H, V, M, P and N: what a stranger may send, refused with a reason at bounded cost."""

from __future__ import annotations

import ast
import gzip
import ipaddress
import itertools
import random
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from header_mutants import file_of, mutant
from hostile_names import HOSTILE_NAMES, everything_below
from made_maps import made_map, made_plan
from model_mutants import model_mutant
from mrc_files import header_bytes, map_bytes
from mutant_checks import check_accepted, check_file, header_outcome, model_outcome
from test_array_metadata import CHANGES, SPEC, changed
from test_bans import faults as banned
from test_bounded_documents import XML_BOMBS, YAML_BOMBS
from test_download import ELSEWHERE, HOSTILE, PRIVATE, fetch, origin  # noqa: F401 - fixtures
from test_layering import MODULES

from c2s_data.config import make_config
from c2s_data.errors import C2SError, CatalogError, CorruptChunkError, MapError, StoreError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.bounded_documents import DocumentError, parse_xml, parse_yaml
from c2s_data.sources.catalog import check_entry_id
from c2s_data.sources.density_map import MAX_DENSITY, read_density_map, read_map_header
from c2s_data.sources.download import DownloadError, check_url, is_public
from c2s_data.store.begin import begin_store
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.shard import ShardSpec, chunk_bounds, decode_chunk, encode_shard, shard_index
from c2s_data.store.writer import write_entry
from c2s_data.transforms.label import label_voxels

SEED = 7
MIB = 2**20
AXIS_ORDERS = list(itertools.permutations((1, 2, 3)))
MEASURE = """
import sys
from c2s_data.errors import C2SError
from {module} import {read} as read

def peak_kib():
    with open("/proc/self/status") as lines:
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

read(sys.argv[1])
before = peak_kib()
try:
    read(sys.argv[2])
    print("read", (peak_kib() - before) // 1024)
except C2SError as error:
    print(error.reason, (peak_kib() - before) // 1024)
"""


def small_map(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(210).reshape(5, 6, 7).astype("f4") - 100


def refused(path: Path, **options) -> str | None:
    try:
        read_density_map(path, **options)
    except MapError as error:
        return str(error.reason)
    return None


def test_damaged_gzip(tmp_path, budget, row):
    """Cut or changed anywhere: refused, or (a time stamp, a name) the very same map."""
    values, rng = small_map(), random.Random(SEED)
    packed = gzip.compress(map_bytes(values), 6, mtime=0)
    path = tmp_path / "x.map.gz"
    n, seen = budget(1500, 15_000), Counter()
    for _ in range(n):
        content = bytearray(packed)
        if rng.random() < 0.5:
            del content[rng.randrange(len(content)) :]
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        seen[refused(path)] += 1
        if refused(path) is None:
            np.testing.assert_array_equal(read_density_map(path).values_zyx, values)
    for at in range(8):  # each byte of checksum and length
        content = bytearray(packed)
        content[-1 - at] ^= 1
        path.write_bytes(content)
        assert refused(path) in ("bad-gzip", "truncated", "too-long")
    assert seen["truncated"] > n // 4
    row("G1", "gzip cut off or one bit changed", n + 8, 0, f"{seen[None]} harmless, in its name")


def peak_mib(good: Path, bad: Path, *, model: bool = False) -> tuple[str, int]:
    """Read a sound file, then a hostile one, in another process; by how much its peak grew."""
    names = ("atomic_model", "read_atomic_model") if model else ("density_map", "read_density_map")
    script = MEASURE.format(module=f"c2s_data.sources.{names[0]}", read=names[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(good), str(bad)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    outcome, peak = done.stdout.split()
    return outcome, int(peak)


def zeros(head: bytes, mib: int, path: Path) -> Path:
    with gzip.open(path, "wb", 1) as file:
        file.write(head)
        for _ in range(mib):
            file.write(bytes(MIB))
    return path


def test_bombs_and_headers_that_lie_about_size(tmp_path, budget, row):
    good = tmp_path / "good.map"
    good.write_bytes(map_bytes(small_map()))
    mib = budget(512, 4096)
    large = {"n": (512, 512, 256), "m": (512, 512, 256), "cell": (500.0, 500.0, 250.0)}
    bomb = zeros(map_bytes(small_map()), mib, tmp_path / "bomb.map.gz")
    short = zeros(header_bytes(**large), 64, tmp_path / "short.map.gz")
    exact = zeros(header_bytes(**large), 256, tmp_path / "exact.map.gz")
    plain = tmp_path / "plain.map"
    plain.write_bytes(header_bytes(**large) + bytes(MIB))
    cases = [(bomb, "too-long", 0), (short, "truncated", 0), (plain, "truncated", 0),
             (exact, "constant", 256)]  # fmt: skip
    worst = 0
    for path, reason, data_mib in cases:
        outcome, peak = peak_mib(good, path)
        assert outcome == reason
        assert peak <= data_mib + 64
        worst = max(worst, peak - data_mib)
    row("G2", f"bomb of {mib} MiB, lying headers", len(cases), 0, f"{worst} MiB beside the data")


def test_header_mutants(tmp_path, budget, row):
    n, overlooked, refusals = budget(20_000, 400_000), Counter(), 0
    for number in range(n):
        made = mutant(SEED, number)
        got = header_outcome(made)
        assert made.reasons is None or got in made.reasons
        if isinstance(got, str):
            refusals += 1
        else:
            check_accepted(made.raw, got)
            overlooked.update(got.leniencies)
    files = budget(1000, 20_000)
    for number in range(files):
        content = file_of(mutant(SEED, number), SEED, number)
        (tmp_path / "x.map").write_bytes(content)
        check_file(tmp_path / "x.map", content)
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(overlooked.items()))
    row("H1", "damaged map header", n + files, 0, f"{refusals:,} refused; overlooked: {named}")


def test_axis_orders_and_byte_orders(tmp_path, row):
    values = small_map()
    found = []
    for axes, byte_order in itertools.product(AXIS_ORDERS, "<>"):
        (tmp_path / "x.map").write_bytes(map_bytes(values, axes=axes, byte_order=byte_order))
        found.append(read_density_map(tmp_path / "x.map").values_zyx.tobytes())
    assert found == [values.tobytes()] * 12
    row("H2", "axis order x byte order", 12, 0)


def test_voxels_that_are_no_numbers(tmp_path, budget, row):
    rng, n = np.random.default_rng(SEED), budget(300, 3000)
    for _ in range(n):
        values = small_map(int(rng.integers(99)))
        bad = rng.random(values.shape) < 0.02
        bad[0, 0, 0] = True
        mode = int(rng.choice([2, 12]))
        kinds = [np.nan, np.inf, -np.inf, *([2 * MAX_DENSITY] if mode == 2 else [])]
        expected = np.where(bad, np.float32(0), values)
        values[bad] = rng.choice(kinds, bad.sum())
        content = map_bytes(values, mode=mode, axes=AXIS_ORDERS[rng.integers(6)])
        (tmp_path / "x.map").write_bytes(content)
        assert refused(tmp_path / "x.map") == "not-finite"
        density = read_density_map(tmp_path / "x.map", non_finite="zero")
        np.testing.assert_array_equal(density.values_zyx, expected)
        assert density.n_zeroed == bad.sum()
    row("V1", "nan, infinite or absurd voxels", n, 0, "refused, or zeroed and counted")


def test_maps_without_contrast(tmp_path, budget, row):
    rng, n = np.random.default_rng(SEED), budget(200, 2000)
    for number in range(n):
        value = rng.normal() * 10.0 ** rng.integers(-30, 30)
        flat = np.full((4, 5, 6), 0 if number == 0 else value, "f4")
        negative = -np.abs(small_map()) if number % 2 else small_map() - 200
        for values, reason in ((flat, "constant"), (negative, "not-positive")):
            (tmp_path / "x.map").write_bytes(map_bytes(values))
            assert refused(tmp_path / "x.map") == reason
    row("V2", "all zero, constant or without a positive voxel", 2 * n, 0)


def test_too_many_voxels(tmp_path, budget, row):
    seconds = []
    for number in range(budget(50, 500)):
        path = tmp_path / f"x{number}.map"
        content = header_bytes(n=(1025 + number, 1024, 1024))
        path.write_bytes(content if number % 2 else gzip.compress(content))
        started = time.perf_counter()
        with pytest.raises(MapError, match="above the limit"):
            read_map_header(path)
        seconds.append(time.perf_counter() - started)
    median_ms = 1000 * statistics.median(seconds)
    assert median_ms <= 10
    row("V4", "more than 1024^3 voxels", len(seconds), 0, f"{median_ms:.2f} ms from the header")


def test_damaged_models_and_atoms_outside(tmp_path, budget, row):
    n, seen, path = budget(2500, 50_000), Counter(), tmp_path / "x.cif"
    rng, outside, shape = np.random.default_rng(SEED), 0, (9, 10, 11)
    for number in range(n):
        path.write_bytes(model_mutant(SEED, number).content)
        seen[model_outcome(path)] += 1
        if number % 10:
            continue
        with suppress(C2SError):
            atoms = read_atomic_model(path).residues.backbone_atoms()
            wild = rng.choice([1.0, 1e3, 1e12, 1e300], atoms.xyz_A.shape)
            for rule in ("formula1", "formula1-float32", "nearest"):
                labels = label_voxels(
                    (atoms.xyz_A - 3) * wild, atoms.atom_class, *np.ones((2, len(wild)), int),
                    shape_zyx=shape, origin_xyz_A=(0.5, -2.0, 1.0),
                    voxel_size_zyx_A=(1.0, 1.0, 1.0), rule=rule, collision="ca-first",
                )  # fmt: skip
                at = labels.atom.index_zyx
                assert ((at >= 0) & (at < shape)).all()
                assert len(at) + labels.n_collisions + labels.n_outside == len(wild)
                outside += labels.n_outside
    assert seen[None] > n // 10
    note = f"{n - seen[None]:,} refused; {outside:,} atoms outside the box counted"
    row("M1", "damaged mmCIF or PDB", n, 0, note)


def test_document_bombs(row):
    for parse, bombs in ((parse_xml, XML_BOMBS), (parse_yaml, YAML_BOMBS)):
        for bomb in bombs.values():
            with pytest.raises(DocumentError):
                parse(bomb)
    row("M2", "XML or YAML bomb", len(XML_BOMBS) + len(YAML_BOMBS), 0)


def test_no_pickle_is_loaded(row):
    assert [fault for module in MODULES for fault in banned(module.name, module.tree)] == []
    probe = "import pickle, torch\ntorch.load(f)\nnp.load(f, allow_pickle=True)"
    assert len(list(banned("c2s_model.x", ast.parse(probe)))) == 3
    row("P1", "module searched for unpickling, eval, shells", len(MODULES), 0)


def test_foreign_arrays_and_forged_chunks(budget, row):
    for path, value in CHANGES:
        with pytest.raises(StoreError):
            ShardSpec.from_metadata(changed(path, value))
    n, rng = budget(20_000, 500_000), random.Random(SEED)
    blob = encode_shard(np.random.default_rng(0).random(SPEC.shard_shape).astype("f2"), SPEC)
    _, start, stop = next(chunk_bounds(shard_index(blob, SPEC), range(1)))
    body, out, found = blob[start : stop - 4], np.empty(SPEC.chunk_shape, "f2"), 0
    for _ in range(n):  # under a right checksum, as a forger would
        forged = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            forged[rng.randrange(rng.choice((16, len(forged))))] = rng.randrange(256)
        sealed = bytes(forged) + struct.pack("<I", google_crc32c.value(bytes(forged)))
        try:
            decode_chunk(sealed, SPEC, out)
        except CorruptChunkError:
            found += 1
    assert found > n // 4
    note = f"{found:,} forged chunks refused, the others were of the declared size"
    row("P2", "foreign array metadata, forged chunk", len(CHANGES) + n, 0, note)


def test_hostile_names(tmp_path, row):
    config = make_config("recommended")
    store = tmp_path / "a" / "b" / "made.zarr"
    objects, plan = open_objects(store), made_plan(config, shapes=((9, 10, 11),))
    begin_store(objects, plan)
    (planned,) = plan.entries
    made, before = made_map(planned, config), everything_below(tmp_path)
    for name in HOSTILE_NAMES:
        with pytest.raises(CatalogError):
            check_entry_id(name)
        hostile = replace(planned, entry=replace(planned.entry, entry_id=name))
        with suppress(C2SError, OSError, ValueError):
            write_entry(objects, Layout.of(config), hostile, made)
    written = everything_below(tmp_path) - before
    outside = [path for path in written if not path.startswith("a/b/made.zarr/")]
    assert outside == []
    row("N1", "hostile name in a catalog or a plan", len(HOSTILE_NAMES), len(outside))


def test_hostile_addresses(fetch, row):  # noqa: F811 - the fixture
    for url in HOSTILE:
        with pytest.raises(DownloadError):
            check_url(url)
    for number in ELSEWHERE:
        with pytest.raises(DownloadError, match="not opened"):
            fetch(f"/to/{number}")
    assert not any(is_public(ipaddress.ip_address(text)) for text in PRIVATE)
    n = len(HOSTILE) + len(ELSEWHERE) + len(PRIVATE)
    row("N2", "hostile address, redirect or private network", n, 0)
