"""Presets and options of a training: frozen, validated, kept in the run's folder.

Two presets name two ways to train the same networks:

``paper``
    What the published programs do, so that results can be compared with theirs.
``recommended``
    What imbalance, small batches and rotations call for; each option says why.

``docs/training.md`` compares them option by option.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from c2s_data.errors import ConfigError
from c2s_model.nets.variants import (
    TARGETS,
    Architecture,
    classes_of,
    nearest_variant,
    variant_named,
)
from c2s_model.training.loss import PAPER, RECOMMENDED, LossOptions

TrainPreset = Literal["paper", "recommended"]
Precision = Literal["auto", "float32", "bf16", "fp16"]


class TrainConfig(BaseModel):
    """Every option that decides which weights a training ends with.

    What only changes how fast, where or how long it runs is in
    `c2s_model.training.run_options.RunOptions`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: TrainPreset
    variant: str
    """Name of the sizes; "custom" for others."""
    architecture: Architecture
    """The sizes themselves, dropout included: 0.1 as published."""
    targets: tuple[str, ...]
    """Heads: several share one trunk, so a step costs little more than one network's."""
    train_split: str = "train"
    validation_split: str | None = "validation"
    """None: nothing is validated, and the newest checkpoint counts as the best."""
    subgrids: Literal["all", "occupied"]
    """``occupied``: only subgrids with C-alphas, which are a twentieth of a map and hold every
    label that is not background."""
    rest_share: float = Field(ge=0, le=1)
    """Share of the other subgrids under ``occupied``, other ones each epoch: a network that never
    saw solvent finds atoms in it."""
    batch_size: int = Field(ge=1, le=65536)
    """Subgrids of a step on each process; published: 48 for atoms, 12 for amino acids."""
    windows: int = Field(default=0, ge=0, le=1000)
    """Windows cut from the maps for each of these subgrids in an epoch, anywhere near it and turned
    if `rotations` (`c2s_model.data.windows`). 0: the stored subgrids themselves, as published."""
    seed: int = Field(default=0, ge=0, lt=2**62)
    rotations: bool
    """Turn each subgrid by one of the 24 rotations of a cube. Only for stores whose labels are at
    the ``nearest`` voxel: labels of formula 1 lie half a voxel low on each axis, so that after a
    turn every label is another one than the turned atoms would get."""
    ignore_mask: bool
    """Leave out of loss and scores what the store's ``ignore`` mask marks, if it has one: ligands
    and nucleic acids look like protein and carry no label."""
    loss: LossOptions
    optimizer: Literal["nadam", "adamw"]
    learning_rate: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=1)
    schedule: Literal["plateau", "cosine"]
    """``plateau``: a tenth of the rate when the training loss has not fallen for 10 epochs;
    ``cosine``: falling to zero over the epochs, which needs no patience to be guessed."""
    warmup_share: float = Field(ge=0, lt=1)
    """Share of all steps in which the rate rises under ``cosine``: transformers diverge easily
    before their moments are known."""
    clip_norm: float | None = Field(gt=0)
    """Longest gradient; a batch with few labels weighs each of them much. None: not clipped."""
    average_decay: float | None = Field(ge=0, lt=1)
    """Decay of the running average of the weights, which is then what is validated and predicts.
    It scores like a rate that has fallen already. None: no average."""
    precision: Precision = "auto"
    """``auto``: on a GPU fp16 under ``paper`` as published, bf16 under ``recommended``, whose range
    needs no scaling of the loss; float32 on a CPU."""
    epochs: int = Field(ge=1, le=1_000_000)
    best_by: Literal["loss", "macro-f1"]
    """Which checkpoints are best: least unweighted validation loss, as published, or largest macro
    F1 without background, mean over targets. 99.99 % of the voxels are background, so the former
    says little about atoms."""

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        classes_of(self.targets)
        if self.variant != nearest_variant(self.architecture):
            raise ValueError(
                f"variant {self.variant!r} has other sizes; these are "
                f"{nearest_variant(self.architecture)!r}"
            )
        if self.rest_share and self.subgrids == "all":
            raise ValueError("rest_share is a share of what subgrids 'occupied' leaves out")
        if self.warmup_share and self.schedule == "plateau":
            raise ValueError("warmup_share belongs to the cosine schedule; plateau has none")
        if self.train_split == self.validation_split:
            raise ValueError(f"split {self.train_split!r} cannot validate its own training")
        return self

    @property
    def heads(self) -> dict[str, int]:
        """Target -> number of classes."""
        return classes_of(self.targets)

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        document: dict[str, Any] = json.loads(self.model_dump_json())
        return document


