"""What is asked of a pipeline from a prediction to a model, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from c2s_data.errors import ConfigError
from c2s_model.backbone.candidate_voxels import RECOMMENDED, CandidateOptions

if TYPE_CHECKING:
    from c2s_model.backbone.candidate_voxels import Prediction
    from c2s_model.backbone.stages import StageResult

Hmm = Literal["gap", "paper"]


class PredictionSource(NamedTuple):
    """Where a prediction comes from.

    Parameters
    ----------
    made_from
        Plain values that decide it: digests of map and network, options.
    path
        Where it lies once it is made.
    make
        Makes it there, and returns facts.
    open
        Opens it.
    """

    made_from: Mapping[str, Any]
    path: Path
    make: Callable[[], dict[str, Any]]
    open: Callable[[], Prediction]


@dataclass(frozen=True)
class BackboneRequest:
    """What to build, and how.

    Parameters
    ----------
    out
        The mmCIF file; PDB, CSV and report stand beside it.
    work
        Folder of the stages.
    kept_at
        Where the model lies in the end, if not at ``out``.
    fasta
        Sequences of all chains; None for a trace without a sequence.
    answer
        A model whose sequences and residues are used instead: for comparisons only.
    keep
        A model that is built already.
    calibration
        Made by `calibration.write_calibration`; None leaves confidences uncalibrated.
    candidates, hmm, lambda_
        Options of the candidates, which hidden Markov model traces, and the width of the paper's.
    overwrite
        Whether to replace a model that these stages did not write.
    """

    out: Path
    work: Path
    kept_at: str | None = None
    fasta: Path | None = None
    answer: Path | None = None
    keep: Path | None = None
    calibration: Path | None = None
    candidates: CandidateOptions = RECOMMENDED
    hmm: Hmm = "gap"
    lambda_: float = 10.0
    overwrite: bool = False

    @property
    def name(self) -> str:
        """The model's place, by which a later call knows it."""
        return self.kept_at or str(self.out.resolve())

    def __post_init__(self) -> None:
        if self.fasta is not None and self.answer is not None:
            raise ConfigError("sequences come from a FASTA or from the answer, not from both")
        if self.out.suffix.lower() != ".cif":
            raise ConfigError(f"{self.out}: the model is an mmCIF file; give a name *.cif")


@dataclass(frozen=True)
class BackboneResult:
    """What came of it.

    Parameters
    ----------
    files : dict of str to Path
        ``model``, ``pdb`` (where the format fits), ``confidence``, ``report`` and so on.
    stages : dict of str to StageResult
        In the order in which they ran.
    """

    files: dict[str, Path] = field(default_factory=dict)
    stages: dict[str, StageResult] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "files": {name: str(path) for name, path in self.files.items()},
            "stages": {name: asdict(one) for name, one in self.stages.items()},
        }
