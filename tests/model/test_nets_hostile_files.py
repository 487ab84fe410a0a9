"""Files that want something run, or more memory than they have bytes: nothing of it happens."""

from __future__ import annotations

import importlib
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch
from published_files import (
    lightning_document,
    random_state,
    save_with_foreign_objects,
    saved,
)

from c2s_model.nets.checkpoint_error import CheckpointError
from c2s_model.nets.inert_pickle import Inert, StoredTensor, read_inert
from c2s_model.nets.published import load_published
from c2s_model.nets.torch_archive import TorchArchive

STATE = random_state(0)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


def hostile(made: Path) -> list:
    """Return objects whose unpickling would leave a trace."""
    return [
        Call(os.system, f"touch {made}"),
        Call(eval, f"open({str(made)!r}, 'w')"),
        Call(exec, f"open({str(made)!r}, 'w')"),
        Call(open, str(made), "w"),
        Call(getattr, Call(__import__, "os"), "system"),
        Call(map, os.mkdir, [str(made)]),
        [Call(list, [Call(os.system, f"touch {made}")]), {Call(os.mkdir, str(made)): 1}],
        Call(torch.load, str(made)),
        Call(bytearray, 2**45),
        Call(torch.empty, 2**45),
        Call(types.SimpleNamespace, state={"__setstate__": os.system, "__class__": Call(list)}),
        Call(importlib.import_module, "antigravity"),
    ]


@pytest.mark.parametrize("which", range(12))
def test_a_hostile_pickle_does_nothing(tmp_path: Path, which: int) -> None:
    trace = tmp_path / "trace"
    document = lightning_document(STATE) | {"callbacks": hostile(trace)[which]}
    torch.save(document, tmp_path / "a.ckpt")
    before = set(sys.modules)
    read = load_published(tmp_path / "a.ckpt", target="atom")
    assert not trace.exists()
    assert [name for name in set(sys.modules) - before if not name.startswith("torch.")] == []
    assert read.inert_globals
    assert torch.equal(read.weights["decoder.up_3.weight"], STATE["model.z12_deconv.block.weight"])


def test_a_hostile_weight_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    state = STATE | {"model.out_conv.1.bias": Call(os.system, f"touch {trace}")}
    with pytest.raises(CheckpointError, match="no tensor"):
        load_published(saved(tmp_path / "a.ckpt", state), target="atom")
    assert not trace.exists()


def test_sizes_that_no_machine_has_are_refused(tmp_path: Path) -> None:
    state = STATE | {
        "model.init_conv.conv_block.0.weight": torch.zeros(1).expand(2**30, 1, 3, 3, 3),
        "model.transformer.block_list.0.linear.0.weight": torch.zeros(1).expand(2**40, 24),
    }
    document = lightning_document(STATE, {"ext_layers": [1, 2, 4, 5]}) | {"state_dict": state}
    document["callbacks"] = Call(os.getcwd)
    torch.save(document, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="of a network is"):
        load_published(tmp_path / "a.ckpt", target="atom", attention_heads=4)


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


REBUILD = named("torch._utils", "_rebuild_tensor_v2")
ORDERED = named("collections", "OrderedDict")


@pytest.mark.parametrize(
    "program",
    [
        # What this module hands out is offered a state: it must not be changed by it.
        REBUILD + b"}" + text("__defaults__") + b"K\x01s" + b"b",
        REBUILD + b"N}" + text("__call__") + named("os", "system") + b"s\x86b",
        ORDERED + b"N}" + text("pop") + named("os", "system") + b"s\x86b",
        ORDERED + b")R}" + text("__class__") + named("os", "system") + b"sb",
        named("os", "system") + b"N}" + text("__new__") + named("os", "abort") + b"s\x86b",
        named("a", "B") + b")\x81}" + text("__reduce__") + named("os", "abort") + b"sb",
        # A placeholder is called, filled, extended and indexed.
        named("a", "B") + b")R" + text("x") + b"\x85R" + b"(K\x01K\x02e" + b"K\x01K\x02s",
        named("a", "B") + b"K\x01\x85}" + text("key") + b"K\x01s\x92",
    ],
)
def test_nothing_lasting_is_changed(program: bytes) -> None:
    own = importlib.import_module("c2s_model.nets.inert_pickle")
    classes = [own.Inert, own._Mapping, own._Rebuild, own.StoredTensor, own.Storage, dict]
    before = [dict(vars(one)) for one in classes]
    found, _ = read_inert(b"\x80\x02" + program + b".", "here")
    assert [dict(vars(one)) for one in classes] == before
    assert found is not None


def test_a_placeholder_keeps_what_the_file_says() -> None:
    program = named("a.b", "C") + b")\x81" + text("k") + b"K\x05s" + b"}" + text("s") + b"K\x06sb"
    found, foreign = read_inert(b"\x80\x02" + program + b".", "here")
    assert isinstance(found, Inert)
    assert (found.stands_for, found.entries, found.state) == ("a.b.C", {"k": 5}, {"s": 6})
    assert foreign == ("a.b.C",)


