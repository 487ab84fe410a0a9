"""Sequences of a store become embeddings: each distinct one once, resumed, looked up by map."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_maps import made_map, made_plan
from typer.testing import CliRunner

from c2s_data.errors import ConfigError, StoreError
from c2s_data.plan import Failure
from c2s_data.store.begin import begin_store
from c2s_data.store.commit import commit
from c2s_data.store.layout import Layout
from c2s_data.store.objects import open_objects
from c2s_data.store.reader import open_store
from c2s_data.store.receipt import write_failure
from c2s_data.store.writer import write_entry
from c2s_model.cli import app
from c2s_model.data.sequence_features import SequenceFeatures
from c2s_model.embedding.embed import embed_store, one_after_another, take_file
from c2s_model.embedding.embedders import Esm, Trigrams
from c2s_model.embedding.entry_sequences import MAX_RESIDUES, copies_in_text, mean_embedding


class Lengths:
    """Embeds a sequence as its length and its first letter; remembers what it was asked."""

    model = "lengths"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def mean_of(self, sequence: str) -> np.ndarray:
        self.asked.append(sequence)
        return np.array([len(sequence), ord(sequence[0])], np.float32)


TEXTS = {
    "MADE-0": ">A_1|Chains A, B|x\nMKTAYIAKQR\n>A_2|Chain C|y\nGWGW\n",
    "MADE-2": ">B_1|Chain A|x\nGWGW\n",
    "MADE-3": "",
    "MADE-4": ">C_1|Chain A|x\nLLLLLLLL\n",
}


@pytest.fixture
def objects(tmp_path):
    """A store of four entries; the second of the catalog failed."""
    found = open_objects(tmp_path / "store.zarr")
    plan = begin_store(found, made_plan(shapes=[(21, 19, 25)] * 5))
    for planned in plan.buildable:
        if planned.entry_id not in TEXTS:
            write_failure(found, planned, Failure("build", "truncated", "the file ends early"))
            continue
        made = replace(made_map(planned, plan.config), sequences=TEXTS[planned.entry_id])
        write_entry(found, Layout.of(plan.config), planned, made)
    commit(found, plan)
    return found


def test_every_chain_counts_and_special_letters_are_residues() -> None:
    fasta = (
        ">1ABC_1|Chains A, B[auth X]|twice\nACDEF\nGH\n>1ABC_2|Chain C|odd\nmk(MSE)J-*u\n"
        ">plain\nWW\n"
    )
    copies = copies_in_text(fasta, "here")
    assert [tuple(one) for one in copies] == [("ACDEFGH", 2), ("MKXXU", 1), ("WW", 1)]
    vector, n = mean_embedding(copies, Lengths().mean_of)
    assert n == 7 * 2 + 5 + 2
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[0], (7 * 14 + 5 * 5 + 2 * 2) / n, rtol=1e-6)
    assert copies_in_text(" \n", "empty") == ()
    assert len(copies_in_text(">long\n" + "A" * 3000, "here")[0].sequence) == MAX_RESIDUES == 2750


def test_trigrams_are_the_same_everywhere_and_near_for_near_sequences() -> None:
    model = Trigrams(64)
    one, other, far = (model.mean_of(s) for s in ("MKTAYIAKQR", "MKTAYIAKQK", "GGGGWWWWPP"))
    assert one.shape == (64,)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, Trigrams(64).mean_of("MKTAYIAKQR"))
    # Ten signed counts over the root of ten.
    assert set(np.unique(np.abs(np.round(one * np.sqrt(10))))) <= {0.0, 1.0, 2.0, 3.0}
    assert np.linalg.norm(one - other) < np.linalg.norm(one - far)


@pytest.fixture(scope="module")
def esm_folder(tmp_path_factory):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("esm") / "esm2_toy"
    letters = "LAGVSERTIDPKQNFYMHWCXBUZO"
    vocabulary = ["<cls>", "<pad>", "<eos>", "<unk>", *letters, ".", "-", "<null_1>", "<mask>"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    config = transformers.EsmConfig(
        vocab_size=len(vocabulary),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        position_embedding_type="rotary",
        token_dropout=True,
        pad_token_id=1,
        mask_token_id=32,
    )
    torch.manual_seed(7)
    transformers.EsmModel(config, add_pooling_layer=False).save_pretrained(folder)
    transformers.EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_esm_is_the_mean_of_the_last_layer_over_the_residues_alone(esm_folder) -> None:
    import transformers

    sequence = "MKTXUAYWG"
    letters = (esm_folder / "vocab.txt").read_text().split("\n")
    ids = torch.tensor([[0, *(letters.index(letter) for letter in sequence), 2]])
    network = transformers.EsmModel.from_pretrained(
        esm_folder, local_files_only=True, add_pooling_layer=False
    ).eval()
    with torch.no_grad():
        hidden = network(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    expected = hidden[1:-1].mean(0).numpy()
    model = Esm(str(esm_folder))
    np.testing.assert_allclose(model.mean_of(sequence), expected, rtol=1e-5, atol=1e-6)
    assert model.model.startswith("esm2_toy@")
    assert len(model.model) == len("esm2_toy@") + 16
    # The special tokens would have made a difference.
    assert np.abs(hidden.mean(0).numpy() - expected).max() > 1e-3


def test_a_folder_without_weights_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"no weights of ESM-2 \(model.safetensors\)"):
        _ = Esm(str(tmp_path)).model


def test_each_distinct_sequence_is_embedded_once_the_longest_first(objects) -> None:
    model = Lengths()
    done = embed_store(objects, model)
    assert model.asked == ["MKTAYIAKQR", "LLLLLLLL", "GWGW"]
    assert sorted(done.new) == ["MADE-0", "MADE-2", "MADE-4"]
    assert list(done.without) == ["MADE-3"]
    found = open_store(objects.url).sequence_embeddings()
    np.testing.assert_allclose(found["MADE-0"].vector[0], (20 * 10 + 4 * 4) / 24, rtol=1e-6)
    assert found["MADE-0"].n_residues == 24
    again = embed_store(objects, model)
    assert (again.new, sorted(again.earlier)) == ((), ["MADE-0", "MADE-2", "MADE-4"])
    assert (again.generation, len(model.asked)) == (done.generation, 3)


def test_a_stopped_run_keeps_what_was_committed(objects) -> None:
    def stopping(function, ordered):
        for n, item in enumerate(one_after_another(function, ordered)):
            if n == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        embed_store(objects, Lengths(), spread=stopping, commit_every_s=0)
    # Only the sequence of this entry was done with when it stopped.
    assert list(open_store(objects.url).sequence_embeddings()) == ["MADE-4"]
    model = Lengths()
    done = embed_store(objects, model)
    assert model.asked == ["MKTAYIAKQR", "GWGW"]
    assert done.earlier == ("MADE-4",)


def test_features_are_looked_up_by_the_map_of_a_batch(objects) -> None:
    with pytest.raises(ConfigError, match="run `c2s-model embed` first"):
        SequenceFeatures(open_store(objects.url))
    embed_store(objects, Lengths())
    store = open_store(objects.url)
    with pytest.raises(ConfigError, match="of 1 entries, first MADE-3"):
        SequenceFeatures(store)
    features = SequenceFeatures(store, ["MADE-0", "MADE-4"])
    expected = torch.tensor([[8.0, ord("L")], [4.0, ord("G")], [8.0, ord("L")]])
    found = features.of(torch.tensor([4, 2, 4], dtype=torch.int32))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(features.of_entry("MADE-2"), expected[1])
    assert (features.width, features.model) == (2, "lengths")
    with pytest.raises(ConfigError, match="row 1 of the catalog"):  # it failed
        features.of(torch.tensor([4, 1]))
    with pytest.raises(ConfigError, match="MADE-3 has no sequence embedding"):
        features.of_entry("MADE-3")


def test_a_file_of_embeddings_is_taken_and_a_wrong_one_refused(objects, tmp_path) -> None:
    names = list(TEXTS)
    path = tmp_path / "mine.npz"
    np.savez(path, model=np.array("prot-t5"), **{names[0]: np.arange(4.0), "other": np.zeros(4)})
    done = take_file(objects, path)
    assert done.new == (names[0],)
    assert set(done.without) == set(names[1:])
    found = open_store(objects.url).sequence_embeddings()[names[0]]
    assert found.model == "prot-t5"
    np.testing.assert_array_equal(found.vector, np.arange(4, dtype=np.float32))
    np.savez(path, other=np.zeros(4))
    with pytest.raises(StoreError, match="none of its 1 names is an entry"):
        take_file(objects, path)
    np.savez(path, **{names[0]: np.zeros(4), names[1]: np.zeros(5)})
    with pytest.raises(ConfigError, match="one vector of the same width"):
        take_file(objects, path)
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ConfigError, match=r"no .npz of embeddings"):
        take_file(objects, path)


def test_the_command_embeds_and_says_what_it_did(objects) -> None:
    result = CliRunner().invoke(app, ["embed", objects.url, "--trigrams", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert sorted(document["new"]) == ["MADE-0", "MADE-2", "MADE-4"]
    assert document["without"] == {"MADE-3": "the store has no protein sequence of it"}
    result = CliRunner().invoke(app, ["embed", objects.url, "--trigrams"])
    assert "has embeddings of 3 entries, 0 of them new" in result.stdout
    with pytest.raises(ConfigError, match="say what embeds the sequences"):
        CliRunner().invoke(app, ["embed", objects.url], catch_exceptions=False)
