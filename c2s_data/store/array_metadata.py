"""What an array's ``zarr.json`` may say: an allow-list, checked before any chunk is read.

A store may come from anywhere. Zarr itself would run whatever codec a document names, allocate
whatever chunk it declares and read a missing chunk as zeros; here a document either describes what
this package writes or is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import numpy as np

from c2s_data.errors import StoreError

DTYPES: Final = ("float16", "float32", "uint8")
COMPRESSORS: Final = ("lz4", "zstd")
MAX_CHUNK_NBYTES: Final = 256 * 2**20
MAX_CHUNKS: Final = 2**20
"""Chunks of one shard: the index of a shard is then at most 16 MiB."""
MAX_SIDE: Final = 2**40
_REQUIRED: Final = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs"}
)
_OPTIONAL: Final = frozenset(
    {"fill_value", "attributes", "dimension_names", "storage_transformers"}
)


def read_encoding(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a `ShardSpec`: shapes, dtype and compressor.

    Parameters
    ----------
    metadata
        The parsed ``zarr.json`` of a sharded array.

    Raises
    ------
    StoreError
        Anything else: Zarr v2, another type, byte order or codec, a storage transformer, an
        unknown extension, sizes that are not positive whole numbers, a chunk above 256 MiB.
    """
    try:
        return _read(metadata)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"an array that no c2s_data wrote ({error!r}); read it with zarr, or import it"
        ) from error


def _read(metadata: Mapping[str, Any]) -> dict[str, Any]:
    if metadata.get("zarr_format") != 3 or metadata.get("node_type", "array") != "array":
        _refuse(f"Zarr format {metadata.get('zarr_format')!r}, not an array of format 3")
    _check_extensions(metadata)
    data_type = metadata["data_type"]
    if data_type not in DTYPES:
        _refuse(f"data type {str(data_type)[:80]!r} is not one of {', '.join(DTYPES)}")
    dtype = np.dtype(data_type)
    grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
    if grid["name"] != "regular" or keys["name"] != "default":
        _refuse(f"chunks lie in a {grid['name']!r} grid under {keys['name']!r} keys")
    if keys.get("configuration", {}).get("separator", "/") != "/":
        _refuse("the names of chunks are not separated by '/'")
    inner = _sharding(metadata["codecs"])
    shard = _sides(grid["configuration"]["chunk_shape"], "shard")
    chunk = _sides(inner["chunk_shape"], "chunk")
    _check_sizes(_sides(metadata["shape"], "array", least=0), shard, chunk, dtype)
    compressor = _compressor(inner["codecs"], dtype)
    return {
        "shard_shape": shard, "chunk_shape": chunk, "dtype": dtype, "compressor": compressor
    }  # fmt: skip


def _check_extensions(metadata: Mapping[str, Any]) -> None:
    missing = _REQUIRED - metadata.keys()
    if missing:
        _refuse(f"no {', '.join(sorted(missing))} in its document")
    unknown = [
        name
        for name in metadata.keys() - _REQUIRED - _OPTIONAL
        if not (
            isinstance(metadata[name], Mapping) and metadata[name].get("must_understand") is False
        )
    ]
    if unknown or metadata.get("storage_transformers"):
        _refuse(f"unknown extensions: {', '.join(sorted(unknown)) or 'storage transformers'}")


def _sharding(codecs: Any) -> Mapping[str, Any]:  # noqa: ANN401 - parsed JSON
    names = [codec["name"] for codec in codecs]
    if names != ["sharding_indexed"]:
        _refuse(f"codecs {names} are not those of a store")
    inner: Mapping[str, Any] = codecs[0]["configuration"]
    index_names = [codec["name"] for codec in inner["index_codecs"]]
    if index_names != ["bytes", "crc32c"] or inner.get("index_location", "end") != "end":
        _refuse(f"its shard index is stored by {index_names}, {inner.get('index_location')!r}")
    _check_little(inner["index_codecs"][0], 8)
    return inner


def _compressor(codecs: Any, dtype: np.dtype[Any]) -> str:  # noqa: ANN401 - parsed JSON
    names = [codec["name"] for codec in codecs]
    if names not in (["bytes", "blosc", "crc32c"], ["bytes", "crc32c"]):
        _refuse(f"codecs {names} in sharding_indexed are not those of a store")
    _check_little(codecs[0], dtype.itemsize)
    if "blosc" not in names:
        return "none"
    blosc = codecs[1]["configuration"]
    found = (blosc["cname"], blosc["shuffle"], blosc.get("typesize", dtype.itemsize))
    if found[0] not in COMPRESSORS or found[1:] != ("shuffle", dtype.itemsize):
        _refuse(f"blosc with {found} is not lz4 or zstd with shuffled bytes")
    return str(found[0])


def _check_little(codec: Mapping[str, Any], itemsize: int) -> None:
    endian = codec.get("configuration", {}).get("endian")
    if endian != "little" and not (endian is None and itemsize == 1):
        _refuse(f"bytes of order {endian!r} instead of little-endian ones")


def _sides(values: Any, what: str, least: int = 1) -> tuple[int, ...]:  # noqa: ANN401 - parsed JSON
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= 8:
        _refuse(f"the {what} has shape {str(values)[:80]}")
    if not all(type(side) is int and least <= side <= MAX_SIDE for side in values):
        _refuse(f"the {what} has sides {str(values)[:80]}")
    return tuple(values)


def _check_sizes(
    shape: tuple[int, ...], shard: tuple[int, ...], chunk: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if not len(shape) == len(shard) == len(chunk):
        _refuse(f"array {shape}, shard {shard} and chunk {chunk} differ in dimensions")
    if any(whole % part for whole, part in zip(shard, chunk, strict=True)):
        _refuse(f"shard {shard} is no multiple of chunk {chunk}")
    nbytes, n_chunks = math.prod(chunk) * dtype.itemsize, math.prod(shard) // math.prod(chunk)
    if nbytes > MAX_CHUNK_NBYTES or n_chunks > MAX_CHUNKS:
        _refuse(f"chunks of {nbytes:,} bytes, {n_chunks:,} in a shard, are beyond any store")


def _refuse(fact: str) -> NoReturn:
    raise StoreError(f"an array that no c2s_data wrote: {fact}; read it with zarr, or import it")
