"""Header words become (z, y, x) and A, or a refusal with its reason; nothing else."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mrc_files import OFFSETS, STAMPS, header_bytes

from c2s_data.errors import MapError, MapReason
from c2s_data.sources.density_map_header import MAX_VOXELS, MapHeader, parse_header

AXIS_ORDERS = list(itertools.permutations((1, 2, 3)))


def refusal(raw: bytes, name: str = "x.map", **options) -> MapError:
    with pytest.raises(MapError) as caught:
        parse_header(raw, name, **options)
    return caught.value


def test_words_become_zyx():
    header = parse_header(header_bytes(), "x.map")
    assert header == MapHeader(
        shape_zyx=(5, 6, 8),
        voxel_size_zyx_A=(2.0, 1.25, 1.5),
        origin_xyz_A=(0.0, 0.0, 0.0),
        origin_from="nstart",
        mode=2,
        source_dtype=np.dtype(np.float32),
        byte_order="<",
        axis_order=(1, 2, 3),
        data_offset=1024,
        leniencies=(),
    )
    assert header.float32_bytes == 960
    assert header.declared_bytes == 1024 + 960


@pytest.mark.parametrize("axes", AXIS_ORDERS)
@pytest.mark.parametrize("byte_order", "<>")
def test_counts_and_starts_follow_the_axes_but_cell_and_m_do_not(axes, byte_order):
    length, start = {1: 8, 2: 6, 3: 5}, {1: -4, 2: 10, 3: 3}
    raw = header_bytes(
        byte_order,
        axes=axes,
        n=tuple(length[code] for code in axes),
        nstart=tuple(start[code] for code in axes),
        m=(16, 12, 20),
        cell=(24.0, 15.0, 40.0),
    )
    header = parse_header(raw, "x.map")
    assert header.shape_zyx == (5, 6, 8)
    assert header.stored_shape == tuple(length[code] for code in reversed(axes))
    assert header.voxel_size_zyx_A == (2.0, 1.25, 1.5)
    assert header.origin_xyz_A == (-6.0, 12.5, 6.0)
    assert header.byte_order == byte_order
    assert header.leniencies == ()


@pytest.mark.parametrize(
    ("rule", "name", "expected", "source"),
    [
        ("auto", "x.map", (7.0, -3.5, 9.25), "origin"),
        ("origin", "x.map", (7.0, -3.5, 9.25), "origin"),
        ("nstart", "x.map", (3.0, 5.0, -2.0), "nstart"),
        ("sum", "x.map", (10.0, 1.5, 7.25), "sum"),
        ("zero", "x.map", (0.0, 0.0, 0.0), "zero"),
        ("extension", "x.map", (3.0, 5.0, -2.0), "nstart"),
        ("extension", "X.CCP4.gz", (3.0, 5.0, -2.0), "nstart"),
        ("extension", "x.mrc", (7.0, -3.5, 9.25), "origin"),
        ("extension", "x.mrc.gz", (7.0, -3.5, 9.25), "origin"),
    ],
)
def test_origin_rules(rule, name, expected, source):
    raw = header_bytes(origin=(7.0, -3.5, 9.25), nstart=(2, 4, -1))
    header = parse_header(raw, name, origin=rule)
    assert header.origin_xyz_A == expected
    assert header.origin_from == source


def test_what_each_convention_says():
    raw = header_bytes(origin=(7.0, -3.5, 9.25), nstart=(2, 4, -1), axes=(3, 1, 2))
    assert parse_header(raw, "x.map").conventions_xyz_A == {
        "origin": (7.0, -3.5, 9.25),
        "nstart": (6.0, -1.25, 4.0),
        "sum": (13.0, -4.75, 13.25),
        "zero": (0.0, 0.0, 0.0),
        "nstart as x, y, z": (3.0, 5.0, -2.0),
    }
    wild = header_bytes(origin=(float("nan"), 0.0, 0.0), nstart=(2**30, 0, 0), axes=(3, 1, 2))
    assert parse_header(wild, "x.map", origin="zero").conventions_xyz_A == {"zero": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("zero", [(0.0, 0.0, 0.0), (-0.0, -0.0, -0.0), (1e-44, 0.0, -0.0)])
@pytest.mark.parametrize(("rule", "name"), [("auto", "x.map"), ("extension", "x.mrc")])
def test_zero_origin_words_give_way_to_nstart(zero, rule, name):
    raw = header_bytes(origin=zero, nstart=(2, 4, -1))
    assert parse_header(raw, name, origin=rule).origin_xyz_A == (3.0, 5.0, -2.0)
    assert str(parse_header(raw, name, origin="origin").origin_xyz_A) == "(0.0, 0.0, 0.0)"


def test_one_non_zero_origin_word_is_enough():
    raw = header_bytes(origin=(0.0, -0.5, 0.0), nstart=(2, 4, -1))
    assert parse_header(raw, "x.map").origin_xyz_A == (0.0, -0.5, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e30])
def test_origin_that_is_no_position(bad):
    raw = header_bytes(origin=(bad, 1.0, 2.0), nstart=(2, 4, -1))
    assert refusal(raw).reason == MapReason.BAD_ORIGIN
    assert "nstart" in str(refusal(raw, origin="origin"))
    assert refusal(raw, origin="sum").reason == MapReason.BAD_ORIGIN
    assert parse_header(raw, "x.map", origin="zero").origin_xyz_A == (0.0, 0.0, 0.0)
    assert parse_header(raw, "x.map", origin="nstart").origin_xyz_A == (3.0, 5.0, -2.0)
    assert parse_header(raw, "x.mrc", origin="extension").origin_xyz_A == (3.0, 5.0, -2.0)


def test_nstart_that_is_no_position():
    raw = header_bytes(nstart=(2**30, 0, 0))
    assert refusal(raw).reason == MapReason.BAD_ORIGIN


def test_unknown_origin_rule_is_a_programming_error():
    with pytest.raises(ValueError, match="'difference'"):
        parse_header(header_bytes(), "x.map", origin="difference")


IMOD = 1146047817


@pytest.mark.parametrize(
    ("mode", "imod", "dtype"),
    [
        (0, (0, 0), np.int8),
        (0, (IMOD, 1), np.int8),
        (0, (IMOD, 0), np.uint8),
        (0, (7, 0), np.int8),
        (1, (IMOD, 0), np.int16),
        (2, (0, 0), np.float32),
        (6, (0, 0), np.uint16),
        (12, (0, 0), np.float16),
    ],
)
def test_source_dtype(mode, imod, dtype):
    header = parse_header(header_bytes(mode=mode, imod=imod), "x.map")
    assert header.source_dtype == np.dtype(dtype)
    assert header.source_dtype.isnative
    assert header.declared_bytes == 1024 + 240 * np.dtype(dtype).itemsize


NAN, INF = float("nan"), float("inf")
REFUSED = [
    (MapReason.NOT_MRC, {"map_word": b"PAM "}),
    (MapReason.BAD_MODE, {"mode": 5}),
    (MapReason.BAD_MODE, {"mode": 16}),
    (MapReason.BAD_MODE, {"mode": 101}),
    (MapReason.BAD_MODE, {"mode": -1}),
    (MapReason.BAD_MODE, {"mode": 0, "imod": (IMOD, 17)}),
    (MapReason.COMPLEX_MODE, {"mode": 3}),
    (MapReason.COMPLEX_MODE, {"mode": 4}),
    (MapReason.BAD_AXES, {"axes": (0, 0, 0)}),
    (MapReason.BAD_AXES, {"axes": (1, 1, 3)}),
    (MapReason.BAD_AXES, {"axes": (1, 2, 4)}),
    (MapReason.BAD_AXES, {"axes": (-1, 2, 3)}),
    (MapReason.BAD_DIMENSIONS, {"n": (0, 6, 5)}),
    (MapReason.BAD_DIMENSIONS, {"n": (8, -6, 5)}),
    (MapReason.BAD_DIMENSIONS, {"n": (8, 6, 1)}),
    (MapReason.BAD_DIMENSIONS, {"n": (-(2**31), -(2**31), 5)}),
    (MapReason.TOO_LARGE, {"n": (2**31 - 1, 2**31 - 1, 2**31 - 1)}),
    (MapReason.TOO_LARGE, {"n": (65536, 65536, 2)}),
    (MapReason.BAD_EXTENDED_HEADER, {"nsymbt": -80}),
    (MapReason.BAD_EXTENDED_HEADER, {"nsymbt": 2**31 - 1}),
    (MapReason.VOLUME_STACK, {"ispg": 401, "n": (8, 6, 10)}),
    (MapReason.VOLUME_STACK, {"ispg": 630, "n": (8, 6, 7)}),
    (MapReason.BAD_CELL, {"m": (8, 0, 5)}),
    (MapReason.BAD_CELL, {"m": (8, 6, -5)}),
    (MapReason.BAD_CELL, {"cell": (0.0, 7.5, 10.0)}),
    (MapReason.BAD_CELL, {"cell": (12.0, -7.5, 10.0)}),
    (MapReason.BAD_CELL, {"cell": (12.0, 7.5, NAN)}),
    (MapReason.BAD_CELL, {"cell": (INF, 7.5, 10.0)}),
    (MapReason.BAD_CELL, {"cell": (1e-30, 7.5, 10.0)}),
    (MapReason.BAD_ANGLES, {"angles": (90.0, 94.3, 90.0)}),
    (MapReason.BAD_ANGLES, {"angles": (90.0, 90.0, 0.0)}),
    (MapReason.BAD_ANGLES, {"angles": (NAN, 90.0, 90.0)}),
]


@pytest.mark.parametrize(("reason", "words"), REFUSED)
@pytest.mark.parametrize("byte_order", "<>")
def test_refusals_name_file_and_reason(reason, words, byte_order):
    error = refusal(header_bytes(byte_order, **words), "EMD-1.map")
    assert error.reason == reason
    assert str(error).startswith("EMD-1.map: ")
    assert str(error).endswith(f"[{reason}]")


def test_short_header():
    assert refusal(header_bytes()[:1023]).reason == MapReason.TRUNCATED
    assert refusal(b"").reason == MapReason.TRUNCATED


def test_max_voxels():
    assert parse_header(header_bytes(), "x.map", max_voxels=240).n_voxels == 240
    assert refusal(header_bytes(), max_voxels=239).reason == MapReason.TOO_LARGE
    assert MAX_VOXELS == 1024**3


@pytest.mark.parametrize("axes", AXIS_ORDERS)
def test_stack_of_one_volume_is_a_volume(axes):
    length = {1: 8, 2: 6, 3: 5}
    raw = header_bytes(ispg=401, axes=axes, n=tuple(length[code] for code in axes))
    assert parse_header(raw, "x.map").shape_zyx == (5, 6, 8)


def test_image_space_group_with_several_sections_is_a_volume():
    assert parse_header(header_bytes(ispg=0), "x.mrc").leniencies == ()


@pytest.mark.parametrize(
    ("words", "leniencies"),
    [
        ({"stamp": b"\0\0\0\0"}, ("machine-stamp",)),
        ({"stamp": b"DC\0\0"}, ("machine-stamp",)),
        ({"map_word": b"MAP\0"}, ("map-word",)),
        ({"angles": (0.0, 0.0, 0.0)}, ("cell-angles",)),
        ({"ispg": -5}, ("space-group",)),
        ({"ispg": 300, "map_word": b"MAP\n"}, ("map-word", "space-group")),
    ],
)
@pytest.mark.parametrize("byte_order", "<>")
def test_leniencies_are_named(words, leniencies, byte_order):
    header = parse_header(header_bytes(byte_order, **words), "x.map")
    assert header.leniencies == leniencies
    assert header.voxel_size_zyx_A == (2.0, 1.25, 1.5)
    assert header.byte_order == byte_order


@pytest.mark.parametrize("byte_order", "<>")
def test_lying_stamp_is_overruled_by_the_words(byte_order):
    wrong = STAMPS["<" if byte_order == ">" else ">"]
    header = parse_header(header_bytes(byte_order, stamp=wrong), "x.map")
    assert header.byte_order == byte_order
    assert header.leniencies == ("machine-stamp",)
    assert header.shape_zyx == (5, 6, 8)


side = st.integers(2, 1000)
voxel = st.floats(0.1, 50.0)
position = st.floats(-5000.0, 5000.0, width=32)


@given(
    n=st.tuples(side, side, side),
    m=st.tuples(side, side, side),
    voxel_xyz_A=st.tuples(voxel, voxel, voxel),
    nstart=st.tuples(*[st.integers(-5000, 5000)] * 3),
    origin=st.tuples(position, position, position),
    axes=st.sampled_from(AXIS_ORDERS),
    byte_order=st.sampled_from("<>"),
)
def test_any_sound_header_is_read_back(*, n, m, voxel_xyz_A, nstart, origin, axes, byte_order):
    cell = tuple(count * size for count, size in zip(m, voxel_xyz_A, strict=True))
    raw = header_bytes(
        byte_order, n=n, m=m, cell=cell, nstart=nstart, origin=origin, axes=axes, mode=6
    )
    header = parse_header(raw, "x.map", origin="origin")
    by_code = dict(zip(axes, zip(n, nstart, strict=True), strict=True))
    assert header.shape_zyx == tuple(by_code[code][0] for code in (3, 2, 1))
    assert header.voxel_size_zyx_A == pytest.approx(voxel_xyz_A[::-1], rel=1e-6)
    assert header.origin_xyz_A == pytest.approx(origin, abs=1e-6)
    from_nstart = parse_header(raw, "x.map", origin="nstart").origin_xyz_A
    expected = [by_code[code][1] * voxel_xyz_A[code - 1] for code in (1, 2, 3)]
    assert from_nstart == pytest.approx(expected, rel=1e-6)


def test_mutants_are_read_or_refused():
    """Four thousand damaged headers: nothing but a header in its limits or a `MapError`."""
    rng = random.Random(0)
    edges = [0, 1, 2, 3, 4, 7, 255, 401, 65536, 2**31 - 1, 2**31, 2**32 - 1, 0x7FC00000, 0x7F800000]
    words = [offset for offset, _ in OFFSETS.values()]
    refused = 0
    for _ in range(4000):
        raw = bytearray(header_bytes(rng.choice("<>")))
        for _ in range(rng.randint(1, 3)):
            at = rng.choice(words) + 4 * rng.randint(0, 2)
            value = rng.choice([rng.choice(edges), rng.getrandbits(32)])
            raw[at : at + 4] = value.to_bytes(4, rng.choice(["little", "big"]))
        try:
            header = parse_header(bytes(raw), "x.map")
        except MapError:
            refused += 1
            continue
        assert min(header.shape_zyx) >= 2
        assert header.n_voxels <= MAX_VOXELS
        assert all(0.01 <= size <= 1000.0 for size in header.voxel_size_zyx_A)
        assert all(abs(value) <= 1e6 for value in header.origin_xyz_A)
    assert 1000 < refused < 4000
