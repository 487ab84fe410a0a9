"""Embed the sequences of a store's entries: each distinct sequence once, kept as the work goes."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from c2s_data.embed_store import put_embeddings
from c2s_data.errors import ConfigError, StoreError
from c2s_data.store.embeddings import SequenceEmbedding, text_sha256
from c2s_data.store.objects import Objects
from c2s_data.store.reader import Store, open_store
from c2s_model.embedding.embedders import Embedder
from c2s_model.embedding.entry_sequences import Copies, copies_in_text, mean_embedding

Vector = NDArray[np.float32]
Spread = Callable[
    [Callable[[str], Vector], Sequence[str]], Iterable[tuple[str, Vector | Exception]]
]
COMMIT_EVERY_S: Final = 1800.0
"""How much work a killed run may lose."""
_MAX_FILE_BYTES: Final = 2**32


@dataclass(frozen=True)
class Embedded:
    """What a run did: entries embedded now, those that had been, and why others were not."""

    new: tuple[str, ...]
    earlier: tuple[str, ...]
    without: Mapping[str, str]
    generation: int


def one_after_another(
    function: Callable[[str], Vector], sequences: Sequence[str]
) -> Iterator[tuple[str, Vector]]:
    """Embed in this process."""
    for sequence in sequences:
        yield sequence, function(sequence)


def embed_store(
    objects: Objects,
    embedder: Embedder,
    *,
    spread: Spread = one_after_another,
    commit_every_s: float = COMMIT_EVERY_S,
    on_sequence: Callable[[int, int], None] = lambda done, total: None,
) -> Embedded:
    """Embed every entry that has no embedding by this model of its present sequences.

    Parameters
    ----------
    objects
        A committed store.
    embedder
        The model.
    spread
        Embeds distinct sequences, in any order: in this process, or on workers. An exception in
        the place of a vector ends the run.
    commit_every_s
        What is finished is committed so often, so that a killed run goes on from there.
    on_sequence
        Called with how many distinct sequences are done, and how many there are.

    Raises
    ------
    ConfigError
        The model cannot be loaded.
    StoreError
        The store cannot be read or written.
    """
    store = open_store(objects.url)
    waiting = _waiting(store, embedder.model)
    earlier = tuple(e.entry_id for e in store.entries if e.entry_id not in waiting)
    without = {
        entry_id: "the store has no protein sequence of it"
        for entry_id, (_, copies) in waiting.items()
        if not copies
    }
    work = {entry_id: waiting[entry_id] for entry_id in waiting if entry_id not in without}
    distinct = {copies.sequence for _, all_copies in work.values() for copies in all_copies}
    # The longest first: one that comes last would keep all but one worker waiting.
    ordered = sorted(distinct, key=lambda sequence: (-len(sequence), sequence))
    vectors: dict[str, Vector] = {}
    new: list[str] = []
    generation, since = store.generation, time.monotonic()
    for done, (sequence, vector) in enumerate(spread(partial(mean_of, embedder), ordered), 1):
        if isinstance(vector, Exception):
            raise vector
        vectors[sequence] = vector
        on_sequence(done, len(ordered))
        if time.monotonic() - since > commit_every_s or done == len(ordered):
            finished = _finished(work, vectors, embedder.model)
            if finished:
                generation = put_embeddings(objects, finished).generation
            new += finished
            work = {entry_id: work[entry_id] for entry_id in work if entry_id not in finished}
            since = time.monotonic()
    return Embedded(tuple(new), earlier, without, generation)


def mean_of(embedder: Embedder, sequence: str) -> Vector:
    """Embed one sequence; what a worker runs."""
    return embedder.mean_of(sequence)


def take_file(objects: Objects, path: Path) -> Embedded:
    """Put embeddings into a store that were computed elsewhere.

    Parameters
    ----------
    objects
        A committed store.
    path
        ``.npz`` with one vector (S,) for each entry_id, and a text ``model``.

    Raises
    ------
    ConfigError
        Not such a file, or vectors of unequal width.
    StoreError
        It names no entry of the store, or the store cannot be written.
    """
    model, vectors = _read_npz(path)
    store = open_store(objects.url)
    ids = [entry.entry_id for entry in store.entries]
    new = [entry_id for entry_id in ids if entry_id in vectors]
    if not new:
        raise StoreError(
            f"{path}: none of its {len(vectors)} names is an entry of {objects.url}, whose catalog "
            f"begins with {', '.join(ids[:3])}"
        )
    found = {}
    for entry_id in new:
        fasta = store.sequences(entry_id)
        count = sum(len(one.sequence) * one.n for one in copies_in_text(fasta, entry_id))
        found[entry_id] = SequenceEmbedding(vectors[entry_id], model, text_sha256(fasta), count)
    committed = put_embeddings(objects, found)
    without = {entry_id: f"{path} has no vector of it" for entry_id in ids if entry_id not in found}
    return Embedded(tuple(new), (), without, committed.generation)


def _waiting(store: Store, model: str) -> dict[str, tuple[str, tuple[Copies, ...]]]:
    """Return sha256 and sequences of the entries that have no such embedding yet."""
    known = store.sequence_embeddings()
    waiting = {}
    for entry in store.entries:
        name = entry.entry_id
        fasta = store.sequences(name)
        sha256 = text_sha256(fasta)
        if name in known and (known[name].model, known[name].sequence_sha256) == (model, sha256):
            continue
        waiting[name] = sha256, copies_in_text(fasta, f"{store.url}: sequences of {name}")
    return waiting


def _finished(
    work: Mapping[str, tuple[str, tuple[Copies, ...]]], vectors: Mapping[str, Vector], model: str
) -> dict[str, SequenceEmbedding]:
    found = {}
    for entry_id, (sha256, copies) in work.items():
        if all(one.sequence in vectors for one in copies):
            vector, n_residues = mean_embedding(copies, vectors.__getitem__)
            found[entry_id] = SequenceEmbedding(vector, model, sha256, n_residues)
    return found


def _read_npz(path: Path) -> tuple[str, dict[str, Vector]]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ConfigError(f"{path}: more than 4 GiB of embeddings; give them in several files")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in arrays}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: no .npz of embeddings: {error}") from error
    model = str(found.pop("model", path.name))
    shapes = {array.shape for array in found.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ConfigError(
            f"{path}: its arrays have the shapes {sorted(shapes)[:3]}; one vector of the same "
            "width for each entry_id is needed"
        )
    return model, {name: array.astype(np.float32) for name, array in found.items()}
