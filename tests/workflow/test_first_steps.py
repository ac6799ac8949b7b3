"""What a new user types first, and what is said when it goes wrong."""

from pathlib import Path

import pytest
import yaml

from helpers import clone, edit, snakemake, write_video

CLASSES = ["wave", "clap"]


@pytest.fixture
def project(tmp_path):
    """Return a clone with a folder of tiny videos and a configuration for it."""
    folder = clone(tmp_path / "project")
    for cls in CLASSES:
        for index in range(3):
            write_video(folder / f"videos/{cls}/{index}.avi", 4)
    config = {
        "dataset": {"name": "mine", "source": "folder", "path": "videos", "classes": CLASSES},
        "splits": {"test_fraction": 0.3, "validation": 0.3},
        "experiments": {"rgb": {}},
    }
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_no_cores_need_be_named_and_those_named_count(project):
    assert "preflight" in snakemake(project, "preflight")
    table = "results/mine/tables/videos/wave.tsv"
    said = snakemake(project, "--cores", "1", table)
    assert "Provided cores: 1 " in said
    assert f"Made {table}" in said


@pytest.mark.slow
def test_a_run_ends_with_the_page_to_open(project):
    said = snakemake(project, "dataset")
    assert "Open results/mine/dataset.html in a browser; all results are in results/mine" in said


@pytest.mark.parametrize("options", [(), ("--show-failed-logs",), ("-q", "rules")])
def test_an_error_is_told_once_and_its_log_is_named(project, options):
    for video in (project / "videos/wave").iterdir():
        video.unlink()
    table = "results/mine/tables/videos/wave.tsv"
    said = snakemake(project, "--cores", "1", table, *options, check=False)
    assert said.count("The class 'wave' has no videos") == 1
    assert said.count("put videos there") == 1
    log = "logs/mine/link_class/wave.log"
    assert f"What went wrong is in {log}" in said
    assert "The class 'wave' has no videos" in (project / log).read_text()


@pytest.mark.slow
def test_the_page_comes_before_a_split_is_refused_for_bad_videos(project):
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    name = b"it's <caf\xe9> {1}\x1b.avi".decode("utf-8", "surrogateescape")
    (project / "videos/wave" / name).write_text(pointer)
    split = "results/mine/experiments/rgb/split1/split.tsv"
    said = snakemake(project, "--cores", "2", split, check=False)
    assert "1 of 4 videos of class wave; frames.tolerate is 0." in said
    assert r"videos/wave/it's <caf\xe9> {1}\x1b.avi" in said
    assert "a Git LFS pointer, not the video: git lfs pull" in said
    assert "set frames.tolerate to 1" in said
    assert "Logging error" not in said
    page = (project / "results/mine/dataset.html").read_text()
    assert r"<li>videos/wave/it&#39;s &lt;caf\xe9&gt; {1}\x1b.avi " in page
    assert "No split is made while a class has more of them than frames.tolerate, 0" in page

    edit(project / "config/config.yaml", lambda c: c.update(frames={"tolerate": 1}))
    snakemake(project, "--cores", "2", split)
    table = (project / split).read_text()
    # A new page is no reason to divide the videos again.
    edit(project / "config/config.yaml", lambda c: c["splits"].update(numbers=[1, 2]))
    planned = snakemake(project, "-n", split, "results/mine/dataset.html")
    assert "rule write_dataset_page" in planned
    assert "rule make_split" not in planned
    # But what divides them is, also next to a new page.
    edit(project / "config/config.yaml", lambda c: c["splits"].update(seed=7))
    assert "rule make_split" in snakemake(project, "-n", split, "results/mine/dataset.html")
    assert (project / split).read_text() == table

    # A bad video more is on the page before the split, which is there, is refused.
    (project / "videos/wave/second.avi").write_text(pointer)
    said = snakemake(project, "--cores", "2", split, check=False)
    assert "2 of 5 videos of class wave; frames.tolerate is 1." in said
    assert "<li>videos/wave/second.avi " in (project / "results/mine/dataset.html").read_text()


MISSING = {
    "folder": ({"path": "no/videos"}, "dataset.path is not a folder."),
    "class": ({"classes": ["wave", "clapp"]}, "did you mean 'clap'?"),
    "table": ({"source": "table", "path": "clips.csv"}, "The list of videos cannot be read."),
    "parts": (
        {"source": "table", "path": {"train": "a.csv", "test": "b.csv"}},
        "The list of videos cannot be read.",
    ),
    "shad": (
        {"source": "shad", "path": "no/shad", "classes": ["walk", "fall"]},
        "There is no SHAD dataset.",
    ),
    "archive": (
        {"source": "archives", "path": None, "archives": {"videos": {"path": "my.rar"}}},
        "The archive that the configuration names is not there.",
    ),
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_dataset_that_is_not_there_stops_the_plan(project, kind):
    changes, message = MISSING[kind]

    def name_what_is_not_there(config):
        config["dataset"] |= changes
        config["dataset"] = {k: v for k, v in config["dataset"].items() if v is not None}
        config["splits"]["method"] = "fraction"

    edit(project / "config/config.yaml", name_what_is_not_there)
    said = snakemake(project, "-n", check=False)
    assert message in said
    assert "fix: " in said
    assert not (project / "results").exists()
    assert "preflight" in snakemake(project, "--list-rules"), "what needs no dataset goes on"


def test_weights_that_are_not_there_stop_the_plan(project):
    edit(
        project / "config/config.yaml",
        lambda c: c["experiments"].update(rgb={"pretrained": {"path": "w.tlt"}}),
    )
    said = snakemake(project, "-n", check=False)
    assert "The pretrained weights that the configuration names are not there." in said
    assert "experiments.rgb.pretrained" in said and "w.tlt" in said


@pytest.mark.parametrize("config", ["", "dataset: {}", "experiments: {a: }", "dataset: {name: x}"])
def test_a_configuration_without_its_sections_is_refused_in_words(project, config):
    (project / "empty.yaml").write_text(config + "\nspec: {}\n")
    said = snakemake(project, "-n", "--configfile", "empty.yaml", check=False)
    assert "Missing configuration key" in said
    assert "Traceback" not in said


def test_targets_stand_before_configfile(project):
    """Snakemake takes what follows for another configuration file, before it reads any rule."""
    mine = Path(project / "mine.yaml")
    mine.write_text((project / "config/config.yaml").read_text())
    assert "write_dataset_page" in snakemake(project, "-n", "dataset", "--configfile", "mine.yaml")
    said = snakemake(project, "-n", "--configfile", "mine.yaml", "dataset", check=False)
    assert "No such file or directory: 'dataset'" in said
