"""A network in one file: safetensors weights, and in its metadata what they mean.

The metadata key ``c2s_network`` holds a JSON document, the `NetworkCard`. Nothing in such a file
can be executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from c2s_data.errors import ConfigError
from c2s_data.schema import CLASS_NAMES
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.unetr import Unetr, shapes_only
from c2s_model.nets.variants import VARIANTS, Architecture, nearest_variant

FORMAT: Final = 1
_KEY: Final = "c2s_network"
_MAX_CARD_CHARACTERS: Final = 2**20


@dataclass(frozen=True)
class NetworkCard:
    """What a file's weights mean.

    Parameters
    ----------
    variant
        Name of the sizes, or "custom".
    architecture
        The sizes themselves.
    classes
        Target -> names of its classes in the order of the logits.
    preset
        How the maps it was trained on were made: paper | released | recommended.
    label_rule
        How their voxels were labeled, in the words of the store.
    decode_offset_voxel
        What to add to a predicted voxel's index to get the atom's place.
    source
        Where the weights come from: plain JSON.
    """

    variant: str
    architecture: Architecture
    classes: Mapping[str, tuple[str, ...]]
    preset: str
    label_rule: str
    decode_offset_voxel: float
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> dict[str, int]:
        """Target -> number of classes."""
        return {target: len(names) for target, names in self.classes.items()}

    def to_json(self) -> str:
        """Return the document of the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)


class LoadedNetwork(NamedTuple):
    """A network in evaluation mode, and what it means."""

    network: Unetr
    card: NetworkCard


def write_network(path: Path, weights: Mapping[str, Tensor], card: NetworkCard) -> None:
    """Write a network; the file appears whole or not at all, and replaces one of that name.

    Raises
    ------
    OSError
        It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(dict(weights), beside, metadata={_KEY: card.to_json()})
        with beside.open("rb") as stream:
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_card(path: Path) -> NetworkCard:
    """Read what a file's weights mean, without the weights.

    Raises
    ------
    CheckpointError
        Not such a file, or its statements contradict each other or this version's class tables.
    OSError
        The file cannot be read.
    """
    metadata = _metadata(path)
    text = metadata.get(_KEY, "")
    if not text or len(text) > _MAX_CARD_CHARACTERS:
        raise CheckpointError(
            f"{path}: it does not say what its weights mean (metadata {_KEY}); convert the "
            "original checkpoint with `c2s-model convert`"
        )
    try:
        document = json.loads(text)
        found = document.pop("format")
        if found != FORMAT:
            raise CheckpointError(
                f"{path}: format {found!r} of a network, this version reads {FORMAT}; convert or "
                "train it with this version"
            )
        card = _card(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ConfigError) as error:
        raise CheckpointError(
            f"{path}: damaged statements about its weights ({error}); convert or copy it again"
        ) from error
    _check_card(card, path)
    return card


def load_network(
    path: Path | str,
    *,
    variant: str | None = None,
    targets: Collection[str] | None = None,
    preset: str | None = None,
) -> LoadedNetwork:
    """Read a network back, strictly.

    Parameters
    ----------
    path
        A file of `write_network`.
    variant, targets, preset
        What the caller relies on; None for whatever it is.

    Returns
    -------
    LoadedNetwork
        On the CPU, float32, in evaluation mode, and its card.

    Raises
    ------
    CheckpointError
        Another variant, target, preset or class table; weights missing, unknown or misshapen.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    card = read_card(path)
    _check_wanted(card, path, variant, targets, preset)
    network = shapes_only(card.architecture, card.heads)
    with safe_open(path, framework="pt") as stream:
        stored = {key: tuple(stream.get_slice(key).get_shape()) for key in stream.keys()}  # noqa: SIM118
        expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        if stored != expected:
            wrong = sorted(
                key for key in stored.keys() | expected if stored.get(key) != expected.get(key)
            )
            raise CheckpointError(
                f"{path}: {len(wrong)} weights are missing, unknown or of another shape, first "
                f"{wrong[0]!r} ({stored.get(wrong[0])}, not {expected.get(wrong[0])}); copy or "
                "convert it again"
            )
        weights = {key: stream.get_tensor(key).float() for key in expected}
    network.load_state_dict(weights, strict=True, assign=True)
    return LoadedNetwork(network.eval(), card)


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of a network")
    try:
        with safe_open(path, framework="pt") as stream:
            return dict(stream.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a safetensors file ({error}); convert published checkpoints with "
            "`c2s-model convert`"
        ) from error


def _card(document: dict[str, Any]) -> NetworkCard:
    sizes = document.pop("architecture")
    sizes["extraction"] = tuple(sizes["extraction"])
    sizes["box_zyx"] = tuple(sizes["box_zyx"])
    if sizes.keys() != {one.name for one in fields(Architecture)}:
        raise ValueError(f"sizes {sorted(sizes)}")
    counts = [
        value
        for name, value in sizes.items()
        if isinstance(value, int | float | str) and name != "dropout"
    ]
    if not all(type(count) is int for count in (*counts, *sizes["extraction"], *sizes["box_zyx"])):
        raise TypeError(f"sizes {sizes}")
    classes = {target: tuple(names) for target, names in document.pop("classes").items()}
    card = NetworkCard(architecture=Architecture(**sizes), classes=classes, **document)
    offset: object = card.decode_offset_voxel
    if not all(isinstance(one, str) for one in (card.variant, card.preset, card.label_rule)) or (
        not isinstance(offset, int | float) or isinstance(offset, bool)
    ):
        raise TypeError("variant, preset and label_rule are words, decode_offset_voxel a number")
    return card


def _check_card(card: NetworkCard, path: Path) -> None:
    for target, names in card.classes.items():
        if names != CLASS_NAMES.get(target):
            raise CheckpointError(
                f"{path}: its classes of {target!r} are {list(names)}, this version's are "
                f"{list(CLASS_NAMES.get(target, ()))}; its predictions would be misread"
            )
    if not card.classes:
        raise CheckpointError(f"{path}: it predicts nothing; convert or train it again")
    if card.variant != nearest_variant(card.architecture):
        raise CheckpointError(
            f"{path}: it says variant {card.variant!r}, its sizes are those of "
            f"{nearest_variant(card.architecture)!r} (known: {', '.join(VARIANTS)}); convert or "
            "train it with this version"
        )


def _check_wanted(
    card: NetworkCard,
    path: Path,
    variant: str | None,
    targets: Collection[str] | None,
    preset: str | None,
) -> None:
    has = {"variant": card.variant, "targets": sorted(card.classes), "preset": card.preset}
    wanted = {
        "variant": variant,
        "targets": None if targets is None else sorted(targets),
        "preset": preset,
    }
    for name, value in wanted.items():
        if value is not None and value != has[name]:
            raise CheckpointError(
                f"{path}: its {name} is {has[name]}, {value} is asked for; take another file or "
                f"another {name}"
            )
