"""The five MRC files of an entry: as export writes them, or as they lie in an exported folder."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import mrcfile
import numpy as np
from numpy.typing import NDArray

from c2s_data.records.layout import NORMALIZED_MAP, mask_file, names_of_entries
from c2s_data.schema import MASKS
from c2s_data.sources.density_map_writer import write_mrc
from c2s_data.validation.checks import Finding
from c2s_data.validation.mrc_format import MRC_CHECKS, MrcFile, read_mrc_file
from c2s_data.validation.subject import Subject

FILE_NAMES: Final = {"density": NORMALIZED_MAP} | {name: mask_file(name) for name in MASKS}
"""Name of each array's file in the published layout (paper, "Validation of MRC files")."""
_VOXEL_SIZE_ZYX_A: Final = (1.0, 1.0, 1.0)
_LARGEST_INT8: Final = 127


class MrcFiles:
    """Checks the files of one entry, one array at a time; a context that removes what it wrote.

    Parameters
    ----------
    subject
        The entry.
    exported
        Top of an exported folder; None to write each file as export would, beside the system's
        temporary files, where the largest needs four bytes a voxel.
    """

    def __init__(self, subject: Subject, exported: Path | None) -> None:
        self._subject = subject
        self._folder = None if exported is None else _entry_folder(subject, exported)
        self._faults: dict[str, list[str]] = defaultdict(list)
        self._checked: dict[str, int] = defaultdict(int)
        self._unwritten: list[str] = []
        self._temporary = tempfile.TemporaryDirectory(prefix="c2s-validate-")

    def __enter__(self) -> Self:
        """Enter the context."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the files that were written."""
        self._temporary.cleanup()

    def check(self, array: str, values_zyx: NDArray[Any]) -> None:
        """Check the file of one array against the format and against these values."""
        name = FILE_NAMES[array]
        if self._folder is not None:
            path = self._folder / name
            if path.is_symlink() or not path.is_file():
                self._fault("M13", name, "does not exist; export the entry again")
                return
        else:
            path = Path(self._temporary.name) / name
            try:
                _write(path, values_zyx, self._subject.entry.origin_xyz_A)
            except ValueError as error:
                self._unwritten.append(f"{name} ({error})")
                return
        self._check_file(path, values_zyx)
        if self._folder is None:
            path.unlink()

    def _check_file(self, path: Path, values_zyx: NDArray[Any]) -> None:
        try:
            file = read_mrc_file(path)
        except ValueError as error:
            self._fault("M11", path.name, str(error))
            return
        for number, check in MRC_CHECKS.items():
            self._note(number, path.name, check(file))
        self._note("M12", path.name, _oracle(path))
        self._note("M13", path.name, self._content(file, values_zyx))

    def _note(self, number: str, name: str, fault: str | None) -> None:
        self._checked[number] += 1
        if fault:
            self._fault(number, name, fault)

    def _fault(self, number: str, name: str, fault: str) -> None:
        self._faults[number].append(f"{name}: {fault}")

    def _content(self, file: MrcFile, values_zyx: NDArray[Any]) -> str | None:
        """Compare grid, place and values with the store's; M11 tells of files cut off."""
        stored = file.values()
        if stored is None or min(file.m) < 1:
            return None
        voxel_A = tuple(length / m for length, m in zip(file.cell_A, file.m, strict=True))
        if voxel_A != _VOXEL_SIZE_ZYX_A:
            return f"voxels of {voxel_A} A"
        origin = tuple(float(np.float32(value)) for value in self._subject.entry.origin_xyz_A)
        if file.origin_xyz_A != origin:
            return f"origin {file.origin_xyz_A} A (x, y, z), in the store {origin}"
        if file.axes != (1, 2, 3):
            return None  # M5 tells of axes that are none; others are not what export writes.
        if stored.shape != values_zyx.shape:
            return f"{stored.shape} voxels (z, y, x), in the store {values_zyx.shape}"
        n_different = sum(
            int(np.count_nonzero(a != b)) for a, b in zip(stored, values_zyx, strict=True)
        )
        return f"{n_different:,} voxels differ from the store's" if n_different else None

    def findings(self) -> Iterator[Finding]:
        """Yield M1 to M13 of the files that were checked."""
        subject = self._subject
        place = "as exported" if self._folder is not None else "as export writes them"
        unwritten = f"; not written: {', '.join(self._unwritten)}" if self._unwritten else ""
        for number in (*MRC_CHECKS, "M12", "M13"):
            n, faults = self._checked[number], self._faults[number]
            numbers = {"n_files": n, "n_wrong": len(faults)}
            if faults:
                message = f"{subject.entry_id}: {'; '.join(faults)}; export the entry again"
                yield subject.found(number, "fail", message, len(faults), **numbers)
            elif not n:
                yield subject.found(number, "skip", f"{subject.entry_id}: no file{unwritten}")
            else:
                message = f"{subject.entry_id}: {n} files {place}{unwritten}"
                yield subject.found(number, "pass", message, **numbers)


def _entry_folder(subject: Subject, exported: Path) -> Path:
    names = names_of_entries(subject.store.rows)[subject.entry_id]
    return exported / names.group / names.folder


def _write(path: Path, values_zyx: NDArray[Any], origin_xyz_A: tuple[float, float, float]) -> None:
    """Write an array as export does: density as float32, masks in the smallest type that fits."""
    dtype: np.dtype[Any] = np.dtype(np.float32)
    if values_zyx.dtype == np.uint8:
        dtype = np.dtype(np.int8 if values_zyx.max(initial=0) <= _LARGEST_INT8 else np.int16)
    write_mrc(path, values_zyx, _VOXEL_SIZE_ZYX_A, origin_xyz_A, labels=["validation"], dtype=dtype)


def _oracle(path: Path) -> str | None:
    """M12: what mrcfile says against a file, None where it accepts it."""
    said = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A serious fault is a RuntimeWarning and False as well.
        valid = mrcfile.validate(str(path), print_file=said)
    return None if valid else " ".join(said.getvalue().split()) or "refused without a word"
