"""The eleven MRC2014 checks: each finds its own fault, and mrcfile agrees."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from validation_stores import (
    ENTRY_ID,
    build,
    config_of,
    message,
    numbers,
    numbers_with,
    store_of,
    write_pair,
)

from c2s_data.errors import ConfigError, StoreError
from c2s_data.records.export import export_store
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.validation.checks import CHECKS
from c2s_data.validation.mrc_files import FILE_NAMES
from c2s_data.validation.mrc_format import MRC_CHECKS, read_mrc_file
from c2s_data.validation.run import validate_store

SHAPE_ZYX = (5, 7, 9)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).random(SHAPE_ZYX, np.float32)
    write_mrc(
        tmp_path / "made.mrc", values, (1, 1, 1), (3, 4, 5), labels=["one", "two"],
        dtype=np.dtype(np.float32),
    )  # fmt: skip
    return tmp_path / "made.mrc"


def patch(path: Path, offset: int, form: str, *values: object) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)


def with_extended_header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:1024] + bytes(80) + data[1024:])
    patch(path, 92, "<i", 80)


def stack_of(space_group: int, mz: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        patch(path, 36, "<i", mz)
        patch(path, 88, "<i", space_group)

    return change


# Fault -> the check that finds it, how it is planted, whether mrcfile objects as well.
FAULTS: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "map word": ("M1", lambda p: patch(p, 208, "4s", b"PAM "), True),
    "stamp": ("M2", lambda p: patch(p, 212, "4B", 0, 0, 0, 0), True),
    "mode 3": ("M3", lambda p: patch(p, 12, "<i", 3), True),
    "mode 99": ("M3", lambda p: patch(p, 12, "<i", 99), True),
    "negative mx": ("M4", lambda p: patch(p, 28, "<i", -9), True),
    "zero mx": ("M4", lambda p: patch(p, 28, "<i", 0), False),
    "negative cell": ("M4", lambda p: patch(p, 44, "<f", -7.0), True),
    "zero cell": ("M4", lambda p: patch(p, 40, "<f", 0.0), False),
    "nan cell": ("M4", lambda p: patch(p, 48, "<f", float("nan")), False),
    "axes": ("M5", lambda p: patch(p, 64, "<3i", 1, 1, 3), True),
    "stack": ("M6", stack_of(401, 2), True),
    "last stack": ("M6", stack_of(630, 3), True),
    "too many labels": ("M7", lambda p: patch(p, 220, "<i", 3), True),
    "gap in labels": ("M7", lambda p: patch(p, 224 + 80, "80s80s", b"", b"two"), True),
    "version": ("M8", lambda p: patch(p, 108, "<i", 2014), True),
    "extended header": ("M9", with_extended_header, True),
    "dmax": ("M10", lambda p: patch(p, 80, "<f", 0.5), True),
    "dmin": ("M10", lambda p: patch(p, 76, "<f", -0.5), True),
    "dmean": ("M10", lambda p: patch(p, 84, "<f", 0.9), True),
    "rms": ("M10", lambda p: patch(p, 216, "<f", 0.9), True),
    "too long": ("M11", lambda p: p.write_bytes(p.read_bytes() + b"\0"), True),
    "cut off": ("M11", lambda p: p.write_bytes(p.read_bytes()[:-4]), True),
}
SOUND: dict[str, Callable[[Path], None]] = {
    "as written": lambda path: None,
    "version 20141": lambda path: patch(path, 108, "<i", 20141),
    "stack": stack_of(401, 5),
    "no stack": stack_of(400, 2),
    "beyond stacks": stack_of(631, 2),
    "axes in another order": lambda path: patch(path, 64, "<3i", 3, 1, 2),
    "no statistics": lambda path: patch(path, 76, "<3f", 0.0, -1.0, -2.0),
    "no rms": lambda path: patch(path, 216, "<f", -1.0),
    "stamp 44 41": lambda path: patch(path, 212, "4B", 0x44, 0x41, 0, 0),
}


def ours(path: Path) -> set[str]:
    file = read_mrc_file(path)
    return {number for number, check in MRC_CHECKS.items() if check(file) is not None}


def mrcfile_accepts(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(mrcfile.validate(str(path), print_file=io.StringIO()))


@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_one_of_the_eleven_objects(fault: str, volume: Path) -> None:
    number, plant, mrcfile_objects = FAULTS[fault]
    plant(volume)
    assert ours(volume) == {number}
    # The paper asks for positive dimensions; mrcfile only for such that are not negative.
    assert mrcfile_accepts(volume) == (not mrcfile_objects)


@pytest.mark.parametrize("case", SOUND)
def test_what_the_format_allows_passes(case: str, volume: Path) -> None:
    SOUND[case](volume)
    assert ours(volume) == set()
    assert mrcfile_accepts(volume)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
@pytest.mark.parametrize("offset", [0, 90])
def test_statistics_of_every_mode(dtype: type, offset: float, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 30, SHAPE_ZYX) + offset
    path = tmp_path / "made.mrc"
    write_mrc(
        path, values.astype(np.float32), (1, 1, 1), (0, 0, 0), labels=[], dtype=np.dtype(dtype)
    )
    file = read_mrc_file(path)
    assert ours(path) == set()
    assert file.dtype == np.dtype(dtype)
    assert file.statistics == pytest.approx(
        (values.min(), values.max(), values.mean(), values.std()), rel=1e-6
    )
    patch(path, 216, "<f", 1.02 * values.std())
    assert ours(path) == {"M10"}


def test_a_big_endian_file(volume: Path) -> None:
    data = volume.read_bytes()
    with mrcfile.open(volume) as mrc:
        values = mrc.data.astype(">f4").tobytes()
        header = mrc.header.copy().astype(mrc.header.dtype.newbyteorder(">"))
    swapped = bytearray(header.tobytes())
    swapped[212:216] = b"\x11\x11\x00\x00"
    volume.write_bytes(bytes(swapped) + values)
    assert len(volume.read_bytes()) == len(data)
    assert mrcfile_accepts(volume)
    assert ours(volume) == set()
    assert read_mrc_file(volume).n == SHAPE_ZYX[::-1]


def test_less_than_a_header(tmp_path: Path) -> None:
    (tmp_path / "short.mrc").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match="1000 bytes are no MRC header"):
        read_mrc_file(tmp_path / "short.mrc")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return store_of(folder, build(write_pair(folder / "pair"), config_of("recommended")))


@pytest.fixture
def exported(store: str, tmp_path: Path) -> Path:
    done = export_store(store, tmp_path / "exported")
    assert done.n_in_folder == 1
    return tmp_path / "exported"


def test_an_exported_folder_passes_in_place(store: str, exported: Path) -> None:
    report = validate_store(store, exported=exported)
    assert numbers_with(report, "fail") == set()
    assert numbers(report, "M13") == {"n_files": 5, "n_wrong": 0}
    assert "as exported" in message(report, "M12")


def test_faults_of_exported_files(store: str, exported: Path) -> None:
    folder = exported / "EMD_1" / "1234"
    assert {name for name in FILE_NAMES.values() if (folder / name).is_file()} == set(
        FILE_NAMES.values()
    )

    def failing() -> set[str]:
        return numbers_with(validate_store(store, exported=exported), "fail")

    amino = folder / FILE_NAMES["amino"]
    kept = amino.read_bytes()
    patch(amino, 220, "<i", 9)
    assert failing() == {"M7", "M12"}

    amino.write_bytes(kept)
    patch(amino, 196, "<f", 1.5)
    report = validate_store(store, exported=exported)
    assert numbers_with(report, "fail") == {"M13"}
    assert "origin (1.5," in message(report, "M13")

    patch(amino, 196, "<f", struct.unpack_from("<f", kept, 196)[0])
    patch(amino, 40, "<f", 2 * struct.unpack_from("<f", kept, 40)[0])
    assert failing() == {"M13"}

    # Two values change places: the statistics stay, the labels are wrong.
    width = struct.unpack_from("<i", kept, 12)[0] + 1
    data = bytearray(kept)
    values = np.frombuffer(data, f"<i{width}", offset=1024)
    first = int(np.flatnonzero(values)[0])
    values[[first, first - 1]] = values[[first - 1, first]]
    amino.write_bytes(data)
    report = validate_store(store, exported=exported)
    assert numbers_with(report, "fail") == {"M13"}
    assert "2 voxels differ" in message(report, "M13")

    amino.write_bytes(kept[:500])
    assert failing() == {"M11"}
    amino.unlink()
    report = validate_store(store, exported=exported)
    assert numbers_with(report, "fail") == {"M13"}
    assert f"{FILE_NAMES['amino']}: does not exist" in message(report, "M13")
    assert ENTRY_ID in message(report, "M13")


def test_a_folder_that_is_none(store: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is no folder"):
        validate_store(store, exported=tmp_path / "nowhere")
    with pytest.raises(StoreError):
        validate_store(str(tmp_path / "no-store"))


def test_names_are_the_papers() -> None:
    names = [CHECKS[number].name for number in MRC_CHECKS]
    assert names == [
        "MRC format ID string", "Machine stamp", "MRC mode", "Map and cell dimensions",
        "Axis mapping", "Volume stack dimensions", "Header labels", "MRC format version",
        "Extended header type", "Data statistics", "File size",
    ]  # fmt: skip
    for number, check in MRC_CHECKS.items():
        assert check.__doc__.startswith(f"{number}, {CHECKS[number].name}: ")
