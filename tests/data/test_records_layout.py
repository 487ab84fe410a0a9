"""Names of the published layout, and names that must not become paths."""

from __future__ import annotations

import pytest

from c2s_data.errors import C2SError
from c2s_data.records.layout import emdb_id_of_folder, mask_file, names_of_entries


def row(entry_id: str, emdb_id: str | None = None, pdb_id: str | None = None) -> dict:
    return {"entry_id": entry_id, "emdb_id": emdb_id, "pdb_id": pdb_id}


def test_an_entry_lies_where_the_published_one_does() -> None:
    names = names_of_entries([row("EMD-22898", "EMD-22898", "7KJR"), row("x", "EMD-0093", "6gyn")])
    first, second = names["EMD-22898"], names["x"]
    assert (first.path, second.path) == ("EMD_2/22898", "EMD_0/0093")
    assert first.raw_map == "emd_22898.map"
    assert first.model(".pdb") == "7kjr.pdb"
    parts = [first.part(value, ".pdb") for value in (1, 2, 3)]
    assert parts == ["7kjr_coil.pdb", "7kjr_helix.pdb", "7kjr_strand.pdb"]
    assert [mask_file(name) for name in ("atom", "ca", "amino", "secondary")] == [
        "atom_emd_normalized_map.mrc",
        "atom_ca_emd_normalized_map.mrc",
        "amino_emd_normalized_map.mrc",
        "sec_struc_emd_normalized_map.mrc",
    ]


def test_entries_without_identifiers_have_stated_names() -> None:
    names = names_of_entries([row("22898"), row("EMD-22898", "EMD-22898")])
    assert names["22898"].path == "EMD_other/22898"
    assert names["22898"].raw_map == "emd_22898.map"
    assert names["22898"].model(".cif") == "22898.cif"
    assert names["EMD-22898"].model(".pdb") == "EMD-22898.pdb"


def test_entries_of_one_map_do_not_share_a_folder() -> None:
    rows = [row("a", "EMD-1234", "1abc"), row("b", "EMD-1234", "2abc"), row("1234", "EMD-5678")]
    paths = [names.path for names in names_of_entries(rows).values()]
    assert paths == ["EMD_1/1234_a", "EMD_1/1234_b", "EMD_5/5678"]


@pytest.mark.parametrize(
    "bad",
    [
        row("../up"),
        row("a/b"),
        row("a", "EMD-../../1"),
        row("a", "EMD-1234/x"),
        row("a", "EMD-1234", "../7kjr"),
        row("a", "EMD-1234", "7kjr\n"),
        row("a", "", None),
    ],
)
def test_a_name_that_could_leave_its_folder_is_refused(bad: dict) -> None:
    with pytest.raises(C2SError):
        names_of_entries([bad])


def test_folders_of_archives_are_known_by_their_number() -> None:
    names = ["22898", "0093", "emd_22898", "EMD-22898", "EMD_2", "7kjr", "22898_x", "1234567"]
    assert [emdb_id_of_folder(name) for name in names] == [
        "EMD-22898", "EMD-0093", "EMD-22898", "EMD-22898", None, None, None, None,
    ]  # fmt: skip
