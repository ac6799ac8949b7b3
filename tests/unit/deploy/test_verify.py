"""Verification of an export on the original videos, and predictions of new ones in chunks."""

import json
import shutil

import pytest

from actionrec.dataset.split_table import Row, write_split
from actionrec.deploy import chunks
from actionrec.deploy.verify import Tables, verify
from actionrec.errors import InputError
from actionrec.experiments.predictions import Prediction, write_predictions
from actionrec.frames.videos import write_files_table
from actionrec.utils.chunks import number_of_chunks, parse_chunk
from actionrec.utils.tables import read_csv
from helpers.exports import LABELS, change_card, make_export, write_colours


@pytest.fixture
def dataset(tmp_path):
    """Return an export with its test videos, split and predictions."""
    make_export(tmp_path / "export")
    tables, rows, predictions = {}, [], []
    for label in LABELS:
        videos = [
            write_colours(tmp_path / f"videos/{label}/{label}{i}.mp4", (label, 0.5))
            for i in range(2)
        ]
        tables[label] = tmp_path / f"{label}.tsv"
        write_files_table(tables[label], videos)
        for video in videos:
            rows.append(Row("test", label, video.stem, 15, "png", ""))
            predictions.append(Prediction(video.stem, label, label))
    write_split(tmp_path / "split.tsv", rows)
    write_predictions(tmp_path / "predictions.csv", predictions)
    return tmp_path, Tables(tables, tmp_path / "videos", {})


def run(folder, tables, margin=0.001):
    files = [folder / name for name in ("export", "predictions.csv", "split.tsv")]
    verify(*files, tables, folder / "verification.json", margin=margin)
    return json.loads((folder / "verification.json").read_text())


def test_a_model_that_does_what_was_measured(dataset):
    found = run(*dataset)["fp32"]
    assert (found["videos"], found["agreement"], found["accuracy"]) == (6, 100.0, 100.0)
    assert found["videos_per_second"] > 0
    assert found["latency_ms"] > 0


def test_another_label_fails_and_names_the_video(dataset):
    folder, tables = dataset
    rows = read_csv(folder / "predictions.csv")
    write_predictions(
        folder / "predictions.csv",
        [
            Prediction(r["video"], r["label"], "blue" if r["video"] == "red1" else r["prediction"])
            for r in rows
        ],
    )
    with pytest.raises(InputError, match=r"red/red1: red, not blue"):
        run(folder, tables)
    assert not (folder / "verification.json").exists()
    assert run(folder, tables, margin=1.0)["fp32"]["within_margin"]


def test_a_video_that_is_gone_fails(dataset):
    folder, tables = dataset
    (folder / "videos/red/red0.mp4").unlink()
    with pytest.raises(InputError, match="red/red0"):
        run(folder, tables)


def test_an_exchanged_model_fails(dataset):
    folder, tables = dataset
    shutil.copy(make_export(folder / "other", frames=8) / "model.onnx", folder / "export")
    with pytest.raises(InputError, match=r"not the one that model\.json describes"):
        run(folder, tables)


def test_a_new_video_changes_one_chunk(tmp_path):
    paths = [tmp_path / f"{i}.mp4" for i in range(40)]
    for path in paths:
        path.touch()
    count = number_of_chunks(len(paths), 10)
    before = chunks.divide(paths, count)
    assert sum(map(len, before.values())) == 40
    (tmp_path / "new.mp4").touch()
    after = chunks.divide([*paths[:39], tmp_path / "new.mp4"], count)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert 1 <= len(changed) <= 2, "where one came and where one went"
    assert {parse_chunk(name).count for name in before} == {count} == {4}


def test_only_what_is_new_is_predicted(dataset, monkeypatch):
    folder, _ = dataset
    videos = sorted((folder / "videos").rglob("*.mp4"))
    states = {str(video): chunks.state_of(video) for video in videos[:3]}
    chunks.predict_chunk(folder / "export", states, folder / "1.csv", [])
    assert [row["label"] for row in read_csv(folder / "1.csv")] == ["blue", "blue", "green"]
    predicted = []
    from actionrec.deploy import predict

    real = predict.predict_videos

    def counted(model, paths, **options):
        predicted.extend(paths)
        return real(model, paths, **options)

    monkeypatch.setattr(predict, "predict_videos", counted)
    states = {str(video): chunks.state_of(video) for video in videos[:5]}
    chunks.predict_chunk(folder / "export", states, folder / "2.csv", [folder / "1.csv"])
    assert predicted == videos[3:5]
    assert len(read_csv(folder / "2.csv")) == 5
    predicted.clear()
    change_card(folder / "export", lambda card: card.update(engine="another"))
    chunks.predict_chunk(folder / "export", states, folder / "3.csv", [folder / "2.csv"])
    assert predicted == videos[:5], "another model"


def test_a_bad_video_is_a_row_with_its_problem(dataset):
    folder, _ = dataset
    bad = folder / "bad.mp4"
    bad.write_bytes(b"no video")
    chunks.predict_chunk(folder / "export", {str(bad): chunks.state_of(bad)}, folder / "1.csv", [])
    chunks.gather([folder / "1.csv"], folder / "all.csv")
    (row,) = read_csv(folder / "all.csv")
    assert "holds no video stream" in row["problem"]
    assert row["label"] == ""
