"""Make the demo set: drawn videos with HMDB51's names, packed like HMDB51's archives.

Every class occurs in every source, and a split keeps a source whole, so neither the scene nor the
person gives the class away: only the motion does.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import rars

from actionrec.sources.demo_drawing import (
    HEIGHT,
    WIDTH,
    Scene,
    Shot,
    draw_scene,
    draw_shot,
    moves_camera,
    render,
)
from actionrec.utils.files import replacing

CLASSES = ("fall_floor", "ride_bike", "walk", "run", "push")
FPS = 30
SPLIT_FOLDER = "testTrainMulti_7030_splits"
SPLIT_NUMBERS = (1, 2, 3)
UNUSED, TRAIN, TEST = 0, 1, 2
MEMBER_TIME = 1_600_000_000  # one time for all members: equal seeds give equal bytes

# Invented titles; the odd characters are those of HMDB51's own names.
SOURCES = (
    "Harbour_Morning_[HD]",
    "-_FREE_SUNDAY_-_part_1",
    "Old_Town_(1998)",
    "#7_Station_Square",
    "What_A_Day!",
    "Tom_&_Anna_Trailer",
    "Meadow;_Evening",
    "River~Cut",
    "Back_Yard+Garden",
    "Winter_@_Lake",
    "20060723sfjffrooftop_avi",
    "Grandmas_Garden",
    "LONG_WAY_HOME",
    "prelinger_(part_2)_#3",
    "Two_Brothers_[HQ]_&_more",
    "50_Years_Of_TV",
)


@dataclass(frozen=True)
class DemoVideo:
    """One video of the demo set, before it is drawn."""

    name: str
    source: str
    scene: Scene
    shot: Shot


def make_archives(
    videos: Path, splits: Path, *, seed: int = 51, videos_per_class: int = 32, workers: int = 2
) -> None:
    """Write the demo set's two archives: nested class archives, and the official-style splits.

    `videos` holds `<class>.rar` files with `<class>/<video>.avi` in each; `splits` holds
    `testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt`. Equal arguments give equal
    bytes on one machine. Layout and line format: HMDB51, Kuehne et al., ICCV 2011.
    """
    rng = np.random.default_rng(seed)
    scenes = {source: draw_scene(rng) for source in SOURCES[:videos_per_class]}
    drafts = {cls: _draft_videos(cls, scenes, videos_per_class, rng) for cls in CLASSES}
    parts = [_part_sources(list(scenes), rng) for _ in SPLIT_NUMBERS]
    with ThreadPoolExecutor(workers) as pool:
        archives = pool.map(_pack_class, drafts, drafts.values())
        members = {f"{cls}.rar": data for cls, data in zip(drafts, archives, strict=True)}
    with replacing(splits) as part:
        part.write_bytes(_pack(_split_files(drafts, parts)))
    with replacing(videos) as part:
        part.write_bytes(_pack(members, store=True))


def _draft_videos(
    cls: str, scenes: Mapping[str, Scene], number: int, rng: np.random.Generator
) -> list[DemoVideo]:
    videos = []
    for index, source in zip(range(number), cycle(scenes), strict=False):
        shot = draw_shot(cls, rng)
        name = f"{source}_{cls}_{_tags(shot)}_{index // len(scenes)}.avi"
        videos.append(DemoVideo(name, source, scenes[source], shot))
    return videos


def _tags(shot: Shot) -> str:
    camera = "cm" if moves_camera(shot) else "nm"
    view = "le" if shot.mirrored else "ri"
    quality = "bad" if shot.blurred else "goo"
    return f"f_{camera}_np1_{view}_{quality}"


def _part_sources(sources: Sequence[str], rng: np.random.Generator) -> dict[str, int]:
    """Assign each source to training or test, about 70/30; of many sources, some to neither."""
    tested = max(1, round(0.3 * len(sources)))
    unused = len(sources) // 10
    digits = [TEST] * tested + [UNUSED] * unused
    digits += [TRAIN] * (len(sources) - len(digits))
    return dict(zip(rng.permutation(sources).tolist(), digits, strict=True))


def _split_files(
    videos: Mapping[str, Sequence[DemoVideo]], parts: Sequence[Mapping[str, int]]
) -> dict[str, bytes]:
    files = {}
    for cls, number in product(videos, SPLIT_NUMBERS):
        digits = parts[number - 1]
        lines = sorted(f"{video.name} {digits[video.source]} \n" for video in videos[cls])
        files[f"{SPLIT_FOLDER}/{cls}_test_split{number}.txt"] = "".join(lines).encode()
    return files


def _pack_class(cls: str, videos: Sequence[DemoVideo]) -> bytes:
    return _pack({f"{cls}/{video.name}": _encode(video) for video in videos})


def _pack(members: Mapping[str, bytes], *, store: bool = False) -> bytes:
    builder = rars.RarBuilder(format=rars.RAR29, compression=1, store=store)
    for name, data in members.items():
        builder.add_bytes(data, name, mtime=MEMBER_TIME, mode=0o644)
    return builder.to_bytes()


def _encode(video: DemoVideo) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "video.avi")
        fourcc = cv2.VideoWriter.fourcc(*"XVID")
        writer = cv2.VideoWriter(str(path), fourcc, FPS, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise RuntimeError("This OpenCV cannot encode XVID into AVI.")
        for frame in render(video.scene, video.shot):
            writer.write(frame)
        writer.release()
        return path.read_bytes()
