"""Maps of a store as datasets: the stored voxels where they belong, read when they are used."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from made_maps import ORIGIN_XYZ_A, made_map, made_plan

import c2s_data
from c2s_data.errors import ConfigError, StoreError
from c2s_data.schema import CLASS_NAMES
from c2s_data.sources.density_map import read_density_map
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.map_array import MapArray
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import Store, open_store
from c2s_data.store.writer import write_entry

ENTRY, SHAPE_ZYX = "MADE-0", (41, 33, 52)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    objects = open_objects(tmp_path_factory.mktemp("look") / "look.zarr")
    plan = begin_store(objects, made_plan())
    for planned in plan.entries:
        write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))
    commit(objects, plan)
    return open_store(objects.url)


def test_a_map_has_its_voxels_at_their_places(store: Store) -> None:
    opened = c2s_data.open_map(store.url, ENTRY)
    assert set(opened.data_vars) == {"density", "atom", "ca", "amino", "secondary", "ignore"}
    for name, variable in opened.data_vars.items():
        np.testing.assert_array_equal(variable, store.read_map(ENTRY, name))
        assert variable.dtype == store.read_map(ENTRY, name).dtype
    for axis, origin, n in zip("zyx", ORIGIN_XYZ_A[::-1], SHAPE_ZYX, strict=True):
        np.testing.assert_allclose(opened[axis], origin + np.arange(n))


def test_coordinates_are_those_that_are_stored(store: Store) -> None:
    for level in (0, 1, 2):
        opened = c2s_data.open_map(store, ENTRY, level)
        with xr.open_zarr(f"{store.url}/maps/{ENTRY}/s{level}") as plain:
            for axis in "zyx":
                np.testing.assert_array_equal(opened[axis], plain[axis])
                assert opened[axis].attrs == plain[axis].attrs
            np.testing.assert_array_equal(opened["density"], plain["density"])
            assert opened["density"].attrs == plain["density"].attrs


def test_flags_say_what_the_values_of_a_mask_mean(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    for name in ("atom", "ca", "secondary", "ignore"):
        attributes = opened[name].attrs
        meanings = attributes["flag_meanings"].split()
        assert attributes["flag_values"] == list(range(len(meanings)))
        assert meanings == [text.replace(" ", "_") for text in CLASS_NAMES[name]]
        assert attributes["long_name"]
    assert opened["amino"].attrs["flag_values"][-1] == 255
    assert opened["density"].attrs["units"] == "1"


def test_opening_reads_no_voxel_and_a_slice_only_its_chunks(store: Store, monkeypatch) -> None:
    asked = []
    read = MapArray.read
    monkeypatch.setattr(
        MapArray, "read", lambda self, window: asked.append(window) or read(self, window)
    )
    opened = c2s_data.open_map(store.url, ENTRY)
    assert (opened.sizes["z"], opened.nbytes > 0, asked) == (41, True, [])
    opened["ca"].isel(y=5).load()
    assert asked == [(slice(0, 41), slice(5, 6), slice(0, 52))]


def test_a_map_travels_to_a_worker_without_its_catalog(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)[["density"]]
    opened["density"].isel(z=0).load()
    sent = pickle.dumps(opened)
    assert b"percentile_value" not in pickle.dumps(opened["density"].drop_attrs())
    np.testing.assert_array_equal(pickle.loads(sent)["density"], store.read_map(ENTRY, "density"))


def test_a_catalog_has_a_row_for_every_entry(store: Store) -> None:
    catalog = c2s_data.open_catalog(store.url)
    assert catalog["entry"].values.tolist() == ["MADE-0", "MADE-1"]
    assert catalog["resolution_A"].values.tolist() == [2.5, 3.5]
    assert catalog["split"].values.tolist() == ["train", "validation"]
    np.testing.assert_array_equal(catalog["shape_zyx"].sel(entry="MADE-0"), SHAPE_ZYX)
    np.testing.assert_array_equal(catalog["origin_xyz_A"].isel(entry=1), ORIGIN_XYZ_A)
    assert catalog["excluded_atoms"].values[0] == '{"ion": 2}'
    assert catalog["failure_reason"].values.tolist() == ["", ""]
    assert np.isnan(catalog["contour_level"]).all()


def test_a_tree_holds_all_levels_of_the_chosen_maps(store: Store) -> None:
    tree = c2s_data.open_tree(store, ["MADE-1"])
    assert list(tree.children) == ["MADE-1"]
    assert list(tree["MADE-1"].children) == ["s0", "s1", "s2"]
    coarse = tree["MADE-1/s2"]["density"]
    np.testing.assert_array_equal(coarse, store.read_map("MADE-1", "density", 2))
    assert float(coarse["x"][0]) == ORIGIN_XYZ_A[0] + 1.5
    assert set(c2s_data.open_tree(store).children) == {"MADE-0", "MADE-1"}


def test_what_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no entry 'MADE-7'"):
        c2s_data.open_map(store, "MADE-7")
    with pytest.raises(StoreError, match="levels 0 to 2, not 3"):
        c2s_data.open_map(store, ENTRY, 3)
    with pytest.raises(StoreError, match="no entry"):
        c2s_data.open_tree(store, ["MADE-7"])


def test_positions_and_voxels_are_each_others_inverse(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    x, y, z = ORIGIN_XYZ_A
    np.testing.assert_allclose(opened.c2s.to_voxel([x + 3, y + 2.5, z - 1]), [-1, 2.5, 3])
    np.testing.assert_allclose(opened.c2s.to_world([[4, 0, 7]]), [[x + 7, y, z + 4]])
    part = opened.isel(z=slice(10, 20), x=slice(None, None, 2))
    np.testing.assert_allclose(part.c2s.to_voxel([x + 4, y, z + 12]), [2, 0, 2])
    np.testing.assert_allclose(part.c2s.to_world([2, 0, 2]), [x + 4, y, z + 12])
    coarse = c2s_data.open_map(store, ENTRY, 2)
    np.testing.assert_allclose(coarse.c2s.to_voxel([x + 1.5, y + 5.5, z + 1.5]), [0, 1, 0])
    assert coarse.c2s.voxel_size_zyx_A == (4.0, 4.0, 4.0)


@pytest.mark.parametrize("number", [0, 11, 15])
def test_a_subgrid_is_the_row_that_a_loader_reads(store: Store, number: int) -> None:
    subgrid = c2s_data.open_map(store, "MADE-1").c2s.subgrid(number)
    row = store.entry("MADE-1").first_subgrid + number
    for name in ("density", "ca", "amino"):
        stored = np.empty((1, 32, 32, 32), store.subgrid_spec(name).dtype)
        store.read_shard_rows(name, row // 512, row % 512, row % 512 + 1, stored)
        np.testing.assert_array_equal(subgrid[name], stored[0])
    corner = store.index()[1][row]
    np.testing.assert_array_equal(subgrid.attrs["corner_zyx"], corner)
    np.testing.assert_allclose(
        [subgrid[axis].values[0] for axis in "zyx"], np.array(ORIGIN_XYZ_A[::-1]) + corner
    )


def test_subgrids_that_do_not_exist_are_refused(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    n = store.entry(ENTRY).n_subgrids
    for number in (-1, n):
        with pytest.raises(ConfigError, match=f"subgrids 0 to {n - 1}"):
            opened.c2s.subgrid(number)
    with pytest.raises(ConfigError, match="level=0"):
        opened.isel(z=slice(0, 9)).c2s.subgrid(0)


def test_a_map_of_no_store_is_cut_in_the_published_order(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY).drop_attrs()
    first, second = (opened.c2s.subgrid(k, box=8, core=4) for k in (0, 1))
    whole = np.pad(store.read_map(ENTRY, "density"), 2)
    np.testing.assert_array_equal(first["density"], whole[:8, :8, :8])
    np.testing.assert_array_equal(second["density"], whole[4:12, :8, :8])


def test_a_plane_goes_through_its_point(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    point = np.add(ORIGIN_XYZ_A, (20.4, 8.6, 30.0))
    whole = store.read_map(ENTRY, "density")
    for axis, plane in (("z", whole[30]), ("y", whole[:, 9]), ("x", whole[:, :, 20])):
        np.testing.assert_array_equal(opened.c2s.slice_at(point, axis)["density"], plane)
    with pytest.raises(ConfigError, match=r"x = 99 A lies outside .* -11.5 to 39.5 A"):
        opened.c2s.slice_at([99, 0, 0], "x")
    with pytest.raises(ConfigError, match="normal to z, y or x"):
        opened.c2s.slice_at(point, "w")


def test_a_contour_is_where_the_density_reaches_its_level(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    mask = opened.c2s.contour(0.75)
    np.testing.assert_array_equal(mask, store.read_map(ENTRY, "density") >= 0.75)
    assert mask.attrs["flag_meanings"] == "below above"
    with pytest.raises(ConfigError, match="no contour level"):
        opened.c2s.contour()
    opened.attrs["contour_level"] = 0.5
    assert int(opened.c2s.contour().sum()) == int((store.read_map(ENTRY, "density") >= 0.5).sum())


def test_mrc_files_come_back_as_they_were(store: Store, tmp_path) -> None:
    opened = c2s_data.open_map(store, ENTRY).isel(y=slice(4, None))
    opened.c2s.to_mrc(tmp_path / "a.mrc.gz")
    back = read_density_map(tmp_path / "a.mrc.gz")
    np.testing.assert_array_equal(back.values_zyx, opened["density"])
    assert back.origin_xyz_A == pytest.approx((-11.5, 11.25, 103.0))
    opened.c2s.to_mrc(tmp_path / "aa.mrc", "amino")
    amino = read_density_map(tmp_path / "aa.mrc").values_zyx
    np.testing.assert_array_equal(amino, opened["amino"])
    with pytest.raises(ConfigError, match="no variable 'p'"):
        opened.c2s.to_mrc(tmp_path / "b.mrc", "p")


def test_residues_are_a_table(store: Store) -> None:
    table, columns = c2s_data.open_map(store, ENTRY).c2s.residues(), store.residues(ENTRY)
    assert list(table.columns) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(table[name].to_numpy(), values)
    with pytest.raises(ConfigError, match="not of a store"):
        c2s_data.open_map(store, ENTRY).drop_attrs().c2s.residues()


def test_uneven_or_missing_coordinates_are_refused(store: Store) -> None:
    opened = c2s_data.open_map(store, ENTRY)
    with pytest.raises(ConfigError, match="not evenly spaced"):
        opened.isel(x=[0, 1, 5]).c2s.to_voxel([0, 0, 0])
    with pytest.raises(ConfigError, match="no coordinate z"):
        opened.isel(z=3).c2s.to_voxel([0, 0, 0])


def test_the_package_exports_three_functions_and_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'open_maps'"):
        c2s_data.open_maps  # noqa: B018
    script = "import c2s_data, sys; assert 'xarray' not in sys.modules; c2s_data.open_map"
    subprocess.run([sys.executable, "-c", script], check=True)
