"""The way from a prediction to a model: its stages, its restarts, and what it says."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import gemmi
import numpy as np
import pytest
from made_prediction import CountedSource, simulated, write_protein
from scipy.spatial import cKDTree

from c2s_data.errors import ConfigError
from c2s_data.sources.atomic_model import read_atomic_model
from c2s_model.backbone import pipeline
from c2s_model.backbone.backbone_report import confidence_figure
from c2s_model.backbone.candidate_voxels import PAPER, CandidateOptions, predicted_points
from c2s_model.backbone.judged_residues import right_residues, true_residues
from c2s_model.backbone.pipeline import BackboneRequest, build_backbone
from c2s_model.backbone.simulated_prediction import Imperfections
from c2s_model.backbone.stages import Stages

STAGES = ["predict", "candidates", "trace", "structure", "report"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with a made protein and FASTA, its model, and a good prediction of it."""
    folder = tmp_path_factory.mktemp("made")
    model_path, fasta = write_protein(folder)
    model = read_atomic_model(model_path)
    return model_path, fasta, model, simulated(model, imperfections=Imperfections(right=0.9))


def repeated(result) -> list[str]:
    return [name for name, one in result.stages.items() if one.repeated]


def test_a_model_with_its_sequences(made, tmp_path) -> None:
    _, fasta, model, prediction = made
    source = CountedSource(prediction, tmp_path)
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work", fasta=fasta)
    result = build_backbone(source(), request)
    assert list(result.stages) == repeated(result) == STAGES
    found = read_atomic_model(tmp_path / "m.cif")
    assert set(found.residues.chain.tolist()) == {"A", "B"}
    letters = gemmi.cif.read(str(tmp_path / "m.cif")).sole_block()
    assert len(list(letters.find_values("_entity_poly_seq.mon_id"))) == 96

    truth = true_residues(
        ("one", int(number) - 1, tuple(xyz_A))
        for number, xyz_A in zip(model.residues.label_seq_id, model.residues.ca_xyz_A, strict=True)
    )
    near = [
        bool((np.linalg.norm(truth["one", n - 1] - xyz_A, axis=1) < 3).any())
        for n, xyz_A in zip(
            found.residues.label_seq_id.tolist(), found.residues.ca_xyz_A, strict=True
        )
    ]
    assert len(near) > 0.7 * 192
    assert np.mean(near) > 0.7
    assert np.isfinite(found.residues.n_xyz_A[:, 0]).mean() > 0.5
    report = (tmp_path / "m.report.md").read_text()
    assert "Confidence: uncalibrated." in report
    assert f"| candidates | {len(predicted_points(prediction).candidates)} |" in report
    assert (tmp_path / "m.report.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "m.pdb").is_file()


def test_as_published_positions_stay_those_of_the_clusters(made, tmp_path) -> None:
    _, fasta, _, prediction = made
    request = BackboneRequest(
        out=tmp_path / "m.cif", work=tmp_path / "work", fasta=fasta, candidates=PAPER, hmm="paper"
    )
    build_backbone(CountedSource(prediction, tmp_path)(), request)
    found = read_atomic_model(tmp_path / "m.cif").residues
    assert len(found) > 150
    clusters = predicted_points(prediction, PAPER).candidates.xyz_A
    distance_A, row = cKDTree(clusters).query(found.ca_xyz_A)
    assert distance_A.max() < 0.001
    assert len(set(row.tolist())) == len(row)


def test_without_a_sequence_fragments_and_their_profiles(made, tmp_path) -> None:
    _, _, model, prediction = made
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work")
    result = build_backbone(CountedSource(prediction, tmp_path)(), request)
    found = read_atomic_model(tmp_path / "m.cif").residues
    _, row = cKDTree(model.residues.ca_xyz_A).query(found.ca_xyz_A)
    bonded = (found.chain[1:] == found.chain[:-1]) & (np.diff(found.label_seq_id) == 1)
    assert bonded.sum() > 100
    assert (np.diff(row)[bonded] == 1).mean() > 0.9  # the direction of the chain too
    assert (found.amino_class == model.residues.amino_class[row]).mean() > 0.75

    fasta = result.files["profiles_fasta"].read_text().splitlines()
    names = [line[1:] for line in fasta if line.startswith(">")]
    assert len(names) == len(set(found.chain.tolist()))
    with result.files["profiles_tsv"].open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert len(rows) == len(found)
    assert {row["fragment"] for row in rows} == set(names)
    scores = {letter: float(rows[0][letter]) for letter in "ARNDCQEGHILKMFPSTWYV"}
    assert max(scores, key=scores.__getitem__) == rows[0]["residue"]
    alignments = result.files["profiles_sto"].read_text().split("//\n")
    assert len(alignments) == len(names) + 1
    sequences = [line.split()[1] for line in alignments[0].splitlines() if "/" in line]
    assert len(sequences) == 40
    assert {len(one) for one in sequences} == {sum(found.chain == found.chain[0])}
    assert "no sequence was given" in (tmp_path / "m.report.md").read_text()


def test_finished_stages_are_not_repeated_and_a_changed_option_repeats_from_there(
    made, tmp_path
) -> None:
    source = CountedSource(made[3], tmp_path)
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work")
    build_backbone(source(), request)
    assert repeated(build_backbone(source(), request)) == []
    assert (source.made, source.opened) == (1, 1)

    fewer = dataclasses.replace(request, candidates=CandidateOptions(threshold=0.6))
    assert repeated(build_backbone(source(), fewer)) == STAGES[1:]
    assert source.made == 1

    (tmp_path / "m.cif").write_text("damaged")
    assert repeated(build_backbone(source(), fewer)) == ["structure"]
    assert len(read_atomic_model(tmp_path / "m.cif").residues) > 20

    other = CountedSource(made[3], tmp_path, "another")
    assert repeated(build_backbone(other(), fewer)) == STAGES


def test_a_stage_that_dies_is_done_again_and_nothing_before_it(made, tmp_path, monkeypatch) -> None:
    source = CountedSource(made[3], tmp_path)
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work")

    def dies(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_confidence", dies)
        with pytest.raises(KeyboardInterrupt):
            build_backbone(source(), request)
    assert (tmp_path / "m.cif").is_file()  # written before the interruption, and ours to replace
    assert repeated(build_backbone(source(), request)) == ["structure", "report"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_model_of_somebody_else_is_not_replaced(made, tmp_path) -> None:
    (tmp_path / "m.cif").write_text("precious")
    source = CountedSource(made[3], tmp_path)
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work")
    with pytest.raises(ConfigError, match="is there already"):
        build_backbone(source(), request)
    assert (tmp_path / "m.cif").read_text() == "precious"
    build_backbone(source(), dataclasses.replace(request, overwrite=True))
    assert (tmp_path / "m.cif").read_text() != "precious"


def test_what_is_built_already_is_left_out(made, tmp_path) -> None:
    model_path, fasta, model, prediction = made
    kept = gemmi.read_structure(str(model_path))
    kept[0].remove_chain("B")
    kept.make_mmcif_document().write_file(str(tmp_path / "kept.cif"))
    request = BackboneRequest(
        out=tmp_path / "m.cif", work=tmp_path / "work", fasta=fasta, keep=tmp_path / "kept.cif"
    )
    result = build_backbone(CountedSource(prediction, tmp_path)(), request)
    found = read_atomic_model(tmp_path / "m.cif").residues
    old = found.chain == "A"
    in_a = model.residues.chain == "A"
    assert sum(old) == sum(in_a) == 96
    np.testing.assert_allclose(found.ca_xyz_A[old], model.residues.ca_xyz_A[in_a], atol=0.0006)
    assert set(found.chain[~old].tolist()) == {"B"}
    nearest_A, _ = cKDTree(model.residues.ca_xyz_A[in_a]).query(found.ca_xyz_A[~old])
    assert nearest_A.min() > 2.5
    dropped = result.stages["candidates"].facts["candidates_of_kept_model"]
    assert dropped == pytest.approx(96, rel=0.1)
    assert any("built already" in one for one in result.stages["trace"].facts["notes"])

    both = dataclasses.replace(request, keep=model_path, overwrite=True)
    with pytest.raises(ConfigError, match="nothing is left"):
        build_backbone(CountedSource(prediction, tmp_path)(), both)


def test_the_answer_is_used_only_where_it_is_asked_for(made, tmp_path) -> None:
    model_path, fasta, _, prediction = made
    request = BackboneRequest(out=tmp_path / "m.cif", work=tmp_path / "work", answer=model_path)
    result = build_backbone(CountedSource(prediction, tmp_path)(), request)
    assert any("come from the answer" in one for one in result.stages["trace"].facts["notes"])
    with pytest.raises(ConfigError, match="not from both"):
        dataclasses.replace(request, fasta=fasta)
    with pytest.raises(ConfigError, match="mmCIF"):
        dataclasses.replace(request, out=tmp_path / "m.pdb")


def test_an_empty_prediction_says_what_to_do(made, tmp_path) -> None:
    request = BackboneRequest(
        out=tmp_path / "m.cif",
        work=tmp_path / "work",
        candidates=CandidateOptions(threshold=0.9999),
    )
    with pytest.raises(ConfigError, match="no C-alpha candidate above"):
        build_backbone(CountedSource(made[3], tmp_path)(), request)


def test_residues_are_judged_by_sequence_place_and_distance(made) -> None:
    from test_structure import built

    chain = built()
    rows = [
        (chain.sequence, int(n) - 1, tuple(np.add(xyz_A, (0, 0, shift))))
        for n, xyz_A, shift in zip(
            chain.residue_number, chain.xyz_A, (0, 2.9, 3.1, 0, 0, 0), strict=True
        )
    ]
    rows[3] = ("another", *rows[3][1:])
    rows[4] = (chain.sequence, 5, rows[4][2])
    rows.append((chain.sequence, 8, (0.0, 0.0, 0.0)))  # another copy, far away
    found = right_residues([chain], true_residues(rows))
    assert found.tolist() == [True, True, False, False, False, True]


def test_stages_do_not_trust_what_they_cannot_read(tmp_path) -> None:
    out, calls = tmp_path / "out.txt", []

    def work():
        calls.append(1)
        out.write_text("x")
        return {"n": 1}

    stages = Stages(tmp_path)
    assert stages.run("one", {"a": 1}, [out], work).repeated
    assert not stages.run("one", {"a": 1}, [out], work).repeated
    for damage in ("", "[]", '{"format": 1}', '{"format": 2, "seconds": 1, "facts": {}}'):
        (tmp_path / "one.json").write_text(damage)
        assert stages.run("one", {"a": 1}, [out], work).repeated
    out.unlink()
    assert stages.run("one", {"a": 1}, [out], work).facts == {"n": 1}
    with pytest.raises(ConfigError, match=r"left no .*none\.txt"):
        stages.run("two", {}, [tmp_path / "none.txt"], work)


def test_the_picture_shows_each_fragment(tmp_path) -> None:
    table = tmp_path / "c.csv"
    rows = [("A", 1, 0, 0.5), ("A", 2, 0, 0.7), ("A", 5, 1, 0.2), ("B", 1, 0, 1.0)]
    table.write_text(
        "chain,residue_number,fragment,confidence\n"
        + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    figure = confidence_figure(Path(table))
    lines = [[line.get_xydata().tolist() for line in axis.lines] for axis in figure.axes]
    assert lines == [[[[1, 0.5], [2, 0.7]], [[5, 0.2]]], [[[1, 1.0]]]]
