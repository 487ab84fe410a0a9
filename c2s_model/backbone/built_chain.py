"""One chain of a backbone as it goes into a structure file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import gemmi
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ELEMENT: Final = {"N": "N", "CA": "C", "C": "C", "O": "O"}
_UNKNOWN: Final = "UNK"


@dataclass(frozen=True, eq=False)
class BuiltChain:
    """One chain as it goes into the file.

    Parameters
    ----------
    name : str
        Chain identifier, letters and digits.
    sequence : str
        The whole sequence, one capital a residue.
    residue_number : (r,) int32
        Positions in the sequence from 1, strictly ascending.
    residue_name : (r,) str
        Three letters.
    xyz_A : (r, 3) float64
        C-alphas, x, y, z.
    n_xyz_A, c_xyz_A, o_xyz_A : (r, 3) float64 or None
        NaN where there is no such atom.
    confidence : (r,) float64
        0 to 1.
    fragment : (r,) int32
        Unbroken pieces have one number.
    interpolated : (r,) bool
        Placed between others, without a candidate.

    Raises
    ------
    ValueError
        Lengths differ, numbers do not ascend or lie outside the sequence, a C-alpha is not
        finite, or a confidence is not a probability.
    """

    name: str
    sequence: str
    residue_number: NDArray[np.int32]
    residue_name: NDArray[np.str_]
    xyz_A: NDArray[np.float64]
    n_xyz_A: NDArray[np.float64] | None
    c_xyz_A: NDArray[np.float64] | None
    o_xyz_A: NDArray[np.float64] | None
    confidence: NDArray[np.float64]
    fragment: NDArray[np.int32]
    interpolated: NDArray[np.bool_]

    def __post_init__(self) -> None:
        r = len(self.residue_number)
        columns = (self.residue_name, self.confidence, self.fragment, self.interpolated)
        points = [one for one in (self.xyz_A, *self.others) if one is not None]
        if any(len(one) != r for one in columns) or any(one.shape != (r, 3) for one in points):
            raise ValueError(f"chain {self.name}: one row per residue of {r}")
        number = self.residue_number
        if r and (number[0] < 1 or number[-1] > len(self.sequence) or (np.diff(number) < 1).any()):
            raise ValueError(f"chain {self.name}: numbers ascend from 1 to {len(self.sequence)}")
        if not np.isfinite(self.xyz_A).all():
            raise ValueError(f"chain {self.name}: a C-alpha position is not finite")
        if r and not (self.confidence.min() >= 0 and self.confidence.max() <= 1):
            raise ValueError(f"chain {self.name}: a confidence is from 0 to 1")

    def __len__(self) -> int:
        """Return the number of residues placed."""
        return len(self.residue_number)

    @property
    def others(self) -> tuple[NDArray[np.float64] | None, ...]:
        """Positions of N, C and O."""
        return self.n_xyz_A, self.c_xyz_A, self.o_xyz_A

    @property
    def coverage(self) -> float:
        """Share of the sequence that is placed."""
        return len(self) / len(self.sequence) if self.sequence else 0.0

    def atoms(self, row: int) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield the atoms of a residue, N, CA, C, O as far as they are there."""
        places = zip(ELEMENT, (self.n_xyz_A, self.xyz_A, *self.others[1:]), strict=True)
        for name, xyz_A in places:
            if xyz_A is not None and np.isfinite(xyz_A[row]).all():
                yield name, xyz_A[row]


def residue_names(sequence: str) -> list[str]:
    """Return the three-letter names of a sequence of capitals, UNK for what has none."""
    return [gemmi.expand_one_letter(one, gemmi.ResidueKind.AA) or _UNKNOWN for one in sequence]
