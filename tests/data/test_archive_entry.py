"""What an entry's document adds to a search result, whatever its shape."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_tree import ArchiveTree, Fault, TreeEntry, archive_tree
from hypothesis import given
from hypothesis import strategies as st

from c2s_data.sources.archive_entry import add_details, details_of, lacks_details, read_entry
from c2s_data.sources.archive_rows import COLUMNS
from c2s_data.sources.bounded_documents import DocumentError
from c2s_data.sources.bounded_json import inner, listed, parse_json, plain_text
from c2s_data.sources.download import DownloadError
from c2s_data.sources.politeness import FetchPolicy, Hosts

QUICK = FetchPolicy(tries=3, pause_s=0.01, file_pace_s=0.0001, api_pace_s=0.0001, timeout_s=2.0)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ArchiveTree]:
    entries = [TreeEntry(f"EMD-{1000 + n}", pdb_id="7kjr", resolution_A=n) for n in range(1, 8)]
    with archive_tree(tmp_path, entries) as served:
        yield served


# As EMDB writes it, of a made-up entry: values in {"valueOf_": ...}, lists within lists.
DOCUMENT = {
    "admin": {"title": "Entry title"},
    "crossreferences": {
        "citation_list": {
            "primary_citation": {
                "citation_type": {"title": "Article title", "journal": "Nature", "published": True}
            }
        },
        "pdb_list": {
            "pdb_reference": [
                {"pdb_id": "1abc", "relationship": {"in_frame": "NOOVERLAP"}},
                {"pdb_id": "2ABC", "relationship": {"in_frame": "FULLOVERLAP"}},
                {"pdb_id": "../x", "relationship": {"in_frame": "FULLOVERLAP"}},
            ]
        },
    },
    "map": {
        "contour_list": {
            "contour": [
                {"level": 0.5, "primary": False},
                {"level": 0.02, "primary": True, "source": "AUTHOR"},
            ]
        }
    },
    "structure_determination_list": {
        "structure_determination": [
            {
                "method": "singleParticle",
                "image_processing": [
                    {
                        "ctf_correction": {"software_list": {"software": [{"name": "Gctf"}]}},
                        "final_reconstruction": {
                            "resolution": {"valueOf_": "3.97", "units": "Å"},
                            "software_list": {
                                "software": [
                                    {"name": "RELION", "version": "3.0"},
                                    {"name": "RELION", "version": "3.0"},
                                ]
                            },
                        },
                    }
                ],
            }
        ]
    },
}


def test_an_entrys_document_fills_what_is_empty() -> None:
    row = dict.fromkeys(COLUMNS, "") | {"emdb_id": "EMD-1001", "pdb_id": "1abc", "journal": "Cell"}
    row["other_pdb_ids"] = "3abc 2abc"
    told = add_details(row, DOCUMENT)
    assert told["journal"] == "Cell"
    assert (told["title"], told["article"]) == ("Entry title", "Article title")
    assert (told["contour_level"], told["software"]) == ("0.02", "RELION 3.0")
    assert told["method"] == "singleParticle"
    assert (told["pdb_id"], told["other_pdb_ids"]) == ("2abc", "1abc 3abc")
    assert not lacks_details(told)
    assert add_details(row | {"other_pdb_ids": ""}, DOCUMENT)["pdb_id"] == "1abc"
    listed_twice = copy.deepcopy(DOCUMENT)
    references = listed_twice["crossreferences"]["pdb_list"]["pdb_reference"]
    references.append({"pdb_id": "1abc", "relationship": {"in_frame": "FULLOVERLAP"}})
    assert add_details(row, listed_twice)["pdb_id"] == "1abc"


def test_software_of_other_steps_where_the_last_names_none() -> None:
    document = copy.deepcopy(DOCUMENT)
    step = document["structure_determination_list"]["structure_determination"][0]
    del step["image_processing"][0]["final_reconstruction"]["software_list"]
    assert details_of(document)["software"] == "Gctf"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda deeper: st.lists(deeper, max_size=3)
    | st.dictionaries(
        st.sampled_from(["map", "contour_list", "contour", "admin", "title", "crossreferences",
                         "structure_determination_list", "image_processing", "software_list"]),
        deeper,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_document_gives_text(document: object) -> None:
    assert all(isinstance(value, str) for value in details_of(document).values())
    add_details(dict.fromkeys(COLUMNS, ""), document)


def test_documents_come_from_the_service_within_bounds(tree: ArchiveTree) -> None:
    hosts, api = Hosts(QUICK), f"{tree.url}/emdb/api"
    assert inner(read_entry("EMD-1003", hosts, api=api), "emdb_id") == "EMD-1003"
    tree.fault("/entry/", Fault(body=b"<html>"), Fault(body=b"[" * 200_000))
    for _ in range(2):
        with pytest.raises(DocumentError, match="EMD-1003: its document"):
            read_entry("EMD-1003", hosts, api=api)
    with pytest.raises(DownloadError, match="status 404"):
        read_entry("EMD-9999", hosts, api=api)
    with pytest.raises(DocumentError, match="more than the 10 allowed"):
        parse_json(b" " * 11, max_bytes=10)


def test_values_are_looked_for_without_trust() -> None:
    document = {"a": [{"b": 1}], "c": None}
    assert inner(document, "a", 0, "b") == 1
    assert inner(document, "a", 1, "b") is inner(document, "a", "b") is inner(5, "x") is None
    assert listed(document, "c") == listed(document, "x") == []
    assert listed(document, "a", 0) == [{"b": 1}]
    assert plain_text({"valueOf_": " 3.9\n7 "}) == "3.9 7"
    assert plain_text(["x"]) == plain_text(None) == plain_text(True) == ""
    assert plain_text("a\u202eb\x07") == "a b"
    assert len(plain_text("x" * 10**6)) == 2000
