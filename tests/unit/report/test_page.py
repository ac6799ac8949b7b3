"""The page as a file: what it holds, its size, names of all kinds, and what is remade."""

import json

import pytest
from PIL import Image

from actionrec.experiments.predictions import Prediction, read_predictions, write_predictions
from actionrec.report import filmstrips, page
from actionrec.report.summary import Run
from actionrec.utils.tables import read_csv
from helpers.report import describe, write_all
from helpers.results import make_results

HOSTILE = ["<script>alert(1)", "run & jump", "=HYPERLINK(A1)", "'=quoted", "{{ 7 * 7 }}"]


def test_equal_results_give_an_equal_page_and_names_stay_names(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, HOSTILE[:2], prefix='"><img src=x>')
    first = write_all(results).read_bytes()
    assert write_all(results).read_bytes() == first
    text = first.decode()
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;alert" in text


def test_spreadsheets_take_no_name_for_a_formula_and_tables_read_back(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, HOSTILE, prefix="@SUM(")
    predictions = results / "experiments/one/split1/predictions.csv"
    lines = predictions.read_text().splitlines()[1:]
    cells = [cell for line in lines for cell in line.replace('"', "").split(",")]
    assert not [cell for cell in cells if cell[:1] in "=+-@" and cell]
    rows = read_csv(predictions)
    assert {row["label"] for row in rows} == set(HOSTILE)
    assert rows[0]["video"].startswith("@SUM(")


def test_the_page_says_when_a_model_answers_one_class(tmp_path):
    results = make_results(tmp_path / "set", {"stuck": 0.0}, ["walk", "run"])
    assert "for nearly" not in write_all(results).read_text()
    predictions = results / "experiments/stuck/split1/predictions.csv"
    rows = [line.split(",") for line in predictions.read_text().splitlines()]
    stuck = [
        [v, label, "walk", str(label == "walk").lower(), *rest]
        for v, label, _, _, *rest in rows[1:]
    ]
    predictions.write_text("\n".join(map(",".join, [rows[0], *stuck])) + "\n")
    text = write_all(results).read_text()
    assert "stuck answers walk for nearly\neverything" in text
    content = json.loads((results / "report.json").read_text())
    assert content["experiments"][0]["one_class"] == {"label": "walk", "percent": 100.0}


def test_the_best_experiment_is_none_that_others_start_from(tmp_path):
    results = make_results(tmp_path / "set", {"base": 1.0, "tuned": 0.6}, ["walk", "run"])
    write_all(results)
    content = json.loads((results / "report.json").read_text())
    experiments = [page.Experiment(**e) for e in content["experiments"]]
    assert page.best_of(experiments).name == "base"
    as_source = [
        page.Experiment(**{**e, "is_source": e["name"] == "base"}) for e in content["experiments"]
    ]
    assert page.best_of(as_source).name == "tuned"


def test_a_new_experiment_changes_no_other_ones_parts(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, ["walk", "run"])
    write_all(results)
    own = results / "experiments/one/split1"
    before = {file.name: file.read_bytes() for file in own.glob("*.part.html")}
    make_results(tmp_path / "set", {"one": 0.5, "two": 0.7}, ["walk", "run"])
    write_all(results)
    assert {file.name: file.read_bytes() for file in own.glob("*.part.html")} == before


def test_pictures_end_where_a_run_has_its_share_of_the_page(tmp_path, monkeypatch):
    results = make_results(tmp_path / "set", {"one": 0.2}, ["walk", "run"])
    run = Run("one", 1, results / "experiments/one/split1")
    describe(run)
    whole = (run.folder / "mistakes.part.html").read_text()
    assert "without" not in whole
    monkeypatch.setattr("actionrec.report.run.PICTURE_BYTES", 10_000)
    describe(run)
    part = (run.folder / "mistakes.part.html").read_text()
    assert 1 <= part.count("<img") < whole.count("<img")
    assert "Pictures are limited" in part
    monkeypatch.setattr(page, "MISTAKES_BYTES", 100)
    assert "would make this page too large" in write_all(results).read_text()


