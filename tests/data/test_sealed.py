"""Sealed documents: the same bytes every time, and no changed bit goes unseen."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.errors import StoreError
from c2s_data.store.sealed import is_sealed, seal, unseal

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(), values, max_size=4))
def test_what_is_sealed_comes_back(document: dict[str, object]) -> None:
    data = seal(document)
    assert unseal(data, "x") == document
    assert seal(dict(reversed(document.items()))) == data


def test_every_flipped_bit_and_every_cut_is_seen() -> None:
    data = seal({"generation": 12, "name": "EMD-22898", "z": [1.5, None, True]})
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            assert not is_sealed(bytes(changed)), (place, bit)
        assert not is_sealed(data[:place])
    assert not is_sealed(data + b"\n")
    assert is_sealed(data)


def test_only_the_canonical_bytes_count_and_the_error_names_the_object() -> None:
    loose = json.dumps(json.loads(seal({"a": 1})), indent=1).encode()
    with pytest.raises(StoreError, match=r"plan\.json is damaged: its checksum"):
        unseal(loose, "plan.json")
    for wrong in (b"", b"[]", b"{}", b"nonsense", b"[" * 100_000):
        with pytest.raises(StoreError, match="is damaged"):
            unseal(wrong, "x")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        seal({"a": math.nan})
