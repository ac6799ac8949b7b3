"""Datasets and results in an object store: real Snakemake, its plugin, and a server of moto's."""

import shutil
from pathlib import Path

import pytest

from actionrec.utils.files import sha256
from helpers import edit, small_project, snakemake
from helpers.buckets import ACCESS_KEY, BUCKET, PLUGINS, SECRET_KEY, refusing, store

TABLES = "results/small/tables"
WEIGHTS = "resources/pretrained/small/rgb_2d.split1.rgb.pth"
# Plans and jobs with a store answer at once, or never.
QUICK = ("--storage-s3-retries", "1", "--cores", "2")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Yield a store with the small project's videos, under names as a console shows them."""
    if not (PLUGINS / "snakemake_storage_plugin_s3").is_dir():
        pytest.skip(f"the storage plugin is not in {PLUGINS}: make env")
    drawn = small_project(tmp_path_factory.mktemp("drawn"))
    with store() as found:
        found.put(drawn / "videos", "sets/my videos")
        found.put_texts({"models/start.pth": "weights"})
        found.asked.clear()
        yield found


@pytest.fixture
def project(tmp_path):
    """Return a function that makes a project without videos of its own."""

    def make(**dataset):
        folder = small_project(tmp_path / "project", lambda c: c["dataset"].update(dataset))
        shutil.rmtree(folder / "videos")
        return folder

    return make


def requests(bucket) -> list[str]:
    """Return what was asked since the last time: method and path of each."""
    found = [line.partition('"')[2].rpartition(" HTTP")[0] for line in bucket.asked]
    bucket.asked.clear()
    return found


