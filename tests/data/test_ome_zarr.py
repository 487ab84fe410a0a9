"""The OME-Zarr 0.5 metadata of a map, held against the specification's own models."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_maps import ORIGIN_XYZ_A, made_map, made_plan

from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.writer import write_entry

models = pytest.importorskip(
    "ome_zarr_models.v05", reason="ome-zarr-models, the specification's checker, is not installed"
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    objects = open_objects(tmp_path_factory.mktemp("ome") / "ome.zarr")
    plan = begin_store(objects, made_plan())
    for planned in plan.entries:
        write_entry(objects, Layout.of(plan.config), planned, made_map(planned, plan.config))
    commit(objects, plan)
    return objects.url


def test_the_group_of_a_map_is_an_ome_zarr_image(url: str) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(f"{url}/maps/MADE-0", mode="r")
    image = models.Image.from_zarr(group)
    (multiscale,) = image.ome_attributes.multiscales
    assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]
    assert {axis.unit for axis in multiscale.axes} == {"angstrom"}
    assert [dataset.path for dataset in multiscale.datasets] == [
        "s0/density", "s1/density", "s2/density",
    ]  # fmt: skip
    for level, dataset in enumerate(multiscale.datasets):
        scale, translation = dataset.coordinateTransformations
        assert scale.scale == [2.0**level] * 3
        # The center of a coarse voxel is the mean of the centers of the voxels it averages.
        fine = np.array(ORIGIN_XYZ_A[::-1])[:, None] + np.arange(2**level)
        np.testing.assert_allclose(translation.translation, fine.mean(axis=1))


def test_the_checker_finds_a_fault(url: str) -> None:
    document = json.loads(open_objects(url).get("maps/MADE-0/zarr.json"))
    attributes = document["attributes"]["ome"]
    from ome_zarr_models.v05.image import ImageAttrs
    from pydantic import ValidationError

    ImageAttrs.model_validate(attributes)
    attributes["multiscales"][0]["datasets"][1]["coordinateTransformations"][0]["scale"] = [2.0]
    with pytest.raises(ValidationError, match=r"coordinateTransformations|dimensions|scale"):
        ImageAttrs.model_validate(attributes)
