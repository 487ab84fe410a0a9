"""Sequence embeddings: a table of a generation, kept, verified and repaired like the rest."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from grown_store import REBUILT, make_first_generation, make_grown_store

from c2s_data.embed_store import put_embeddings
from c2s_data.errors import StoreError
from c2s_data.repair import repair
from c2s_data.split_store import split_store
from c2s_data.store.begin import load_plan
from c2s_data.store.embeddings import (
    EMBEDDINGS,
    SequenceEmbedding,
    decode_embeddings,
    encode_embeddings,
    text_sha256,
)
from c2s_data.store.garbage import find_garbage, remove
from c2s_data.store.layout import generation_key
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.verify import verify


def made(number: int, model: str = "m", width: int = 5) -> SequenceEmbedding:
    vector = np.arange(width, dtype=np.float32) / 3 + number
    return SequenceEmbedding(vector, model, text_sha256(f"MK{number}"), 7 + number)


def same(a: SequenceEmbedding, b: SequenceEmbedding) -> bool:
    rest = (a.model, a.sequence_sha256, a.n_residues) == (b.model, b.sequence_sha256, b.n_residues)
    return rest and a.vector.dtype == np.float32 and np.array_equal(a.vector, b.vector)


@pytest.fixture
def objects(tmp_path: Path):
    found = open_objects(tmp_path / "store.zarr")
    make_first_generation(found)
    return found


def test_a_table_comes_back_to_the_bit_and_in_any_order_is_the_same_bytes() -> None:
    table = {f"EMD-{number}": made(number) for number in (3, 1, 2)}
    data = encode_embeddings(table)
    assert data == encode_embeddings(dict(reversed(table.items())))
    found = decode_embeddings(data, "here")
    assert list(found) == ["EMD-1", "EMD-2", "EMD-3"]
    assert all(same(found[name], table[name]) for name in table)
    assert decode_embeddings(encode_embeddings({}), "here") == {}


def test_two_models_or_a_broken_one_make_no_table() -> None:
    with pytest.raises(StoreError, match=r"of a \(5 numbers\) and of b \(5 numbers\)"):
        encode_embeddings({"A": made(1, "a"), "B": made(2, "b")})
    with pytest.raises(StoreError, match=r"of m \(5 numbers\) and of m \(6 numbers\)"):
        encode_embeddings({"A": made(1), "B": made(2, width=6)})
    broken = replace(made(1), vector=np.array([1, math.nan], np.float32))
    with pytest.raises(StoreError, match="of B is not finite"):
        encode_embeddings({"B": broken, "A": made(1, width=2)})
    with pytest.raises(StoreError, match="here"):
        decode_embeddings(b"no table", "here")


def test_embeddings_are_a_generation_and_earlier_ones_stay_as_they_were(objects) -> None:
    done = put_embeddings(objects, {"MADE-0": made(0)})
    assert (done.generation, done.is_new) == (2, True)
    assert open_store(objects.url, 1).sequence_embeddings() == {}
    assert put_embeddings(objects, {"MADE-0": made(0)}).is_new is False
    assert put_embeddings(objects, {"MADE-1": made(1)}).generation == 3
    found = open_store(objects.url).sequence_embeddings()
    assert found.keys() == {"MADE-0", "MADE-1"}
    assert same(found["MADE-0"], made(0))
    assert same(found["MADE-1"], made(1))
    assert put_embeddings(objects, {"MADE-1": made(4, "other")}).generation == 4
    assert open_store(objects.url).sequence_embeddings().keys() == {"MADE-1"}


def test_a_new_split_keeps_them(objects) -> None:
    put_embeddings(objects, {"MADE-1": made(1)})
    names = [planned.entry_id for planned in load_plan(objects).live]
    committed = split_store(objects, dict.fromkeys(names, "test"))
    assert committed is not None
    assert committed.generation == 3
    found = open_store(objects.url)
    assert {entry.split for entry in found.entries} == {"test"}
    assert same(found.sequence_embeddings()["MADE-1"], made(1))


def test_an_entry_that_is_not_there_gets_none(objects) -> None:
    with pytest.raises(StoreError, match=r"1 embeddings belong to no entry .* \(MADE-77 is"):
        put_embeddings(objects, {"MADE-77": made(1), "MADE-0": made(0)})
    assert open_store(objects.url).generation == 1


def test_a_rebuilt_entry_waits_for_its_own(tmp_path: Path) -> None:
    objects = open_objects(tmp_path / "grown.zarr")
    make_grown_store(objects)
    group = open_store(objects.url).entry(REBUILT).group
    assert group == f"{REBUILT}.r2"
    put_embeddings(objects, {REBUILT: made(2)})
    assert same(open_store(objects.url).sequence_embeddings()[REBUILT], made(2))
    assert not verify(objects, "full").faults


def damage(objects, key: str) -> None:
    data = bytearray(objects.get(key))
    data[len(data) // 2] ^= 0x40
    Path(objects.url, key).write_bytes(data)


def test_verify_names_a_damaged_table_and_repair_copies_it_from_another_generation(objects) -> None:
    put_embeddings(objects, {"MADE-1": made(1)})
    names = [planned.entry_id for planned in load_plan(objects).live]
    split_store(objects, dict.fromkeys(names, "validation"))
    assert not verify(objects, "full").faults
    key = generation_key(3, EMBEDDINGS)
    good = objects.get(key)
    damage(objects, key)
    assert [(fault.kind, fault.key) for fault in verify(objects).faults] == [("changed", key)]
    with pytest.raises(StoreError, match="embeddings"):
        open_store(objects.url).sequence_embeddings()
    assert repair(objects).restored == (key,)
    assert objects.get(key) == good
    objects.delete(key)
    assert [(fault.kind, fault.key) for fault in verify(objects).faults] == [("missing", key)]
    assert not repair(objects).after.faults


def test_the_only_table_cannot_be_repaired_and_the_reason_says_what_to_do(objects) -> None:
    put_embeddings(objects, {"MADE-1": made(1)})
    key = generation_key(2, EMBEDDINGS)
    damage(objects, key)
    refused = repair(objects).refused
    assert list(refused) == [key]
    assert "c2s-model embed" in refused[key]


@pytest.mark.parametrize("name", ["COMMITTED", "catalog.parquet", "manifest.parquet"])
def test_the_other_documents_of_such_a_generation_are_still_repaired(objects, name: str) -> None:
    put_embeddings(objects, {"MADE-1": made(1)})
    key = generation_key(2, name)
    good = objects.get(key)
    objects.delete(key)
    assert repair(objects).restored == (key,)
    assert objects.get(key) == good
    assert same(open_store(objects.url).sequence_embeddings()["MADE-1"], made(1))


def test_gc_removes_the_tables_of_generations_that_are_given_up(objects) -> None:
    put_embeddings(objects, {"MADE-1": made(1)})
    put_embeddings(objects, {"MADE-1": made(5)})
    garbage = find_garbage(objects, load_plan(objects), keep=1)
    assert generation_key(2, EMBEDDINGS) in [key for key, _ in garbage.objects]
    remove(objects, garbage)
    assert same(open_store(objects.url).sequence_embeddings()["MADE-1"], made(5))
    assert not verify(objects, "full").faults
