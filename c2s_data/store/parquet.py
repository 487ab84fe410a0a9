"""Tables as Parquet objects: the same bytes for the same table, read without side effects."""

from __future__ import annotations

import io
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from c2s_data.errors import StoreError

MAX_NBYTES: Final = 2**30
"""Decoded bytes of a table; a catalog of 100,000 maps has a tenth of that."""


def encode_table(table: Any) -> bytes:  # noqa: ANN401 - pyarrow has no types
    """Return a ``pyarrow.Table`` as one Parquet object."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def decode_table(data: bytes, where: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return the ``pyarrow.Table`` of a Parquet object.

    Raises
    ------
    StoreError
        If it is none, or claims more than `MAX_NBYTES`; ``where`` names the object.
    """
    try:
        # pq.read_table leaves reading to threads that may outlive the interpreter and abort it.
        file = pq.ParquetFile(pa.BufferReader(data), pre_buffer=False)
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        if sum(group.total_byte_size for group in groups) > MAX_NBYTES:
            raise StoreError(f"{where}: the table claims more than {MAX_NBYTES / 1e9:.1f} GB")
        return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{where}: the table cannot be read: {error}") from error
