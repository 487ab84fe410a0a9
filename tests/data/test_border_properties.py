"""Whatever comes in at a border: the right answer or an error of ours, and nothing else."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from made_maps import made_plan
from mrc_files import MODE_DTYPES, map_bytes
from test_array_metadata import SOUND

from c2s_data.config import make_config, parse_bytes
from c2s_data.errors import C2SError, CatalogError, ConfigError, MapError, ModelError, StoreError
from c2s_data.plan import Plan
from c2s_data.plan_document import plan_document, plan_from_document
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_data.sources.bounded_documents import DocumentError, parse_xml, parse_yaml
from c2s_data.sources.catalog import read_catalog
from c2s_data.sources.density_map import read_density_map
from c2s_data.sources.download import ALLOWED_ORIGINS, DownloadError, check_url
from c2s_data.store.shard import ShardSpec, decode_shard, encode_shard
from c2s_data.transforms.float16 import normalize_to_float16
from c2s_data.transforms.label import label_voxels
from c2s_data.transforms.normalize import normalize

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
coordinate = st.floats(-1e308, 1e308) | st.floats(-40, 40) | st.integers(-(2**62), 2**62)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("border")


@given(
    xyz=st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=30),
    origin=st.tuples(coordinate, coordinate, coordinate),
    rule=st.sampled_from(["formula1", "formula1-float32", "nearest"]),
    collision=st.sampled_from(["ca-first", "last-wins"]),
)
@example(xyz=[(-1.0, -1.0, -1.0)], origin=(0, 0, 0), rule="nearest", collision="ca-first")
@example(xyz=[(1e308, 0, 0)], origin=(-1e308, 0, 0), rule="nearest", collision="ca-first")
@example(xyz=[(1e308, 0, 0)], origin=(-1e308, 0, 0), rule="formula1", collision="ca-first")
@example(xyz=[(1e39, 0, 0)], origin=(1e39, 0, 0), rule="formula1-float32", collision="ca-first")
@example(xyz=[(6.0, 0, 0), (0, 5, 0), (0, 0, 4)], origin=(0, 0, 0), rule="formula1",
         collision="last-wins")  # fmt: skip
def test_an_atom_outside_the_box_is_counted_and_never_wrapped(*, xyz, origin, rule, collision):
    shape = (4, 5, 6)
    n = len(xyz)
    labels = label_voxels(
        np.array(xyz, np.float64).reshape(-1, 3),
        np.arange(n) % 3 + 1,
        np.ones(n),
        np.ones(n),
        shape_zyx=shape,
        origin_xyz_A=np.array(origin, np.float64),
        voxel_size_zyx_A=(1.0, 1.0, 1.0),
        rule=rule,
        collision=collision,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        relative = np.array(xyz, np.float64).reshape(-1, 3) - np.array(origin, np.float64)
    far = ((relative < -1) | (relative >= np.array(shape[::-1]) + 1)).any(axis=1)
    if rule != "formula1-float32":  # which may round a far position to a near one
        assert labels.n_outside >= far.sum()
    for mask in (labels.atom, labels.ca, labels.amino, labels.secondary):
        assert ((mask.index_zyx >= 0) & (mask.index_zyx < shape)).all()
    n_inside = n - labels.n_outside
    assert len(labels.atom.value) + labels.n_collisions == n_inside
    assert labels.n_ca_outside <= labels.n_outside


@given(
    values=npst.arrays(np.float32, st.tuples(*[st.integers(2, 6)] * 3),
                       elements=st.integers(-100, 100)),
    axes=st.permutations((1, 2, 3)),
    byte_order=st.sampled_from("<>"),
    mode=st.sampled_from([0, 1, 2, 12]),
    extended=st.binary(max_size=200),
)  # fmt: skip
def test_any_map_comes_back_from_any_storage(folder, *, values, axes, byte_order, mode, extended):
    path = folder / "any.map"
    content = map_bytes(
        values, axes=tuple(axes), byte_order=byte_order, mode=mode, extended=extended
    )
    path.write_bytes(content)
    assert len(content) == 1024 + len(extended) + values.size * int(MODE_DTYPES[mode][1])
    try:
        density = read_density_map(path)
    except MapError as error:
        flat = values.min() == values.max()
        assert error.reason == ("constant" if flat else "not-positive")  # noqa: PT017
        assert flat or values.max() <= 0
        return
    np.testing.assert_array_equal(density.values_zyx, values)


@given(content=st.binary(max_size=3000), start=st.sampled_from([b"", b"\x1f\x8b\x08", b"MAP "]))
def test_any_bytes_are_no_map(folder, content, start):
    path = folder / "bytes.map"
    path.write_bytes(start + content)
    with pytest.raises(MapError):
        read_density_map(path)


@given(
    content=st.binary(max_size=600) | st.text(max_size=600).map(str.encode),
    start=st.sampled_from([b"", b"\x1f\x8b", b"ATOM  ", b"data_x loop_ _atom_site.id\n"]),
)  # fmt: skip
def test_any_bytes_are_no_model(folder, content, start):
    path = folder / "bytes.cif"
    path.write_bytes(start + content)
    with pytest.raises(ModelError):
        read_atomic_model(path)


@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8")),
    head=st.sampled_from([b"", b"entry_id,map,model,resolution_A\n", b"\xef\xbb\xbfentry_id,map,"]),
)
def test_any_bytes_are_a_catalog_or_a_catalog_error(folder, body, head):
    path = folder / "bytes.csv"
    path.write_bytes(head + body)
    with suppress(CatalogError):
        for entry in read_catalog(path):
            assert Path(entry.map).is_absolute()
            assert entry.resolution_A is None or entry.resolution_A > 0


@given(
    st.text(max_size=100) | st.from_regex(r"https?://[a-z.@:\[\]/\\%0-9-]{1,60}", fullmatch=True)
)
@example("https://ftp.ebi.ac.uk@www.rcsb.org/")
@example("https://[::1]:443/")
def test_any_address_lies_at_an_allowed_origin_or_is_refused(url):
    try:
        parts = check_url(url)
    except DownloadError:
        return
    assert f"https://{parts.hostname}" in ALLOWED_ORIGINS
    assert parts.port in (None, 443)
    assert parts.username is parts.password is None


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@example(b"a: 2001-12-14t21:59:43.10-05:00")
@example(b"? {a: 1}\n: 2")
@example(b"- !!binary '###'")
@example(b"!!timestamp x")
@example(b"!!int ''")
@example(b"!!float '.'")
@example(b"!!bool x")
def test_any_bytes_are_a_plain_document_or_refused(content):
    with suppress(DocumentError):
        parse_yaml(content)
    with suppress(DocumentError):
        assert isinstance(parse_xml(content).tag, str)


@given(
    document=json_values,
    place=st.sampled_from([(), *((key,) for key in SOUND), ("codecs", 0), ("codecs", 0, "name")]),
)
def test_any_metadata_is_a_spec_or_refused(document, place):
    metadata = copy.deepcopy(SOUND) if place else document
    target = metadata
    for step in place[:-1]:
        target = target[step]
    if place:
        target[place[-1]] = document
    with suppress(StoreError):
        assert ShardSpec.from_metadata(metadata) == ShardSpec.from_metadata(SOUND)


specs = st.builds(
    lambda chunk, grid, dtype, codec: ShardSpec(
        tuple(c * g for c, g in zip(chunk, grid, strict=True)), chunk, np.dtype(dtype), codec
    ),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.sampled_from(["f2", "f4", "u1"]),
    st.sampled_from(["lz4", "zstd", "none"]),
)


@given(spec=specs, data=st.data())
def test_any_shard_comes_back_bit_for_bit(spec, data):
    n = int(np.prod(spec.shard_shape)) * spec.dtype.itemsize
    raw = data.draw(st.binary(min_size=n, max_size=n))
    values = np.frombuffer(raw, spec.dtype).reshape(spec.shard_shape)
    out = np.empty(spec.shard_shape, spec.dtype)
    decode_shard(encode_shard(values, spec), spec, out)
    assert out.tobytes() == raw


@given(spec=specs, blob=st.binary(max_size=2000), sealed=st.booleans())
def test_any_bytes_are_no_shard(spec, blob, sealed):
    if sealed:  # an index that is what its checksum says, of nonsense
        index = blob[: spec.index_nbytes - 4].ljust(spec.index_nbytes - 4, b"\1")
        blob += index + google_crc32c.value(index).to_bytes(4, "little")
    with pytest.raises(StoreError):
        decode_shard(blob, spec, np.empty(spec.shard_shape, spec.dtype))


@given(
    values=npst.arrays(np.float32, 50, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    divisor=st.floats(2.0**-100, 2.0**100, width=32).filter(lambda d: d > 0),
)
def test_half_precision_is_single_precision_rounded_once(values, divisor):
    values = values.reshape(5, 5, 2)
    half, n_half = normalize_to_float16(values, divisor)
    single, n_single = normalize(values, divisor)
    assert n_half == n_single
    np.testing.assert_array_equal(half, single.astype(np.float16))


@given(st.text(max_size=30) | st.from_regex(r"[0-9.]{1,9} ?[kKMGTPE]i?B?", fullmatch=True))
def test_any_text_is_an_amount_of_memory_or_refused(text):
    with suppress(ConfigError):
        assert parse_bytes(text) >= 0


@given(st.dictionaries(st.sampled_from([*make_config().model_dump(), "other"]), json_values))
def test_any_options_are_a_configuration_or_refused(options):
    options.pop("preset", None)
    with suppress(ConfigError):
        config = make_config("paper", **options)
        assert config.core <= config.box


PLAN = plan_document(made_plan())


@given(
    place=st.sampled_from([(), *((key,) for key in PLAN),
                           *(("entries", 0, key) for key in PLAN["entries"][0])]),
    value=json_values,
)  # fmt: skip
def test_any_document_is_a_plan_or_refused(place, value):
    document = copy.deepcopy(PLAN) if place else value
    target = document
    for step in place[:-1]:
        target = target[step]
    if place:
        target[place[-1]] = value
    with suppress(C2SError):
        assert isinstance(plan_from_document(document), Plan)
