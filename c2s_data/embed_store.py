"""Sequence embeddings join a store: a generation in which nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping

from c2s_data.errors import StoreError
from c2s_data.store.begin import load_plan
from c2s_data.store.commit import Committed, commit
from c2s_data.store.embeddings import SequenceEmbedding, encode_embeddings
from c2s_data.store.lease import hold
from c2s_data.store.objects import Objects
from c2s_data.store.reader import open_store


def put_embeddings(objects: Objects, found: Mapping[str, SequenceEmbedding]) -> Committed:
    """Commit embeddings by entry_id; those of other entries stay if they are of the same model.

    Parameters
    ----------
    objects
        The store.
    found
        What was computed.

    Raises
    ------
    StoreError
        If an entry is not in the store, embeddings of two models would meet, or a build is under
        way: its commit has to come first.
    LeaseError
        If another process holds the store's lease.
    """
    with hold(objects, "embed") as lease:
        store = open_store(objects.url)
        groups = {entry.entry_id: entry.group for entry in store.entries}
        unknown = sorted(found.keys() - groups.keys())
        if unknown:
            raise StoreError(
                f"{objects.url}: {len(unknown)} embeddings belong to no entry of generation "
                f"{store.generation} ({unknown[0]} is the first); compute them for what it holds"
            )
        models = {embedding.model for embedding in found.values()}
        earlier = {
            entry_id: embedding
            for entry_id, embedding in store.sequence_embeddings().items()
            if not models or embedding.model in models
        }
        table = encode_embeddings(
            {groups[entry_id]: embedding for entry_id, embedding in (earlier | dict(found)).items()}
        )
        lease.check()
        return commit(objects, load_plan(objects), lease.check, embeddings=table)
