"""The workflow fed from archives of a server: fetched once, unpacked, removed, fetched again."""

import http.server
import io
import threading
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from actionrec.utils.files import sha256
from helpers import clone, edit, snakemake, write_video

CLASSES = ("play guitar", "Übung", "jump")
SPLIT = "results/small/experiments/rgb_2d/split1/split.tsv"


class Server(http.server.SimpleHTTPRequestHandler):
    """Give files of a folder and count what was asked for."""

    asked: ClassVar[Counter] = Counter()
    folder: ClassVar[str] = ""

    def log_message(self, *_arguments) -> None:
        pass

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        super().do_GET()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of a server with a data set packed and listed as UCF101 is."""
    folder = tmp_path_factory.mktemp("site")
    video = write_video(folder / "video.avi", 4).read_bytes()
    names = {
        cls: [f"v_{cls}_g{g:02d}_c{c:02d}.avi" for g in range(1, 6) for c in (1, 2)]
        for cls in CLASSES
    }
    with zipfile.ZipFile(folder / "set.zip", "w") as zipped:
        for cls, videos in names.items():
            for number, name in enumerate(videos):
                # Bytes after the end of an AVI are padding: no two videos are equal.
                zipped.writestr(f"UCF-101/{cls}/{name}", video + bytes([len(cls), number]))
    with zipfile.ZipFile(folder / "lists.zip", "w") as zipped:
        for number, text in lists(names).items():
            zipped.writestr(f"ucfTrainTestlist/{number}", text)
    Server.folder = str(folder)
    handler = partial(Server, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def lists(names: dict[str, list[str]]) -> dict[str, str]:
    texts = {"classInd.txt": "".join(f"{i} {cls}\r\n" for i, cls in enumerate(names, 1))}
    for split in (1, 2, 3):
        parts: dict[str, list[str]] = {"train": [], "test": []}
        for label, (cls, videos) in enumerate(names.items(), 1):
            for name in videos:
                test = f"_g{split:02d}_" in name
                parts["test" if test else "train"].append(
                    f"{cls}/{name}" if test else f"{cls}/{name} {label}"
                )
        texts |= {f"{part}list0{split}.txt": "\r\n".join(of) for part, of in parts.items()}
    return texts


@pytest.fixture
def project(tmp_path, site):
    """Return a clone whose configuration fetches that data set and does not keep it."""
    folder = clone(tmp_path / "project")
    address = site[1]
    Server.asked.clear()
    config = {
        "dataset": {
            "name": "small",
            "source": "archives",
            "classes": list(CLASSES[:2]),
            "archives": {
                "videos": {"file": "set.zip", "urls": [f"{address}/no.zip", f"{address}/set.zip"]},
                "splits": {"file": "lists.zip", "urls": [f"{address}/lists.zip"]},
            },
            "keep_archives": False,
        },
        "splits": {"method": "official", "validation": 0.25},
        "spec": {"model": {"input_height": 32, "input_width": 32}},
        "experiments": {"rgb_2d": None},
    }
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return folder


def planned(folder: Path, *targets: str) -> Counter:
    text = snakemake(folder, *targets, "-n", "-q", "rules")
    rows = [line.split() for line in text.partition("Job stats:")[2].splitlines()]
    return Counter({r[0]: int(r[1]) for r in rows if len(r) == 2 and r[1].isdigit()})


@pytest.mark.slow
def test_archives_go_and_come_again_only_when_needed(project):
    archives = project / "resources/small/archives"
    said = snakemake(project, "--cores", "2", SPLIT)
    assert "No checksum of" in said
    assert {path.name for path in archives.glob("[!.]*")} == {"lists.zip.sha256", "set.zip.sha256"}
    assert Server.asked == {"/no.zip": 1, "/set.zip": 1, "/lists.zip": 1}
    groups = {}
    for row in (project / SPLIT).read_text().splitlines()[1:]:
        part, cls, video, *_ = row.split("\t")
        groups.setdefault((cls, part), set()).add(video.rpartition("_")[0].rpartition("_")[2])
    for cls in CLASSES[:2]:
        parts = [groups[cls, part] for part in ("train", "val", "test")]
        assert sum(map(len, parts)) == 5 and groups[cls, "test"] == {"g01"}
    assert planned(project, SPLIT) == {}

    (project / "resources/small/frames/Übung/v_Übung_g03_c01/rgb/000002.png").unlink()
    jobs = planned(project, SPLIT)
    assert jobs["extract_frames"] == 1 and not jobs["download_archive"], "the videos are there"

    edit(project / "config/config.yaml", lambda c: c["dataset"].update(classes=list(CLASSES)))
    snakemake(project, "--cores", "2", "results/small/tables/videos/jump.tsv")
    assert Server.asked["/set.zip"] == 2
    assert not list(archives.glob("*.zip"))
    assert len(list((project / "resources/small/videos/jump").iterdir())) == 10


@pytest.mark.slow
def test_another_mirror_is_no_reason_to_download_again(project):
    videos = "results/small/tables/videos/jump.tsv"

    def known(config, *mirrors):
        config["dataset"] |= {"classes": list(CLASSES), "keep_archives": True}
        entry = config["dataset"]["archives"]["videos"]
        entry["sha256"] = sha256(Path(Server.folder, "set.zip"))
        entry["urls"] = [*mirrors, *entry["urls"]]

    edit(project / "config/config.yaml", known)
    snakemake(project, "--cores", "1", videos)
    edit(project / "config/config.yaml", lambda config: known(config, "https://mirror.invalid/a"))
    assert planned(project, videos) == {}


@pytest.mark.slow
def test_archives_that_are_here_are_linked_and_never_removed(project, site):
    own = {role: site[0] / name for role, name in (("videos", "set.zip"), ("splits", "lists.zip"))}
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in own.values()}

    def use_own(config):
        config["dataset"]["archives"] = {role: {"path": str(path)} for role, path in own.items()}

    edit(project / "config/config.yaml", use_own)
    splits = "resources/small/splits/Übung_test_split1.txt"
    targets = ("results/small/tables/videos/Übung.tsv", splits)
    snakemake(project, "--cores", "2", *targets)
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in own.values()}
    assert Server.asked == {}
    assert planned(project, *targets) == {}


@pytest.mark.slow
def test_unpacked_videos_use_official_splits_from_a_folder(project, site):
    for name in ("set", "lists"):
        with zipfile.ZipFile(io.BytesIO((site[0] / f"{name}.zip").read_bytes())) as zipped:
            zipped.extractall(project / "mine")

    def unpacked(config):
        config["dataset"] |= {"source": "folder", "path": "mine/UCF-101"}
        config["dataset"]["archives"] = {"splits": {"path": "mine/ucfTrainTestlist"}}

    edit(project / "config/config.yaml", unpacked)
    snakemake(project, "--cores", "2", SPLIT)
    parts = Counter(row.split("\t")[0] for row in (project / SPLIT).read_text().splitlines()[1:])
    assert parts == {"train": 12, "val": 4, "test": 4}


@pytest.mark.slow
def test_an_archive_put_there_by_hand_is_checked_before_it_is_used(project):
    edit(
        project / "config/config.yaml",
        lambda c: c["dataset"]["archives"]["videos"].update(sha256="0" * 64),
    )
    archive = project / "resources/small/archives/set.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("jump/a.avi", b"x")
    said = snakemake(project, "--cores", "1", "results/small/tables/videos/Übung.tsv", check=False)
    assert "A file has another checksum than expected" in said
    assert archive.exists() and not (project / "resources/small/videos").exists()
