"""The exceptions of the package, one tree.

::

    C2SError                    everything this project raises on purpose
    |- MapError                 a density map is refused; ``reason`` is one of `MapReason`
    |- ModelError               an atomic model is refused; ``reason`` is one of `ModelReason`
    |- CatalogError             a catalog CSV is not usable; names the row and the column
    |- ConfigError              options that cannot stand together, or a resume with other options
    |- ClusterError             the Dask cluster was lost, or has no worker that can do the work
    |- StoreError               a store is not what it should be
       |- NotCommittedError     a reader met a store that no commit has finished
       |- LeaseError            another process plans, builds or commits in the store just now
       |- MissingChunkError     an object or chunk that must exist does not
       |- CorruptChunkError     a chunk whose checksum or codec says it changed

Every message tells fact, place and remedy.
"""

from __future__ import annotations

from enum import StrEnum


class C2SError(Exception):
    """Base of every exception that the project raises on purpose."""


class MapReason(StrEnum):
    """Why a density map is refused: stable codes for tables, tests and scripts."""

    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    TOO_LONG = "too-long"
    BAD_GZIP = "bad-gzip"
    NOT_MRC = "not-mrc"
    BAD_MODE = "bad-mode"
    COMPLEX_MODE = "complex-mode"
    BAD_DIMENSIONS = "bad-dimensions"
    TOO_LARGE = "too-large"
    BAD_CELL = "bad-cell"
    BAD_ANGLES = "bad-angles"
    BAD_AXES = "bad-axes"
    BAD_EXTENDED_HEADER = "bad-extended-header"
    BAD_ORIGIN = "bad-origin"
    VOLUME_STACK = "volume-stack"
    NOT_FINITE = "not-finite"
    CONSTANT = "constant"
    NOT_POSITIVE = "not-positive"
    EMPTY_POPULATION = "empty-population"
    NOT_NORMALIZED = "not-normalized"
    NOT_A_MASK = "not-a-mask"
    QUALITY_GATE = "quality-gate"
    CHANGED = "changed"
    SCRATCH_SPACE = "scratch-space"


class ModelReason(StrEnum):
    """Why an atomic model is refused: stable codes for tables, tests and scripts."""

    NOT_FOUND = "not-found"
    UNREADABLE = "unreadable"
    NO_PROTEIN = "no-protein"
    BAD_COORDINATES = "bad-coordinates"
    OUTSIDE_BOX = "outside-box"
    BAD_ASSEMBLY = "bad-assembly"
    CHANGED = "changed"


class MapError(C2SError):
    """A density map is refused.

    Parameters
    ----------
    reason
        The stable code.
    message
        Fact, place and remedy in one sentence.
    """

    def __init__(self, reason: MapReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class ModelError(C2SError):
    """An atomic model is refused; arguments as for `MapError`."""

    def __init__(self, reason: ModelReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class CatalogError(C2SError):
    """A catalog CSV is not usable."""


class ConfigError(C2SError):
    """Options that cannot stand together, or a resume with other options."""


class ClusterError(C2SError):
    """The Dask cluster was lost, or has no worker that can do the work."""


class StoreError(C2SError):
    """A store is not what it should be."""


class NotCommittedError(StoreError):
    """A reader met a store that no commit has finished."""


class LeaseError(StoreError):
    """Another process plans, builds or commits in the store just now."""


class MissingChunkError(StoreError):
    """An object or chunk that must exist does not."""


class CorruptChunkError(StoreError):
    """A chunk whose checksum or codec says that it changed."""