def places_of(text: str, folder: Path) -> list[Path]:
    """Return the files that hold a text, in their content or in their name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes() or text in path.name]


def of_folder(project) -> Path:
    """Return a project whose videos and initial weights are in the store."""
    folder = project(path=f"s3://{BUCKET}/sets/my videos")
    start = {"pretrained": {"path": f"s3://{BUCKET}/models/start.pth"}}
    edit(folder / "config/config.yaml", lambda c: c["experiments"].update(rgb_2d=start))
    return folder


@pytest.mark.slow
def test_a_folder_is_listed_once_and_fetched_once(project, bucket):
    folder, targets = of_folder(project), (f"{TABLES}/videos/wave.tsv", WEIGHTS)
    said = snakemake(folder, *QUICK, "-n", *targets)
    assert f"In s3://{BUCKET}/sets/my videos: 16 objects" in said
    assert f"s3://{BUCKET}/sets/my videos/wave (retrieve from storage)" in said
    assert sorted(line.partition("?")[0] for line in requests(bucket)) == [
        f"GET /{BUCKET}",
        f"HEAD /{BUCKET}/models/start.pth",
    ]

    said = snakemake(folder, *QUICK, *targets)
    fetched = [line for line in requests(bucket) if "GET " in line and ".mp4" in line]
    assert len(fetched) == len(set(fetched)) == 8
    videos = sorted((folder / "resources/small/videos/wave").iterdir())
    assert [path.name for path in videos] == [f"wave [{index}] & co.mp4" for index in range(8)]
    assert (folder / WEIGHTS).read_text() == "weights"
    assert not list((folder / ".snakemake/storage").rglob("*.*")), "the plugin's copies are kept"
    for secret in (ACCESS_KEY, SECRET_KEY):
        assert not places_of(secret, folder) and secret not in said


@pytest.mark.slow
@pytest.mark.thorough
def test_a_class_is_fetched_again_when_an_object_is_removed(project, bucket):
    folder = of_folder(project)
    targets = [f"{TABLES}/videos/{cls}.tsv" for cls in ("wave", "clap")]
    snakemake(folder, *QUICK, *targets)
    assert "Nothing to be done" in snakemake(folder, *QUICK, "-n", *targets)
    videos = sorted((folder / "resources/small/videos/wave").iterdir())
    bucket.client.delete_object(Bucket=BUCKET, Key=f"sets/my videos/wave/{videos[0].name}")
    requests(bucket)
    snakemake(folder, *QUICK, "--keep-storage-local-copies", *targets)
    bucket.client.upload_file(str(videos[1]), BUCKET, f"sets/my videos/wave/{videos[0].name}")
    left = sorted((folder / "resources/small/videos/wave").iterdir())
    assert [path.name for path in left] == [path.name for path in videos[1:]]
    assert not [line for line in requests(bucket) if "clap%20" in line], "it is as it was"
    kept = folder / ".snakemake/storage/s3" / BUCKET / "sets/my videos/wave" / left[0].name
    assert kept.samefile(left[0]), "it takes no more space"


@pytest.mark.slow
@pytest.mark.thorough
def test_a_list_its_labels_and_its_videos_are_fetched(project, bucket):
    rows = [
        f"{cls}/{cls} [{index}] & co.mp4 {label}"
        for label, cls in enumerate(("clap", "wave"))
        for index in range(1, 4)
    ]
    bucket.put_texts({"lists/all.txt": "\n".join(rows), "lists/labels.txt": "clap\nwave\n"})
    folder = project(
        source="table",
        path=f"s3://{BUCKET}/lists/all.txt",
        labels=f"s3://{BUCKET}/lists/labels.txt",
        videos=f"s3://{BUCKET}/sets/my videos",
    )
    snakemake(folder, *QUICK, f"{TABLES}/videos/clap.tsv")
    assert (
        "resources/small/videos/clap/clap [1] & co.mp4"
        in (folder / TABLES / "videos/clap.tsv").read_text()
    )
    (folder / "resources/small/videos/clap/clap [1] & co.mp4").unlink()
    said = snakemake(folder, *QUICK, "-n", f"{TABLES}/videos/clap.tsv")
    assert "videos are gone or changed: clap/clap [1] & co.mp4" in said
    assert "fetch_videos" in said


def of_archive(project, **archive) -> Path:
    """Return a project whose videos are in an archive in the store."""
    archive |= {"file": "set.zip", "path": f"s3://{BUCKET}/archives/set.zip"}
    return project(source="archives", path=None, archives={"videos": archive})


@pytest.mark.slow
def test_an_archive_without_permission_is_refused_in_the_plan(project, bucket, monkeypatch):
    folder = of_archive(project)
    with refusing(bucket) as keys:
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        said = snakemake(folder, *QUICK, f"{TABLES}/videos/clap.tsv", check=False)
    assert "gives no permission" in said and "dataset.archives.videos.path" in said
    assert "Traceback (most" not in said
    assert not (folder / "resources").exists() and not (folder / "results").exists()
    assert not any(secret in said or places_of(secret, folder) for secret in keys.values())


@pytest.mark.slow
@pytest.mark.thorough
def test_an_archive_is_fetched_and_unpacked(project, bucket, tmp_path):
    shutil.make_archive(str(tmp_path / "set"), "zip", small_project(tmp_path / "of") / "videos")
    bucket.client.upload_file(str(tmp_path / "set.zip"), BUCKET, "archives/set.zip")
    folder = of_archive(project, sha256=sha256(tmp_path / "set.zip"))
    snakemake(folder, *QUICK, f"{TABLES}/videos/clap.tsv")
    assert len((folder / TABLES / "videos/clap.tsv").read_text().splitlines()) == 9
    assert (folder / "resources/small/archives/set.zip").exists()


def with_results(project, prefix: str) -> tuple[Path, list[Path], tuple[str, ...]]:
    """Return a project with results, their files, and the options that publish only them."""
    folder = project(path="videos")
    edit(
        folder / "config/config.yaml",
        lambda c: c.update(
            tracking={"publish": f"s3://{BUCKET}/{prefix}"},
            export={"etlt": "never", "triton": "onnx"},
        ),
    )
    results = folder / "results/small"
    run = results / "experiments/rgb_2d/split1"
    of_run = ("model.pth", "model.json", "history.csv", "metrics.json", "predictions.csv")
    exported = ("export/model.onnx", "export/labels.txt", "export/model.json")
    of_dataset = ("summary.csv", "comparisons.csv", "dataset.json", "dataset.html", "report.json")
    made = [run / name for name in (*of_run, "split.tsv", *exported, "export/verification.json")]
    made += [results / name for name in (*of_dataset, "report.html")]
    made += [results / "experiments/rgb_2d/settings.yaml"]
    made += [run / "export/triton/model/1/model.onnx", run / "export/triton/model/config.pbtxt"]
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    options = ("--allowed-rules", "publish_run", "publish_dataset", "publish", "--", "publish")
    return folder, made, options


@pytest.mark.slow
def test_results_are_published(project, bucket):
    folder, made, options = with_results(project, "results/small")
    results = folder / "results/small"
    said = snakemake(folder, *QUICK, *options)
    assert bucket.keys("results/small") == {str(file.relative_to(results)) for file in made}
    assert SECRET_KEY not in said and not places_of(SECRET_KEY, folder)
    assert all(file.read_text() == file.name for file in made)


@pytest.mark.slow
@pytest.mark.thorough
def test_what_is_published_is_published_again_only_when_it_changes(project, bucket):
    folder, made, options = with_results(project, "again")
    snakemake(folder, *QUICK, *options)
    assert "Nothing to be done" in snakemake(folder, *QUICK, "-n", *options)
    made[0].write_text("other")
    said = snakemake(folder, *QUICK, "-n", *options)
    assert "rule publish_run" in said and "rule publish_dataset" not in said


@pytest.mark.slow
@pytest.mark.thorough
def test_a_store_for_all_files_is_refused(project, bucket):
    folder = project(path="videos")
    prefix = ("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}/all")
    said = snakemake(folder, *QUICK, "-n", *prefix, check=False)
    assert "The workflow keeps its folders on disks" in said and "tracking.publish" in said
