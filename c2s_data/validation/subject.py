"""What is validated: one entry of a store with everything that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.config import BuildConfig
from c2s_data.errors import StoreError
from c2s_data.plan import PlannedEntry
from c2s_data.sources.file_digest import digest_of_ends, digest_of_file
from c2s_data.sources.input_file import input_bytes
from c2s_data.store.catalog_table import StoredEntry
from c2s_data.store.reader import Store
from c2s_data.validation.checks import CHECKS, Finding, Status

_COLUMNS: Final = (
    "chain", "residue_name", "amino_class", "is_modified", "secondary", "in_box",
    *(f"voxel_{axis}" for axis in "zyx"),
    *(f"{atom}_{axis}_A" for atom in ("n", "ca", "c") for axis in "xyz"),
)  # fmt: skip
"""What the checks need of a residue table."""


@dataclass(frozen=True)
class Subject:
    """One entry under validation.

    Parameters
    ----------
    store, entry
        Where it is.
    planned
        What the plan says of it, above all where its inputs lie; None where there is no plan.
    """

    store: Store
    entry: StoredEntry
    planned: PlannedEntry | None

    @property
    def entry_id(self) -> str:
        """Name of the entry."""
        return self.entry.entry_id

    @cached_property
    def config(self) -> BuildConfig:
        """The options that the store was built with."""
        return BuildConfig.model_validate(self.store.attrs["config"])

    @cached_property
    def row(self) -> dict[str, Any]:
        """The entry's row of the catalog."""
        rows = self.store.rows
        return next(
            dict(row)
            for row in rows
            if row["entry_id"] == self.entry_id and row["failure_reason"] is None
        )

    @cached_property
    def residues(self) -> dict[str, NDArray[Any]]:
        """The entry's residue table by column.

        Raises
        ------
        StoreError
            If it is damaged or lacks a column.
        """
        table = self.store.residues(self.entry_id)
        missing = [name for name in _COLUMNS if name not in table]
        if missing:
            raise StoreError(
                f"{self.store.url}: the residue table of {self.entry_id} lacks {missing}; "
                "`c2s-data verify` says whether it changed"
            )
        return table

    def atom_xyz_A(self, atom: str) -> NDArray[np.float64]:
        """Return the positions (n, 3) of ``n``, ``ca``, ``c`` or ``o`` in A, nan where absent."""
        return np.stack([self.residues[f"{atom}_{axis}_A"] for axis in "xyz"], axis=1)

    @cached_property
    def source_map(self) -> str | None:
        """The map that the entry was built from, where it is at hand and unchanged."""
        if self.planned is None:
            return None
        path = self.planned.entry.map
        try:
            same_size = input_bytes(path) == self.planned.map_bytes
            same = same_size and digest_of_ends(path) == self.planned.map_ends_sha256
        except OSError:
            return None
        return path if same else None

    @cached_property
    def source_model(self) -> str | None:
        """The model that the entry was built from, where it is at hand and unchanged."""
        if self.planned is None:
            return None
        path = self.planned.entry.model
        try:
            same = digest_of_file(path) == self.planned.model_sha256
        except OSError:
            return None
        return path if same else None

    def found(
        self, number: str, status: Status, message: str, severity: float = 0.0, **numbers: float
    ) -> Finding:
        """Return what a check found here."""
        assert number in CHECKS, number
        return Finding(number, self.entry_id, status, message, numbers, severity)
