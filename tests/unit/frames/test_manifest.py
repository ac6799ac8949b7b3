"""The manifest round-trips, is refused when it is damaged, and verifies the frames."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord, frame_fault, read_manifest, write_manifest
from helpers import REPOSITORY

RECORD = FrameRecord("a", "a.avi", 5, 64, 48, 29.97, 1234, "0" * 64, "png", "png", "ok", "")


def test_round_trip_of_every_name_a_file_system_allows(tmp_path):
    odd = [
        "tab\there",
        "line\nbreak",
        'quo"te',
        "\r",
        "'",
        " blank ",
        "Ü日本",
        os.fsdecode(b"\xff"),
    ]
    records = [replace(RECORD, video=name, file=f"{name}.avi") for name in odd]
    records.append(
        FrameRecord("z", "z.avi", 0, 0, 0, 0.0, 0, "1" * 64, "", "", "bad", "is empty (0 bytes)")
    )
    write_manifest(tmp_path / "walk.tsv", records)
    assert read_manifest(tmp_path / "walk.tsv") == sorted(records, key=lambda record: record.video)
    first = (tmp_path / "walk.tsv").read_bytes()
    write_manifest(tmp_path / "walk.tsv", reversed(records))
    assert (tmp_path / "walk.tsv").read_bytes() == first


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.replace("status", "state"),
        lambda text: text.replace("\t5\t", "\tfive\t"),
        lambda text: text.replace("\tok\t", "\tfine\t"),
        lambda text: text.rstrip("\n").rpartition("\t")[0],
        lambda text: text.replace("\na\t", "\n../../a\t"),
        lambda text: text + '"',
        lambda text: "\0" * 50,
    ],
)
def test_damaged_manifest_is_refused_with_the_command(tmp_path, damage):
    path = tmp_path / "walk.tsv"
    write_manifest(path, [RECORD])
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match=r"snakemake -f .*walk\.tsv --cores"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda rgb: (rgb / "000002.png").unlink(), "expected 6 png frames, found 5 files"),
        (lambda rgb: (rgb / "x").touch(), "expected 6 png frames, found 7 files, among them x"),
        (lambda rgb: (rgb / "000006.png").rename(rgb / "000006.jpg"), "among them 000006.jpg"),
        (lambda rgb: shutil.rmtree(rgb), "expected 6 frames, found no folder rgb"),
    ],
)
def test_a_frame_folder_is_compared_name_by_name(tmp_path, damage, message):
    rgb = tmp_path / "rgb"
    rgb.mkdir()
    for number in range(1, 7):
        (rgb / f"{number:06d}.png").touch()
    assert frame_fault(rgb, 6, "png") == ""
    damage(rgb)
    assert message in frame_fault(rgb, 6, "png")


def test_the_snakefile_pays_for_no_heavy_import():
    heavy = {"cv2", "numpy", "torch"}
    code = f"import sys, actionrec.frames.staleness; print({heavy} & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
    )
    assert run.stdout == "set()\n"
