"""What a language model says of the sequences of each entry: one table of a generation.

The table is a document of the generation, as its catalog is: a new model or new entries make a new
generation, and training on an older one keeps what it began with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from c2s_data.errors import StoreError
from c2s_data.store.generation import Generation, read_committed
from c2s_data.store.objects import Objects
from c2s_data.store.parquet import decode_table, encode_table

EMBEDDINGS: Final = "embeddings.parquet"
_COLUMNS: Final = ("group", "model", "sequence_sha256", "n_residues", "vector")


@dataclass(frozen=True, eq=False)
class SequenceEmbedding:
    """The mean embedding of an entry's sequences.

    Parameters
    ----------
    vector : (S,) float32
        Finite numbers.
    model
        Name of the model and what tells its weights from others of that name.
    sequence_sha256
        sha256 (hex) of the FASTA text of the store that it was computed from.
    n_residues
        Residues in the mean.
    """

    vector: NDArray[np.float32]
    model: str
    sequence_sha256: str
    n_residues: int


def text_sha256(fasta: str) -> str:
    """Return the sha256 (hex) that binds an embedding to the sequences of an entry."""
    return hashlib.sha256(fasta.encode()).hexdigest()


def encode_embeddings(found: Mapping[str, SequenceEmbedding]) -> bytes:
    """Return the table, by group, as one Parquet object: equal for equal embeddings.

    Raises
    ------
    StoreError
        If two embeddings have different widths or models, or one is not finite.
    """
    groups = sorted(found)
    rows = [found[group] for group in groups]
    kinds = sorted({(row.model, len(row.vector)) for row in rows})
    if len(kinds) > 1:
        raise StoreError(
            f"embeddings of {kinds[0][0]} ({kinds[0][1]} numbers) and of {kinds[1][0]} "
            f"({kinds[1][1]} numbers) cannot stand in one table; compute all with one model"
        )
    width = kinds[0][1] if kinds else 0
    values = np.array([row.vector for row in rows], np.float32).reshape(len(rows), width)
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise StoreError(f"the embedding of {groups[place]} is not finite; its model is broken")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), max(1, width))
    return encode_table(
        pa.table(
            {
                "group": pa.array(groups, pa.string()),
                "model": pa.array([row.model for row in rows], pa.string()),
                "sequence_sha256": pa.array([row.sequence_sha256 for row in rows], pa.string()),
                "n_residues": pa.array([row.n_residues for row in rows], pa.int64()),
                "vector": vectors if rows else pa.array([], pa.list_(pa.float32(), 1)),
            }
        )
    )


def decode_embeddings(data: bytes, where: str) -> dict[str, SequenceEmbedding]:
    """Read what `encode_embeddings` wrote, by group.

    Raises
    ------
    StoreError
        If the object is no such table.
    """
    table: Any = decode_table(data, where)
    try:
        groups, models, hashes, counts, vectors = (table.column(name) for name in _COLUMNS)
        width = vectors.type.list_size
        values = np.asarray(vectors.combine_chunks().flatten(), np.float32).reshape(-1, width)
        rows = zip(*(c.to_pylist() for c in (groups, models, hashes, counts)), values, strict=True)
        return {
            group: SequenceEmbedding(vector, str(model), str(sha256), int(count))
            for group, model, sha256, count, vector in rows
        }
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{where}: the embeddings cannot be read: {error!r}") from error


def read_embeddings(objects: Objects, generation: Generation) -> dict[str, SequenceEmbedding]:
    """Return the embeddings of a generation by group; none where none were computed.

    Raises
    ------
    StoreError
        If the table is damaged.
    """
    data = embeddings_bytes(objects, generation)
    return decode_embeddings(data, f"{objects.url}: {EMBEDDINGS}") if data is not None else {}


def embeddings_bytes(objects: Objects, generation: Generation) -> bytes | None:
    """Return the table as it was committed, None where the generation has none."""
    if EMBEDDINGS not in generation.sha256:
        return None
    return read_committed(objects, generation, EMBEDDINGS)
