"""Where a map lies: what the ORIGIN and nstart words say, and the rules that choose among them.

Programs disagree. MRC2014 places the map by ORIGIN, CCP4 by nstart; some add the two, and some
files fill nstart in the order x, y, z although their axes are stored in another.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, NoReturn

from c2s_data.errors import MapError, MapReason

Triple = tuple[float, float, float]
Index3 = tuple[int, int, int]
OriginRule = Literal["auto", "origin", "nstart", "sum", "zero", "extension"]
OriginSource = Literal["origin", "nstart", "sum", "zero"]

MAX_ORIGIN_A: Final = 1e6  # beyond it float32 no longer resolves 0.1 A: not a place, but other bits
MIN_ORIGIN_A: Final = 1e-6  # integers left in the ORIGIN words read as floats around 1e-44
NSTART_AS_XYZ: Final = "nstart as x, y, z"


class OriginWords(NamedTuple):
    """The words that place a map: ORIGIN in A, nstart of columns, rows, sections, axis codes."""

    origin_A: Triple
    nstart: Index3
    axes: Index3


def origin_conventions(words: OriginWords, voxel_xyz_A: Triple) -> dict[str, Triple]:
    """Return where each convention puts the center of voxel (0, 0, 0): x, y, z in A.

    The names are those of `OriginRule`, and one fault of headers that no rule follows:
    "nstart as x, y, z". What is no position within a million A is left out.
    """
    x, y, z = (words.nstart[words.axes.index(code)] for code in (1, 2, 3))
    nstart = _times((x, y, z), voxel_xyz_A)
    origin = (0.0, 0.0, 0.0) if _is_zero(words.origin_A) else words.origin_A
    found = {
        "origin": origin,
        "nstart": nstart,
        "sum": (origin[0] + nstart[0], origin[1] + nstart[1], origin[2] + nstart[2]),
        "zero": (0.0, 0.0, 0.0),
        NSTART_AS_XYZ: _times(words.nstart, voxel_xyz_A),
    }
    return {name: place for name, place in found.items() if _is_place(place)}


def choose_origin(
    words: OriginWords, voxel_xyz_A: Triple, rule: OriginRule, name: str
) -> tuple[Triple, OriginSource]:
    """Return the origin in A by a rule, and which words gave it.

    Parameters
    ----------
    words, voxel_xyz_A
        Of the header.
    rule
        As for `parse_header`.
    name
        The file's: stands in messages, and its extension counts under "extension".

    Raises
    ------
    MapError
        BAD_ORIGIN.
    """
    invalid = not _is_place(words.origin_A)
    if rule == "extension":
        ignored = name.lower().removesuffix(".gz").endswith((".map", ".ccp4"))
        rule = "nstart" if ignored or invalid else "auto"
    if rule == "auto":
        rule = "nstart" if _is_zero(words.origin_A) else "origin"
    if rule in ("origin", "sum") and invalid:
        _refuse(
            name,
            f"ORIGIN words {words.origin_A} are no position in A; try origin='nstart'",
        )
    places = origin_conventions(words, voxel_xyz_A)
    if rule not in places:
        start = tuple(words.nstart[words.axes.index(code)] for code in (1, 2, 3))
        x, y, z = _times(start, voxel_xyz_A)
        _refuse(
            name,
            f"nstart {words.nstart} puts the map at {x:g}, {y:g}, {z:g} A; try origin='origin'",
        )
    return places[rule], rule


def _times(start: tuple[int, ...], voxel_xyz_A: Triple) -> Triple:
    x, y, z = (count * size for count, size in zip(start, voxel_xyz_A, strict=True))
    return (x, y, z)


def _is_place(origin_A: Triple) -> bool:
    return all(abs(value) <= MAX_ORIGIN_A for value in origin_A)  # nan is none


def _is_zero(origin_A: Triple) -> bool:
    return all(abs(value) < MIN_ORIGIN_A for value in origin_A)


def _refuse(name: str, message: str) -> NoReturn:
    raise MapError(MapReason.BAD_ORIGIN, f"{name}: {message}")
