"""What `plan --estimate` says, against stores that were built and requests that were counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from c2s_data.build import run_entries
from c2s_data.cli import app
from c2s_data.config import make_config
from c2s_data.errors import ConfigError
from c2s_data.estimate import Estimate, build_seconds, cost, estimate, objects_of, typical_entry
from c2s_data.plan import PlannedEntry, make_plan
from c2s_data.rates import BUILT_IN, read_rates
from c2s_data.sources.catalog import CatalogEntry, read_catalog
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.objects import open_objects
from c2s_data.store.receipt import read_receipt
from c2s_data.store.retry import NameTakenError, NoSuchObjectError

LIST_MAX = 1000


class CountingClient:
    """A service that counts what is asked of it, as a bill would."""

    repeats_itself = False

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()
        self.tags_md5 = False

    def put(self, key, data):
        self.counts["write"] += 1
        self.stored[key] = data
        return self._tag(data)

    def _tag(self, data):
        return hashlib.md5(data, usedforsecurity=False).hexdigest() if self.tags_md5 else "a tag"

    def create(self, key, data):
        self.counts["write"] += 1
        if key in self.stored:
            raise NameTakenError(key)
        self.stored[key] = data
        return self._tag(data)

    def get(self, key, nbytes):
        return self._stored(key)

    def span(self, key, start, stop):
        return self._stored(key)[start:stop]

    def tail(self, key, nbytes):
        return self._stored(key)[-nbytes:]

    def size(self, key):
        return len(self._stored(key))

    def _stored(self, key):
        self.counts["read"] += 1
        try:
            return self.stored[key]
        except KeyError:
            raise NoSuchObjectError(key) from None

    def delete(self, key):
        self.counts["delete"] += 1
        self.stored.pop(key, None)

    def names(self, prefix):
        start = f"{prefix}/" if prefix else ""
        found = {k.removeprefix(start).split("/")[0] for k in self.stored if k.startswith(start)}
        self.counts["write"] += max(1, -(-len(found) // LIST_MAX))  # billed as a write
        return sorted(found)

    def walk(self, prefix):
        start = f"{prefix}/" if prefix else ""
        found = [(k, len(v)) for k, v in self.stored.items() if k.startswith(start)]
        self.counts["write"] += max(1, -(-len(found) // LIST_MAX))
        return found


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> CountingClient:
    client = CountingClient()
    monkeypatch.setattr("c2s_data.store.remote_objects.open_client", lambda url, policy: client)
    return client


def counted(catalog: Path, preset: str, client: CountingClient) -> tuple[int, int, Estimate]:
    """Build a store in an empty service; return writes, reads and what was expected."""
    client.stored.clear()
    client.counts.clear()
    plan = make_plan(read_catalog(catalog), make_config(preset))
    objects = open_objects("s3://bucket/dataset.zarr")
    begin_store(objects, plan)
    run_entries(objects.url, plan, plan.entries, lambda outcome: None)
    commit(objects, plan)
    writes, reads = client.counts["write"], client.counts["read"]
    for entry in plan.entries:
        receipt = read_receipt(objects, entry.group)
        assert objects_of(entry, plan.config) == len(receipt.objects)
    return writes, reads, estimate(plan, read_rates())


@pytest.mark.parametrize("tags_md5", [False, True])
@pytest.mark.parametrize("preset", ["paper", "recommended"])
def test_objects_and_requests_are_those_of_a_build(
    demo_catalog: Path, service: CountingClient, preset: str, tags_md5: bool
) -> None:
    service.tags_md5 = tags_md5
    header, row, *_ = demo_catalog.read_text().splitlines()
    name = row.split(",")[0]

    def catalog(n: int) -> Path:
        rows = [row.replace(f"{name},", f"{name}-{i},", 1) for i in range(n)]
        path = demo_catalog.parent / f"{n}.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    one, three = (counted(catalog(n), preset, service) for n in (1, 3))
    # Exactly for each further map; what a store needs once is a few dozen of millions.
    assert three[0] - one[0] == three[2].n_writes - one[2].n_writes
    # What a service tags with its MD5 is not read back.
    spared = [(taken.n_objects + taken.n_maps) * tags_md5 for _, _, taken in (one, three)]
    assert three[1] - one[1] == three[2].n_reads - one[2].n_reads - (spared[1] - spared[0])
    assert 0 <= one[0] - one[2].n_writes <= 40
    assert 0 <= one[1] - (one[2].n_reads - spared[0]) <= 80


def table(tmp_path: Path, change=lambda document: None) -> Path:
    document = yaml.safe_load(BUILT_IN.read_text())
    change(document)
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def plain(document) -> None:
    """Prices and seconds that can be reckoned with in the head."""
    times = {"map": 1.0, "source_megavoxel": 10.0, "subgrid_thousand": 100.0}
    document["build_seconds"]["linear"] = times
    prices = {"core_hour": 2, "storage_gb_month": 3, "write_1000": 5, "read_1000": 7}
    document["sites"] = {
        "here": {
            name: {"usd": usd, "date": "2026-01-01", "for": "a test"}
            for name, usd in (prices | {"leaving_gb": 11}).items()
        }
    }


def test_seconds_and_money_follow_the_formulas(tmp_path: Path) -> None:
    rates = read_rates(table(tmp_path, plain))
    entry = PlannedEntry(
        0,
        CatalogEntry("a", "a.map", "a.cif", 3.0),
        source_shape_zyx=(100, 200, 300),
        n_subgrids=500,
    )
    assert build_seconds(entry, make_config("paper"), rates) == 1 + 6 * 10 + 0.5 * 100
    taken = Estimate(
        n_maps=1,
        n_typical=0,
        n_subgrids=500,
        core_s=7200,
        input_bytes=1,
        store_bytes=4 * 10**9,
        n_objects=1,
        n_writes=2000,
        n_reads=3000,
    )
    spent = cost(taken, rates.sites["here"])
    assert (spent.cores, spent.requests, spent.build) == (4, 2 * 5 + 3 * 7, 35)
    assert (spent.storage_month, spent.leaving) == (12, 44)
    assert taken.moved_bytes == 1 + 8 * 10**9


def test_the_spline_and_the_quality_take_their_own_seconds() -> None:
    rates = read_rates()
    entry = typical_entry(rates, make_config("paper"))
    linear, quality = (
        build_seconds(entry, make_config(p), rates) for p in ("paper", "recommended")
    )
    assert 0 < linear < quality
    one_of_them = make_config("recommended", quality=False, gate="off")
    assert build_seconds(entry, one_of_them, rates) == quality


def test_maps_that_are_not_here_count_as_typical(demo_catalog: Path, tmp_path: Path) -> None:
    rates, config = read_rates(), make_config("paper")
    here = estimate(make_plan(read_catalog(demo_catalog), config), rates)
    lines = demo_catalog.read_text().splitlines()
    text = "\n".join(lines).replace("DEMO-0001.map", "ABSENT.map")
    catalog = demo_catalog.parent / "one-absent.csv"
    catalog.write_text(text + "\n")
    mixed = estimate(make_plan(read_catalog(catalog), config), rates)
    assert (here.n_typical, mixed.n_typical, mixed.n_maps) == (0, 1, here.n_maps)
    planned = make_plan(read_catalog(demo_catalog), config).entries
    absent = next(e for e in planned if "DEMO-0001.map" in e.entry.map)
    assert mixed.n_subgrids - here.n_subgrids == rates.typical_map.subgrids - absent.n_subgrids
    # 43 million subgrids in 7,600 maps of the published dataset.
    assert round(rates.typical_map.subgrids * 7600, -6) == 43_000_000


def test_every_price_has_a_date_and_says_what_to_do_with_it() -> None:
    sites = read_rates().sites
    assert set(sites) == {"own", "aws", "gcp", "azure"}
    for site in sites.values():
        for price in site.prices():
            assert price.date.year >= 2025
            assert price.usd == 0 or price.meaning.endswith("list price, to be checked")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["sites"]["aws"].update(core_hours={}), "sites.aws.core_hours: Extra"),
        (lambda d: d["sites"]["aws"].pop("core_hour"), "sites.aws.core_hour: Field required"),
        (lambda d: d["sites"]["gcp"]["leaving_gb"].update(usd=-1), "sites.gcp.leaving_gb.usd"),
        (lambda d: d["sites"]["gcp"]["leaving_gb"].update(usd=".nan"), "leaving_gb.usd"),
        (lambda d: d["build_seconds"].pop("quality"), "build_seconds.quality: Field required"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, change, told: str) -> None:
    with pytest.raises(ConfigError, match=r"rates\.yaml") as caught:
        read_rates(table(tmp_path, change))
    assert told in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_rates(tmp_path / "none.yaml")


def test_the_command_prints_and_writes_nothing(demo_catalog: Path, tmp_path: Path) -> None:
    before = sorted(demo_catalog.parent.iterdir())
    rates = str(table(tmp_path, plain))
    done = CliRunner().invoke(app, ["plan", str(demo_catalog), "--estimate", "--rates", rates])
    assert done.exit_code == 0, done.output
    assert "core hours" in done.output
    assert "here" in done.output
    assert "from 2026-01-01 to 2026-01-01" in done.output
    assert sorted(demo_catalog.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--estimate", "store.zarr"], "plan takes a store to lay out, or --estimate"),
        ([], "plan takes a store to lay out, or --estimate"),
        (["store.zarr", "--rates", "rates.yaml"], "--rates is what --estimate reckons with"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    demo_catalog: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", str(demo_catalog), *words])
    assert isinstance(done.exception, ConfigError)
    assert told in str(done.exception)
    assert list(tmp_path.iterdir()) == []
