"""A nested state of plain values and tensors as one JSON document and one flat table of tensors.

Optimizers, schedules and averages give their states as nested dicts. Nothing of torch's own
serialization is used: what is read back is JSON and safetensors, and cannot execute anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

_TENSOR: Final = "$tensor"
_FLOAT: Final = "$float"


def pack(state: object, name: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Split a state into what JSON can hold and the tensors it names.

    Parameters
    ----------
    state
        Dicts with words or whole numbers as keys, lists, tuples, numbers, words, None, tensors.
    name
        What the tensors' names begin with.

    Returns
    -------
    tuple
        The document, in which ``{"$tensor": name}`` stands for a tensor and ``{"$float": word}``
        for a number that JSON has not (inf, nan), and the tensors by name: on the CPU, contiguous.

    Raises
    ------
    TypeError
        A value of another kind.
    """
    tensors: dict[str, Tensor] = {}
    return _packed(state, name, tensors), tensors


def _packed(value: object, name: str, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {_TENSOR: name}
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _packed(one, f"{name}.{key}", tensors) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(one, f"{name}.{place}", tensors) for place, one in enumerate(value)]
    raise TypeError(f"{name} is {type(value).__name__}, which no checkpoint holds")


def unpack(document: object, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - a state
    """Return the state that `pack` was given; tuples come back as lists.

    Raises
    ------
    KeyError
        A tensor is missing.
    """
    if isinstance(document, list):
        return [unpack(one, tensors) for one in document]
    if not isinstance(document, dict):
        return document
    if document.keys() == {_TENSOR}:
        return tensors[document[_TENSOR]]
    if document.keys() == {_FLOAT}:
        return float(document[_FLOAT])
    # Optimizers number their parameters, and look the numbers up.
    numbered = bool(document) and all(key.isdecimal() for key in document)
    return {int(key) if numbered else key: unpack(one, tensors) for key, one in document.items()}
