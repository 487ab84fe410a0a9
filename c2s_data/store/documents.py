"""The ``zarr.json`` documents of a store, as the Zarr v3 specification defines them.

They are written directly, not through a Zarr library, because a part then creates a map's group
with a dozen small objects and no further calls, on a folder and on a bucket alike. Tests open all
of them with zarr-python and xarray.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from c2s_data.store.shard import ShardSpec

Document = dict[str, Any]


def group_document(
    attributes: Mapping[str, Any], children: Mapping[str, Document] | None = None
) -> Document:
    """Return a group's document; ``children`` are consolidated into it."""
    document: Document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
    }
    if children is not None:
        document["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": dict(sorted(children.items())),
        }
    return document


def sharded_array_document(
    shape: Sequence[int],
    spec: ShardSpec,
    dimensions: Sequence[str],
    attributes: Mapping[str, Any],
) -> Document:
    """Return the document of an array of whole shards, each of many chunks."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": list(spec.chunk_shape),
            "codecs": _chunk_codecs(spec),
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    return _array_document(
        shape, spec.shard_shape, spec.dtype, [sharding], dimensions, attributes, 0
    )


def plain_array_document(
    shape: Sequence[int],
    chunk_shape: Sequence[int],
    dtype: np.dtype[Any],
    dimensions: Sequence[str],
    attributes: Mapping[str, Any],
    fill_value: int = 0,
) -> Document:
    """Return the document of an array of plain chunks (index columns, coordinates)."""
    codecs = _chunk_codecs(plain_spec(chunk_shape, dtype))
    return _array_document(shape, chunk_shape, dtype, codecs, dimensions, attributes, fill_value)


def plain_spec(chunk_shape: Sequence[int], dtype: np.dtype[Any]) -> ShardSpec:
    """Return how the chunks of an array without shards are encoded."""
    return ShardSpec(tuple(chunk_shape), tuple(chunk_shape), dtype, "zstd")


def _chunk_codecs(spec: ShardSpec) -> list[Document]:
    declared = spec.zarr_codecs()
    return [declared["serializer"], *declared["compressors"]]


def _array_document(
    shape: Sequence[int],
    grid: Sequence[int],
    dtype: np.dtype[Any],
    codecs: list[Document],
    dimensions: Sequence[str],
    attributes: Mapping[str, Any],
    fill_value: int,
) -> Document:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [int(n) for n in shape],
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [int(n) for n in grid]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": float(fill_value) if dtype.kind == "f" else fill_value,
        "codecs": codecs,
        "attributes": dict(attributes),
        "dimension_names": list(dimensions),
        "storage_transformers": [],
    }


def encode_document(document: Document) -> bytes:
    """Return the bytes of a document, the same on every run.

    Without indentation, because Python's encoder is ten times faster then and a map has thirty.
    """
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
