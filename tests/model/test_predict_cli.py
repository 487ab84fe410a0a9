"""``c2s-model predict``: one map, the maps of a store, and what becomes of those that fail."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from prediction_cases import WITH_SEQUENCE, card, network, network_file, store_of_maps
from typer.testing import CliRunner

from c2s_data.config import make_config
from c2s_data.embed_store import put_embeddings
from c2s_data.errors import ConfigError, StoreError
from c2s_data.sources.density_map import DensityMap, write_density_map
from c2s_data.store.embeddings import SequenceEmbedding, text_sha256
from c2s_data.store.objects import open_objects
from c2s_data.store.prediction_store import open_prediction
from c2s_data.store.reader import open_store
from c2s_model.cli import predict as _registered  # noqa: F401 - it registers its command
from c2s_model.cli.app import app
from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.network_file import NetworkCard
from c2s_model.predict.predict_map import predict_map
from c2s_model.predict.prepared_density import prepare_raw_map, prepare_stored_map

ORIGIN_XYZ_A = (-7.5, 30.25, 4.0)
PAPER = make_config("paper").model_dump()


def run(*arguments: object, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["predict", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == exit_code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def of_paper() -> NetworkCard:
    return card(("atom", "amino"), preset="paper", build_config=PAPER)


@pytest.fixture(scope="module")
def net(of_paper, tmp_path_factory) -> Path:
    return network_file(tmp_path_factory.mktemp("net") / "a.safetensors", of_paper)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    values = np.random.default_rng(5).normal(0, 0.3, (21, 14, 9)).astype(np.float32)
    values[2:6, 2:6, 2:6] = 2.0
    path = tmp_path_factory.mktemp("raw") / "emd_1.map.gz"
    write_density_map(path, DensityMap(values, (1.2, 0.8, 1.1), ORIGIN_XYZ_A))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "a.zarr"
    return store_of_maps(folder, ((21, 9, 13), (17, 25, 12), (9, 22, 7)))


def test_one_map(net, of_paper, raw, tmp_path):
    out = tmp_path / "p.zarr"
    text = run(net, raw, out, "--mrc", "--contour", "1.5", "--batch-size", 1)
    assert "emd_1.map.gz: 2 subgrids, 1 of them skipped as background, " in text
    stored = open_prediction(str(out))
    density = prepare_raw_map(str(raw), make_config("paper"))
    predict_map(network(of_paper), of_paper, density, str(tmp_path / "q.zarr"))
    direct = open_prediction(str(tmp_path / "q.zarr"))
    assert stored.shape_zyx == direct.shape_zyx == (25, 11, 9)
    assert (stored.preset, stored.label_rule) == ("paper", "formula1")
    assert stored.decode_offset_voxel == 0.5
    np.testing.assert_allclose(stored.read("amino", 0, 20), direct.read("amino", 0, 20), atol=5e-4)
    assert (stored.read("atom", 20, 25)[0] == 1).all()
    assert stored.sources["map"]["sha256"] == density.digest
    assert stored.sources["network"]["file"] == "a.safetensors"
    atom = stored.read("atom")
    for kind, expected in (
        ("c-alpha", atom[1].astype("f4")),
        ("atom", atom.argmax(axis=0)),
        ("amino", stored.read("amino").argmax(axis=0)),
    ):
        with mrcfile.open(tmp_path / f"p.{kind}.mrc") as mrc:
            np.testing.assert_array_equal(mrc.data, expected)
            assert mrc.data.dtype == (np.float32 if kind == "c-alpha" else np.int8)
            origin = [float(mrc.header.origin[axis]) for axis in "xyz"]
        assert origin == list(ORIGIN_XYZ_A)
    again = run(net, raw, out, "--mrc", "--contour", "1.5")
    assert "was finished before" in again
    with pytest.raises(ConfigError, match=r"a finished prediction of .*emd_1\.map\.gz"):
        run(net, raw, out)


def test_nothing_is_written_over_other_files(net, raw, tmp_path):
    (tmp_path / "p.amino.mrc").write_text("mine")
    with pytest.raises(ConfigError, match=r"p\.amino\.mrc exists and is left as it is"):
        run(net, raw, tmp_path / "p.zarr", "--mrc")
    assert [path.name for path in tmp_path.iterdir()] == ["p.amino.mrc"]


@pytest.mark.parametrize("workers", [None, 1])
def test_maps_of_a_store_and_one_that_fails(workers, net, of_paper, store, tmp_path):
    """The density of one map is gone: the others are predicted, and the command says so."""
    import shutil

    folder, out = tmp_path / "store.zarr", tmp_path / "out"
    shutil.copytree(store.url, folder)
    shutil.rmtree(folder / "maps" / "MADE-1" / "s0" / "density" / "c")
    spread = [] if workers is None else ["--workers", workers]
    text = run(net, out, "--store", folder, *spread, exit_code=1)
    assert "1 of 3 maps failed:" in text
    assert "MADE-1: " in text.split("1 of 3 maps failed:")[1]
    assert "density/c/0/0/0' is missing" in text
    assert sorted(path.name for path in out.iterdir()) == ["MADE-0.zarr", "MADE-2.zarr"]
    density = prepare_stored_map(store, "MADE-2", make_config("paper"))
    predict_map(network(of_paper), of_paper, density, str(tmp_path / "q.zarr"))
    found, expected = (
        open_prediction(str(url)).read("atom") for url in (out / "MADE-2.zarr", tmp_path / "q.zarr")
    )
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_a_split_of_a_store(net, store, tmp_path):
    done = json.loads(run(net, tmp_path, "--store", store.url, "--split", "validation", "--json"))
    assert [(one["name"], one["predicted"]["windows"]) for one in done] == [("MADE-1", 2)]
    assert done[0]["failure"] is None
    one = ("--store", store.url, "--entry", "MADE-0", "--entry", "MADE-1")
    text = run(net, tmp_path, *one)
    assert "MADE-1: 2 subgrids, was finished before" in text
    assert open_prediction(str(tmp_path / "MADE-0.zarr")).shape_zyx == (21, 9, 13)


def test_sequences_come_from_the_store_or_a_file(store, raw, tmp_path):
    of = card(preset="paper", architecture=WITH_SEQUENCE)
    net = network_file(tmp_path / "seq.safetensors", of)
    with pytest.raises(ConfigError, match="needs an embedding of the map's sequences, 5 numbers"):
        run(net, raw, tmp_path / "a.zarr")
    text = run(net, tmp_path / "out", "--store", store.url, "--entry", "MADE-0", exit_code=1)
    assert "has no sequence embeddings" in text
    vector = np.linspace(-3, 4, 5, dtype=np.float32)
    np.save(tmp_path / "v.npy", vector)
    run(net, raw, tmp_path / "a.zarr", "--sequence-embedding", tmp_path / "v.npy")
    import shutil

    shutil.copytree(store.url, tmp_path / "store.zarr")
    embedding = SequenceEmbedding(vector, "made", text_sha256(store.sequences("MADE-0")), 3)
    put_embeddings(open_objects(tmp_path / "store.zarr"), {"MADE-0": embedding})
    run(net, tmp_path / "out", "--store", tmp_path / "store.zarr", "--entry", "MADE-0")
    density = prepare_stored_map(store, "MADE-0", make_config("paper"))
    predict_map(network(of), of, density, str(tmp_path / "q.zarr"), sequence=vector)
    found, expected = (
        open_prediction(str(tmp_path / name)).read("atom") for name in ("out/MADE-0.zarr", "q.zarr")
    )
    np.testing.assert_allclose(found, expected, atol=5e-4)
    np.save(tmp_path / "w.npy", np.ones((2, 5)))
    (tmp_path / "x.npy").write_text("words")
    for name in ("w.npy", "x.npy"):
        with pytest.raises(ConfigError, match=rf"{name}: .*\.npy"):
            run(net, raw, tmp_path / "b.zarr", "--sequence-embedding", tmp_path / name)


def test_what_does_not_fit_is_refused_before_anything_is_written(net, raw, store, tmp_path):
    out = tmp_path / "out"
    of_store = ("--store", store.url)
    for arguments, error, what in (
        ([raw], ConfigError, "1 places were given: .*predict RUN MAP OUT`"),
        ([raw, out, *of_store], ConfigError, "predict RUN OUT --store STORE"),
        ([raw, out, "--split", "test"], ConfigError, "--split, --entry, .*are for the maps of a"),
        ([raw, out, "--workers", 2], ConfigError, "--workers"),
        ([out, *of_store, "--contour", 1], ConfigError, "--contour.*name it with --entry"),
        ([out, *of_store, "--origin", "zero"], ConfigError, "--origin places raw maps"),
        ([out, *of_store, "--split", "test"], ConfigError, "no map is in split 'test'; .*train"),
        ([out, *of_store, "--entry", "EMD-9"], StoreError, "no entry 'EMD-9'"),
        (
            [out, *of_store, "--entry", "MADE-0", "--split", "train"],
            ConfigError,
            "take one",
        ),
        ([out, *of_store, "--rotations", 24], ConfigError, "half a voxel low"),
        ([raw, out, "--rotations", 24], ConfigError, "half a voxel low"),
        ([raw, out, "--overlap", 3], ConfigError, "overlap 3"),
        ([raw, out, "--precision", "int4"], ConfigError, "precision 'int4'"),
        ([raw, out, "--contour", 1, "--mask", raw], ConfigError, "one of them"),
    ):
        with pytest.raises(error, match=what):
            run(net, *arguments)
    with pytest.raises(CheckpointError, match="neither a network file nor"):
        run(tmp_path / "none", raw, out)
    other = network_file(tmp_path / "b.safetensors", card())
    with pytest.raises(ConfigError, match="learned from maps of preset recommended"):
        run(other, out, *of_store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.safetensors"]
    assert open_store(store.url).fingerprint == store.fingerprint
