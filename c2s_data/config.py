"""Presets and options of a build: frozen, validated, hashed into a fingerprint.

Three presets name three ways to make the same store:

``paper``
    The text of Cryo2StructData (sections "Preprocessing", "Labeling Density Maps", "Grid
    Division"). The default.
``released``
    What the published programs do where they differ from the text.
``recommended``
    What measurements favour when new networks are trained.

``docs/paper.md`` compares them step by step.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from c2s_data.errors import ConfigError
from c2s_data.schema import BOX, CORE, SCHEMA_VERSION, Assembly
from c2s_data.transforms.label import DECODE_OFFSET_VOXEL

PresetName = Literal["paper", "released", "recommended"]


class BuildConfig(BaseModel):
    """Every option that decides what a store holds.

    Equal configurations and equal inputs give equal stores; nothing that only changes how fast
    or where a build runs (workers, memory limit, scheduler) belongs here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: PresetName
    origin: Literal["auto", "origin", "nstart", "sum", "zero", "extension"]
    """Which header words place the map; see `c2s_data.sources.density_map`."""
    positions: Literal["float64", "float32"]
    """Precision in which resampling computes positions on the source grid."""
    integer_maps: Literal["float32", "truncate"]
    """``truncate``: values of an integer map become whole numbers again after resampling."""
    scale: Literal["positive", "nonzero", "signal"]
    """Population whose percentile becomes 1.0; see `c2s_data.transforms.normalize`."""
    percentile: float = Field(default=95.0, gt=0, lt=100)
    label_rule: Literal["formula1", "formula1-float32", "nearest"]
    atoms: Literal["polymer", "named"]
    """``polymer``: amino-acid residues of polymers; ``named``: every atom named CA, N or C."""
    collision: Literal["ca-first", "last-wins"]
    modified_residues: Literal["parent", "unknown"]
    """Amino class of a modified residue: that of its parent, or 0."""
    unknown_amino: Literal["background", "ignore"]
    """Amino mask at the C-alpha of an unknown residue: 0, or 255 for a loss to leave out."""
    zero_occupancy: Literal["keep", "exclude"]
    secondary: Literal["auto", "records", "dssp"]
    resampling: Literal["trilinear", "spline3"]
    antialias: bool
    """Low-pass axes with voxels below 0.9 A before they are resampled (``spline3`` only)."""
    assembly: Assembly
    """Copies of the model that are labeled: as deposited, all of assembly 1, or those of it that
    lie in density."""
    extra_masks: tuple[Literal["ignore", "nucleic"], ...] = ()
    """``ignore``: voxels near atoms that are no protein; ``nucleic``: labels of nucleic acids."""
    ignore_radius_A: float = Field(default=3.0, gt=0, le=10)
    quality: bool
    """Measure how well map and model fit; see `c2s_data.quality`."""
    gate: Literal["off", "warn", "drop"]
    """What a bad fit of map and model does to an entry."""
    density_dtype: Literal["float16", "float32"]
    density: Literal["raw", "normalized"] = "raw"
    """``normalized``: maps are at 1 A and in [0, 1] already and are taken as they are."""
    masks: Literal["model", "files"] = "model"
    """``files``: masks that lie beside a map, as published, are taken as they are."""
    box: int = Field(default=BOX, ge=2, le=256)
    core: int = Field(default=CORE, ge=1, le=256)
    compressor: Literal["lz4", "zstd", "none"] = "lz4"
    """``none``: density is stored as it is; masks, nearly all zeros, are compressed by lz4."""
    non_finite: Literal["refuse", "zero"] = "refuse"
    """``zero``: nan and infinite voxels of a map become 0 and are counted in the entry's notes."""

    @model_validator(mode="after")
    def _core_fits_box(self) -> Self:
        if self.core > self.box or (self.box - self.core) % 2:
            raise ValueError(
                f"box {self.box} and core {self.core}: the core must not exceed the box and "
                "box - core must be even, so that every face has the same margin"
            )
        return self

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.gate != "off" and not self.quality:
            raise ValueError(f"gate {self.gate!r} judges the quality: it needs quality true")
        if self.antialias and self.resampling != "spline3":
            raise ValueError("antialias is part of resampling spline3; trilinear has no filter")
        if len(set(self.extra_masks)) != len(self.extra_masks):
            raise ValueError(f"extra_masks {self.extra_masks}: name each once")
        return self

    @property
    def decode_offset_voxel(self) -> float:
        """What decoding adds to a voxel index to undo the bias of the label rule at 1 A."""
        return DECODE_OFFSET_VOXEL[self.label_rule]

    @property
    def label_error_A(self) -> float:
        """Mean distance in A between an atom and its label at 1 A voxels.

        Measured on 10,029 backbone atoms of three deposited models: 0.96 A for formula 1,
        0.48 A for the nearest voxel.
        """
        return 0.48 if self.label_rule == "nearest" else 0.96


_PAPER: Final[dict[str, Any]] = {
    "origin": "auto",
    "positions": "float64",
    "integer_maps": "float32",
    "scale": "positive",
    "label_rule": "formula1",
    "atoms": "polymer",
    "collision": "ca-first",
    "modified_residues": "parent",
    "unknown_amino": "background",
    "zero_occupancy": "keep",
    "secondary": "auto",
    "resampling": "trilinear",
    "antialias": False,
    "assembly": "deposited",
    "quality": False,
    "gate": "off",
    "density_dtype": "float16",
}

PRESETS: Final[dict[PresetName, dict[str, Any]]] = {
    "paper": _PAPER,
    "released": _PAPER
    | {
        "origin": "extension",
        "positions": "float32",
        "integer_maps": "truncate",
        "scale": "nonzero",
        "label_rule": "formula1-float32",
        "atoms": "named",
        "collision": "last-wins",
        "modified_residues": "unknown",
        "density_dtype": "float32",
    },
    "recommended": _PAPER
    | {
        "scale": "signal",
        "label_rule": "nearest",
        "unknown_amino": "ignore",
        "zero_occupancy": "exclude",
        "secondary": "dssp",
        "resampling": "spline3",
        "antialias": True,
        "assembly": "auto",
        "extra_masks": ("ignore",),
        "quality": True,
        "gate": "warn",
    },
}


def make_config(preset: str = "paper", **overrides: object) -> BuildConfig:
    """Return the options of ``preset`` with single ones replaced.

    Raises
    ------
    ConfigError
        If the preset or an option does not exist or options cannot stand together.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} does not exist; choose one of {', '.join(PRESETS)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return BuildConfig.model_validate({**PRESETS[preset], **given, "preset": preset})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'options'}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigError(f"the options of preset {preset!r} are not valid: {faults}") from error


def parse_bytes(text: str) -> int:
    """Return the number of bytes that ``1.5GB``, ``800MB`` or ``2GiB`` name.

    Raises
    ------
    ConfigError
        If the text is no size.
    """
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        raise ConfigError(f"{text!r} is no amount of memory; write it as 1.5GB or 800MB") from error


def fingerprint(config: BuildConfig, inputs: object) -> str:
    """Return the sha256 (hex) that binds a configuration to the inputs of one plan.

    Parameters
    ----------
    config
        The options.
    inputs
        Anything that JSON can hold and that names the inputs: identifiers, sizes, headers.
    """
    document = {"schema_version": SCHEMA_VERSION, "config": config.model_dump(), "inputs": inputs}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
