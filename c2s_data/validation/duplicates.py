"""P1: the same map twice (paper, "Validation of Preprocessing Step")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from c2s_data.store.reader import Store
from c2s_data.validation.checks import Finding


def duplicates(store: Store, map_sha256: Mapping[str, str]) -> Iterator[Finding]:
    """P1: yield for each entry whether another one is the same map.

    The paper compares EMDB ids. Here the bytes of the map files count as well, and mean, standard
    deviation and shape of the raw values: they stay the same when a file is packed anew.

    Parameters
    ----------
    store
        All its live entries are compared.
    map_sha256
        Digest of each entry's map file by group, as far as known.
    """
    rows = [row for row in store.rows if row["failure_reason"] is None]
    same: dict[tuple[str, Any], list[str]] = defaultdict(list)
    for row, entry in zip(rows, store.entries, strict=True):
        for key in _identities(row, map_sha256.get(entry.group)):
            same[key].append(entry.entry_id)
    for row, entry in zip(rows, store.entries, strict=True):
        others = {
            (what, other)
            for what, value in _identities(row, map_sha256.get(entry.group))
            for other in same[what, value]
            if other != entry.entry_id
        }
        numbers = {"n_duplicates": float(len({other for _, other in others}))}
        if not others:
            message = f"{entry.entry_id}: no other entry has this map"
            yield Finding("P1", entry.entry_id, "pass", message, numbers)
            continue
        told = "; ".join(f"{what} as {other}" for what, other in sorted(others))
        message = (
            f"{entry.entry_id}: {told}; keep one of them (`c2s-data withdraw`), or the same "
            "density is learned twice and may be tested on"
        )
        yield Finding("P1", entry.entry_id, "fail", message, numbers, numbers["n_duplicates"])


def _identities(row: Mapping[str, Any], sha256: str | None) -> Iterator[tuple[str, Any]]:
    if row["emdb_id"]:
        yield "same EMDB id", row["emdb_id"]
    if sha256:
        yield "same map file", sha256
    if row.get("raw_sd"):
        shape = tuple(sorted(row["source_shape_zyx"]))
        yield "same raw density", (shape, row["raw_mean"], row["raw_sd"])