def test_names_of_newer_protocols_are_placeholders_too() -> None:
    data = pickle.dumps({"x": Call(os.system, "true"), "y": [1.5, b"z", {2}]}, protocol=5)
    found, foreign = read_inert(data, "here")
    assert (found["y"], foreign) == ([1.5, b"z", {2}], ("posix.system",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02N",  # no end
        b"\x80\x02N.N.",  # more after the end
        b"\x80\x02Nr\xff\xff\xff\xff.",  # memo entry 2^32: 64 GB
        b"\x80\x02Nr\x00\x00\x10\x00.",  # memo entry 2^20: 16 MB
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a bytearray of 1 TB
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",  # a frame of 1 EB
        b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"N.",  # text of 1 EB
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x05\x97.",  # a buffer from outside
        b"\x80\x02(ios\nsystem\n.",  # old ways to make an instance
        b"\x80\x02(cos\nsystem\no.",
        b"\x80\x02Pname\n.",
        b"I1\n.",
        b"\x80\x02h\x07.",  # a memo entry that is not there
        b"\x80\x02K\x01)R.",  # a number is called
        b"\x80\x02]}b.",  # a list is given a state
        b"\x80\x02" + REBUILD + b")R.",  # a tensor of nothing
        b"\x80\x02" + text("x") + b"Q.",  # a reference to something else
        b"\x80\x02" + b"\x85" * 2 + b".",
        b"\x80\x09N.",
    ],
)
def test_a_damaged_or_greedy_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="not a pickle as torch"):
        read_inert(data, "here")


def test_deep_nesting_is_only_deep() -> None:
    depth = 200_000
    found, _ = read_inert(b"\x80\x02]" + b"\x85" * depth + b".", "here")
    assert isinstance(found, tuple)


def rewritten(path: Path, change, **options) -> Path:
    """Write a checkpoint anew with its records changed by a function."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w", **options) as new:
        for name, data in change({n: old.read(n) for n in old.namelist()}).items():
            new.writestr(name, data)
    path.write_bytes(buffer.getvalue())
    return path


def root_of(records: dict[str, bytes]) -> str:
    return next(iter(records)).split("/")[0]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda r: {n: d for n, d in r.items() if not n.endswith("data.pkl")}, "data.pkl"),
        (lambda r: r | {"other/data.pkl": b"N."}, "single folder"),
        (lambda r: r | {f"{root_of(r)}/constants.pkl": b""}, "TorchScript"),
        (lambda r: r | {f"{root_of(r)}/byteorder": b"big"}, "little-endian"),
        (lambda r: r | {f"{root_of(r)}/data.pkl": bytes(17 * 2**20)}, "data.pkl has"),
        (lambda r: {n: d[:-4] if n.endswith("/data/0") else d for n, d in r.items()}, "holds"),
        (lambda r: {n: d for n, d in r.items() if not n.endswith("/data/0")}, "no record"),
    ],
)
def test_an_archive_that_is_not_torchs_is_refused(tmp_path: Path, change, fact: str) -> None:
    path = save_with_foreign_objects(tmp_path / "a.ckpt", STATE)
    with pytest.raises(CheckpointError, match=fact):
        load_published(rewritten(path, change), target="atom")


def test_a_record_that_unfolds_is_refused(tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path / "a.ckpt", STATE), dict, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        load_published(path, target="atom")


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (b"", "no zip archive"),
        (b"\x80\x02N.", "version 1.6"),
        (bytes(257) + b"ustar" + bytes(300), "tar archive"),
        (b"PK\x03\x04" + bytes(50), "damaged zip"),
    ],
)
def test_older_formats_and_other_files_are_refused(tmp_path: Path, data: bytes, fact: str) -> None:
    (tmp_path / "a.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match=fact):
        load_published(tmp_path / "a.ckpt")


def test_a_legacy_file_of_torch_is_refused(tmp_path: Path) -> None:
    torch.save(lightning_document(STATE), tmp_path / "a", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match="version 1"):
        load_published(tmp_path / "a")


def test_a_damaged_byte_is_found(tmp_path: Path) -> None:
    path = save_with_foreign_objects(tmp_path / "a.ckpt", STATE)
    data = bytearray(path.read_bytes())
    place = data.find(STATE["model.z12_deconv.block.weight"].numpy().tobytes())
    data[place + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_published(path, target="atom")


def test_what_is_no_lightning_checkpoint_is_refused(tmp_path: Path) -> None:
    for document in (STATE, [1], {"state_dict": {}}, {"state_dict": [1]}):
        torch.save(document, tmp_path / "a.ckpt")
        with pytest.raises(CheckpointError, match="state_dict"):
            load_published(tmp_path / "a.ckpt")
    with pytest.raises(FileNotFoundError):
        load_published(tmp_path / "b.ckpt")


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": (6, 10**6)},
        {"stride": (0, 0)},
        {"stride": (10**12, 1)},
        {"stride": (-2, 1)},
        {"offset": 1},
        {"offset": -1},
        {"offset": 2.0},
        {"stride": (True, 1)},
        {"storage": None},
        {"stride": (1,)},
    ],
)
def test_a_tensor_outside_of_its_bytes_is_refused(tmp_path: Path, lie: dict) -> None:
    torch.save({"x": torch.arange(12.0).reshape(6, 2)}, tmp_path / "a.ckpt")
    with TorchArchive(tmp_path / "a.ckpt") as archive:
        stored = read_inert(archive.pickle, "here")[0]["x"]
        assert isinstance(stored, StoredTensor)
        assert torch.equal(archive.tensor(stored, (6, 2)), torch.arange(12.0).reshape(6, 2))
        with pytest.raises(CheckpointError, match="outside"):
            archive.tensor(stored._replace(**lie), lie.get("shape", (6, 2)))
