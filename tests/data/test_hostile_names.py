"""Nothing is written outside a store, whatever a catalog or a plan calls its entries."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_names import HOSTILE_NAMES, TWINS, everything_below
from hypothesis import given
from hypothesis import strategies as st
from made_maps import made_map, made_plan

from c2s_data.build import run_entries
from c2s_data.config import make_config
from c2s_data.errors import C2SError, CatalogError
from c2s_data.plan import make_plan
from c2s_data.sources.catalog import check_entry_id, read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.writer import write_entry

CONFIG = make_config("recommended")


def catalog_of(path: Path, *names: str) -> Path:
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        writer = csv.writer(stream)
        writer.writerow(["entry_id", "map", "model", "resolution_A"])
        writer.writerows([name, "DEMO-0003.map.gz", "DEMO-0003.cif", "3"] for name in names)
    return path


def test_there_are_enough() -> None:
    assert len(set(HOSTILE_NAMES)) >= 50


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_hostile_name_is_refused_alone_and_in_a_catalog(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatalogError, match="not usable") as caught:
        check_entry_id(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500
    if name == name.strip():  # a catalog's fields are taken without the blanks around them
        with pytest.raises(CatalogError):
            read_catalog(catalog_of(tmp_path / "catalog.csv", name))


@pytest.mark.parametrize("pair", TWINS)
def test_names_that_differ_in_case_alone_are_refused_together(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    for name in pair:
        assert check_entry_id(name) == name
    with pytest.raises(CatalogError, match="occurs twice"):
        read_catalog(catalog_of(tmp_path / "catalog.csv", *pair))


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9._/-]{1,70}"))
def test_whatever_passes_is_one_plain_component(name: str) -> None:
    try:
        check_entry_id(name)
    except CatalogError:
        return
    assert name.isascii()
    assert Path("/store/maps", name).resolve() == Path("/store/maps") / name
    assert Path(name).name == name
    assert 1 <= len(name) <= 64
    assert name[0].isalnum()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_plan_with_a_hostile_name_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    """The plan does not come from a catalog that was checked: as one read from a store."""
    store = tmp_path / "deep" / "down" / "made.zarr"
    objects = open_objects(store)
    plan = made_plan(CONFIG, shapes=((9, 10, 11),))
    begin_store(objects, plan)
    before = everything_below(tmp_path)
    (planned,) = plan.entries
    hostile = replace(planned, entry=replace(planned.entry, entry_id=name))
    made = made_map(planned, CONFIG)
    with suppress(C2SError, OSError, ValueError):  # no name of a file, or none inside the store
        write_entry(objects, Layout.of(CONFIG), hostile, made)
    inside = str(store.relative_to(tmp_path))
    new = everything_below(tmp_path) - before
    assert [path for path in new if not path.startswith(f"{inside}/")] == []


def test_a_real_build_writes_below_its_store_alone(
    demo_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    store = tmp_path / "made.zarr"
    inputs = everything_below(demo_catalog.parent)
    catalog = catalog_of(demo_catalog.with_name("names.csv"), "EMD-0003_mine.v2")
    try:
        plan = make_plan(read_catalog(catalog), CONFIG)
        begin_store(open_objects(store), plan)
        seen = []
        run_entries(str(store), plan, plan.buildable, seen.append)
    finally:
        catalog.unlink()
    assert [outcome.failure for outcome in seen] == [None]
    assert everything_below(working) == set()
    assert everything_below(demo_catalog.parent) == inputs
    assert {path.name for path in tmp_path.iterdir()} == {"working", "made.zarr"}
    assert (store / "maps" / "EMD-0003_mine.v2").is_dir()