_PAPER: Final[dict[str, Any]] = {
    "subgrids": "all",
    "rest_share": 0.0,
    "batch_size": 48,
    "rotations": False,
    "ignore_mask": False,
    "loss": PAPER,
    "optimizer": "nadam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "plateau",
    "warmup_share": 0.0,
    "clip_norm": None,
    "average_decay": None,
    "epochs": 100,
    "best_by": "loss",
}

PRESETS: Final[dict[TrainPreset, dict[str, Any]]] = {
    "paper": _PAPER,
    "recommended": _PAPER
    | {
        "subgrids": "occupied",
        "rest_share": 0.1,
        "rotations": True,
        "ignore_mask": True,
        "loss": RECOMMENDED,
        "optimizer": "adamw",
        "learning_rate": 3e-4,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup_share": 0.05,
        "clip_norm": 1.0,
        "average_decay": 0.999,
        "best_by": "macro-f1",
    },
}
_AMINO_BATCH: Final = 12
NO_SPLIT: Final = ""
"""Given as `validation_split`: validate nothing."""


def make_train_config(
    preset: str = "paper",
    variant: str = "small",
    targets: tuple[str, ...] = ("atom",),
    *,
    dropout: float | None = None,
    architecture: Architecture | None = None,
    **overrides: object,
) -> TrainConfig:
    """Return the options of a preset with single ones replaced; those that are None are not.

    Parameters
    ----------
    preset, variant, targets
        The training.
    dropout
        Instead of the architecture's.
    architecture
        Sizes that no variant has, instead of `variant`.
    **overrides
        Fields of `TrainConfig`; of ``loss`` also a dict with some of its fields. ``clip_norm`` and
        ``average_decay`` 0 mean none.

    Raises
    ------
    ConfigError
        Something does not exist, or options cannot stand together.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} of a training; take one of {', '.join(PRESETS)}")
    sizes = architecture or variant_named(variant)
    if dropout is not None:
        sizes = replace(sizes, dropout=dropout)
    options = dict(PRESETS[preset])
    if preset == "paper" and tuple(targets) != ("atom",):
        options["batch_size"] = _AMINO_BATCH
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in ("clip_norm", "average_decay"):
        if given.get(name) == 0:
            given[name] = None
    if given.get("validation_split") == NO_SPLIT:
        given["validation_split"] = None
    if given.get("subgrids") == "all":
        given.setdefault("rest_share", 0.0)
    if given.get("schedule") == "plateau":
        given.setdefault("warmup_share", 0.0)
    loss = given.get("loss")
    if isinstance(loss, dict):
        given["loss"] = _replaced_loss(options["loss"], loss)
    return _validated(
        {
            **options,
            **given,
            "preset": preset,
            "variant": nearest_variant(sizes),
            "architecture": sizes,
            "targets": tuple(sorted(targets, key=_place)),
        }
    )


def _place(target: str) -> int:
    return TARGETS.index(target) if target in TARGETS else len(TARGETS)


def _replaced_loss(loss: LossOptions, given: dict[str, Any]) -> LossOptions:
    try:
        return replace(loss, **{name: one for name, one in given.items() if one is not None})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the options of the loss are not valid: {error}") from error


def train_config_from(document: object) -> TrainConfig:
    """Return the options that `TrainConfig.as_json` wrote; `ConfigError` where they are none."""
    return _validated(document)


def _validated(options: object) -> TrainConfig:
    try:
        return TrainConfig.model_validate(options)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'options'}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigError(f"the options of the training are not valid: {faults}") from error


def differences(ours: TrainConfig, theirs: TrainConfig) -> list[str]:
    """Name the options in which two trainings differ, ``name=ours instead of theirs``."""
    mine, other = _flat(ours.as_json()), _flat(theirs.as_json())
    return [
        f"{name}={mine.get(name)!r} instead of {other.get(name)!r}"
        for name in {**mine, **other}
        if mine.get(name) != other.get(name)
    ]


def _flat(document: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {before + name: value}
    return flat
