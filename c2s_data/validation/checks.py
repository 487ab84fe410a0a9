"""Every check by its number: the section of the paper it belongs to, its name, the paper's claim.

P, L and M stand for the paper's three sections "Validation of Preprocessing Step", "Validation of
Labeling Step" and "Validation of MRC files"; M1 to M11 carry the paper's own numbers and names.
S1 comes before them: what cannot be read cannot be checked.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Status = Literal["skip", "pass", "warn", "fail"]
STATUSES: Final[tuple[Status, ...]] = ("skip", "pass", "warn", "fail")
"""From harmless to grave; ``skip`` says that something needed was not at hand."""


class Check(NamedTuple):
    """One check: its number, the section it is named after, what it says and what the paper says.

    ``claim`` is empty where the paper did not check.
    """

    number: str
    section: str
    name: str
    claim: str = ""


class Finding(NamedTuple):
    """What one check found in one entry.

    ``message`` tells fact, place and remedy; ``numbers`` holds what was measured, and
    ``severity`` orders entries of one status, the worst highest.
    """

    number: str
    entry_id: str
    status: Status
    message: str
    numbers: dict[str, float]
    severity: float = 0.0


STORE: Final = "Store"
PREPROCESSING: Final = "Validation of Preprocessing Step"
LABELING: Final = "Validation of Labeling Step"
MRC_FILES: Final = "Validation of MRC files"

_ALL: Final = (
    Check("S1", STORE, "Every object can be read"),
    Check("P1", PREPROCESSING, "Duplicate maps", "none found"),
    Check("P2", PREPROCESSING, "Resampling: voxel size 1 A", "1 A in all maps"),
    Check("P3", PREPROCESSING, "Resampling: grid of int(n * voxel) points"),
    Check("P4", PREPROCESSING, "Resampling: origin is the source's"),
    Check("P5", PREPROCESSING, "Normalization: every value is finite", "no outliers"),
    Check("P6", PREPROCESSING, "Normalization: values in [0, 1]", "[0, 1] in all maps"),
    Check("P7", PREPROCESSING, "Normalization: 1.0 is attained"),
    Check("P8", PREPROCESSING, "Normalization: saturation at the C-alphas"),
    Check("P9", PREPROCESSING, "Statistics before and after (Figure 13)", "one map shown"),
    Check(
        "L1",
        LABELING,
        "Round trip as the paper counts it (formula 2, int of both sides)",
        "94 % of the maps exact; over 93 % of the voxels in the others",
    ),
    Check("L2", LABELING, "True round trip: coordinate in its label's cell"),
    Check("L3", LABELING, "Bias of the labels per axis", "deviations below 0.5 A"),
    Check("L4", LABELING, "Every residue in the box is labeled with its classes"),
    Check("L5", LABELING, "No label without its atom"),
    Check("L6", LABELING, "Masks hold known classes"),
    Check("L7", LABELING, "Label counts are the catalog's"),
    Check("L8", LABELING, "C-alphas in the box"),
    Check("L9", LABELING, "Collisions: atoms that share a voxel"),
    Check("L10", LABELING, "Subgrids are windows of the map and its masks"),
    Check("L11", LABELING, "Index of the subgrids: map, corner, C-alphas, order"),
    Check("L12", LABELING, "Origin convention"),
    Check("L13", LABELING, "Handedness of the model"),
    Check("M1", MRC_FILES, "MRC format ID string", "all files pass"),
    Check("M2", MRC_FILES, "Machine stamp", "all files pass"),
    Check("M3", MRC_FILES, "MRC mode", "all files pass"),
    Check("M4", MRC_FILES, "Map and cell dimensions", "all files pass"),
    Check("M5", MRC_FILES, "Axis mapping", "all files pass"),
    Check("M6", MRC_FILES, "Volume stack dimensions", "all files pass"),
    Check("M7", MRC_FILES, "Header labels", "all files pass"),
    Check("M8", MRC_FILES, "MRC format version", "all files pass"),
    Check("M9", MRC_FILES, "Extended header type", "all files pass"),
    Check("M10", MRC_FILES, "Data statistics", "all files pass"),
    Check("M11", MRC_FILES, "File size", "all files pass"),
    Check("M12", MRC_FILES, "mrcfile.validate agrees", "True for all files"),
    Check("M13", MRC_FILES, "The five files hold what the store holds"),
)
CHECKS: Final[dict[str, Check]] = {check.number: check for check in _ALL}
"""All checks by number, in the order in which they are reported."""