def test_a_run_whose_frames_are_gone_is_described_without_pictures(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.2}, ["walk", "run"])
    run = Run("one", 1, results / "experiments/one/split1")
    (run.folder / "data").rename(run.folder / "away")
    describe(run)
    text = (run.folder / "mistakes.part.html").read_text()
    assert "no longer on this disk" in text
    assert "<img" not in text


@pytest.mark.parametrize("stream", ["rgb", "of"])
def test_a_filmstrip_shows_the_crop_of_the_very_frames(tmp_path, stream):
    folder = tmp_path / "test" / "walk" / "a"
    for part in ("rgb", "u", "v"):
        (folder / part).mkdir(parents=True)
        for number in range(20):
            image = Image.new("RGB" if part == "rgb" else "L", (100, 50), 0)
            image.paste(10 * number if part != "rgb" else (10 * number, 0, 0), (25, 0, 75, 50))
            image.save(folder / part / f"{number + 1:06d}.png")
    entry = {
        "label": "walk",
        "video": "a",
        "frames": {stream: list(range(2, 18))},
        "resized": [200, 100],
        "input": [100, 100],
    }
    strip = filmstrips.filmstrip(entry, tmp_path)
    assert (strip.shown, strip.frames) == (8, 16)
    assert list(strip.pictures) == [stream]
    (image,) = filmstrips._frames(folder, stream, [17], entry)
    assert image.size == (72, 72)
    if stream == "rgb":  # the borders of the frame are outside of the crop
        assert image.getpixel((0, 36)) == image.getpixel((71, 36)) == (170, 0, 0)


def test_the_page_says_how_an_exported_model_was_verified(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, ["walk", "run"])
    assert "No model has been exported" in write_all(results).read_text()
    export = results / "experiments/one/split1/export"
    export.mkdir()
    (export / "model.onnx").write_bytes(b"x" * 200_000)
    assert "It was not verified" in write_all(results).read_text()
    check = {"videos": 20, "agreement": 95.0, "accuracy": 50.0, "calibration_error": None}
    (export / "verification.json").write_text(json.dumps({"fp32": check, "left_out": None}))
    text = write_all(results).read_text()
    assert "In fp32 it gives the same answer as the trained model for 95.0 %" in text
    assert "(0.2 MB)" in text


@pytest.mark.parametrize("labels", [["a$b$", "$$"], ["$\\frac$", "x"], ["=1", "caf\udce9"]])
def test_classes_of_any_name_are_shown(tmp_path, labels):
    results = make_results(tmp_path / "set", {"one": 0.5}, labels)
    text = write_all(results).read_text(encoding="utf-8")
    assert f">{labels[0]}<" in text


def test_figures_of_clips_are_told_next_to_those_of_videos(tmp_path):
    results = make_results(tmp_path / "set", {"one": 0.5}, ["walk", "run"])
    metrics = results / "experiments/one/split1/metrics.json"
    figures = {"clip_accuracy": 12.5, "clip_m_accuracy": 37.5}
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), "evaluate": figures}))
    text = write_all(results).read_text()
    assert "splits.numbers: [1, 2, 3, 4, 5]" in text
    assert "Counted clip by clip, as TAO does: 12.5 %, 37.5 %." in text


def test_predictions_of_any_name_are_read_back(tmp_path):
    names = ["=1+1", "-2+3|x", "a\nb", "caf\udce9", "-_FREE_HUGS_-_goo_1", "'=x"]
    written = [Prediction(name, "=x", "walk", 0.5) for name in names]
    write_predictions(tmp_path / "predictions.csv", written)
    assert read_predictions(tmp_path / "predictions.csv") == written
    raw = (tmp_path / "predictions.csv").read_bytes().splitlines()
    assert raw[1] == b"'=1+1,'=x,walk,false,0.5,,,,,"
    assert b"\n-_FREE_HUGS_-_goo_1," in (tmp_path / "predictions.csv").read_bytes()
