"""Put the images of a video elsewhere: as a link, as links to each image, or as copies."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from actionrec.dataset import link_tree
from actionrec.dataset.split_table import PARTS, Row, read_split
from actionrec.errors import InputError, in_lines
from actionrec.frames.flow_manifest import flow_faults
from actionrec.frames.manifest import frame_fault, suffix_of
from actionrec.utils.files import replacing

FOLDERS = ("rgb", "u", "v")
NO_SUCH_LINKS = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

_OF_A_FILE: Mapping[str, Callable[[str, Path], object]] = {
    "hardlink": os.link,
    "copy": shutil.copyfile,
}


def place(video: Path, at: Path, final: Path, links: str) -> None:
    """Put a video's folder of images at `at`, which will be renamed to `final`."""
    at.parent.mkdir(parents=True, exist_ok=True)
    if links == "symlink":
        at.symlink_to(os.path.relpath(video, final.parent))
    else:
        each_image(video, at, _OF_A_FILE[links])


def each_image(video: Path, at: Path, put: Callable[[str, Path], object]) -> None:
    """Make the folder `at` with those of `video` that hold images, and `put` each image there."""
    for name in FOLDERS:
        if not (video / name).is_dir():
            continue
        (at / name).mkdir(parents=True)
        with os.scandir(video / name) as images:
            for image in images:
                put(image.path, at / name / image.name)


@contextmanager
def explained_link_errors(folder: Path, links: str) -> Iterator[None]:
    """Turn the refusal of a link by the file system into an `InputError` with the alternatives."""
    try:
        yield
    except OSError as error:
        if links == "copy" or error.errno not in NO_SUCH_LINKS:
            raise
        others = {"symlink": ["hardlink", "copy"], "hardlink": ["symlink", "copy"]}[links]
        across = error.errno == errno.EXDEV
        raise InputError(
            "A hard link cannot lead to another volume."
            if across
            else f"The file system does not make a {links}: {os.strerror(error.errno)}.",
            where=folder,
            found=f"splits.links: {links}",
            allowed=others,
            fix=f"set splits.links: {others[-1] if across else others[0]}",
        ) from error


def link_split(table: Path, frames: Path, data: Path, links: str = "symlink") -> None:
    """Lay a split out below `data`, each video as a link to `<frames>/<class>/<video>`.

    `data/{train,val,test}/<class>/<video>` is what TAO trains and evaluates on;
    `data/inference/<class>.<video>` are the test videos side by side, as TAO's inference wants
    them. `links` is "symlink" (relative), or "hardlink" or "copy" of each image. The whole tree is
    published at once. Raises `InputError` when frames are missing, or when the file system has no
    such links.
    """
    rows = read_split(table)
    _require_frames(rows, frames)
    root = frames.resolve()
    final = data.parent.resolve() / data.name
    flat = _flat_names(rows)
    with replacing(data) as part, link_tree.explained_link_errors(data, links):
        for row in rows:
            name = Path(row.part, row.cls, row.video)
            link_tree.place(root / row.cls / row.video, part / name, final / name, links)
        for name, (cls, video) in flat.items():
            name = Path("inference", name)
            link_tree.place(root / cls / video, part / name, final / name, links)
        for folder in {row.part for row in rows}:
            for cls in {row.cls for row in rows}:
                (part / folder / cls).mkdir(exist_ok=True)


def _require_frames(rows: Sequence[Row], frames: Path) -> None:
    lost = [row for row in rows if not (frames / row.cls / row.video / "rgb").is_dir()]
    if lost:
        raise InputError(
            f"{len(lost)} videos of the split have no frames.",
            where=frames,
            found=in_lines([f"{row.cls}/{row.video}" for row in lost]),
            fix="snakemake dataset --cores 1",
        )


def verify_split(table: Path, data: Path, parts: Sequence[str] = PARTS) -> list[Row]:
    """Return the rows of `parts` once every link leads to exactly the images that the table states.

    Raises `InputError` that names each video which differs.
    """
    rows = [row for row in read_split(table) if row.part in parts]
    expected = {data / row.part / row.cls / row.video: row for row in rows}
    faults = [
        f"{row.part}/{row.cls}/{row.video}: {fault}"
        for path, row in expected.items()
        for fault in _image_faults(path, row)
    ]
    classes = {path.parent for path in expected}
    allowed = {*expected, *(path.parent / row.cls for path in classes for row in rows)}
    folders = classes | {path.parent for path in classes}
    found = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    faults += [f"{path.relative_to(data)}: not in the split" for path in sorted(found - allowed)]
    if faults:
        raise InputError(
            "The data of a split are not what its table says.",
            where=data,
            found=in_lines(faults),
            fix=f"run snakemake again, it notices lost images; or remake the links: "
            f"snakemake -f {data} --cores 1",
        )
    return rows


def _image_faults(video: Path, row: Row) -> Iterator[str]:
    if fault := frame_fault(video / "rgb", row.frames, suffix_of(row.format)):
        yield fault
    if row.flow:
        yield from flow_faults(video, row.frames - 1)


def inference_names(table: Path) -> dict[str, tuple[str, str]]:
    """Return `<class>.<video>` -> (class, video) of a split's test videos, in their order."""
    return _flat_names(read_split(table))


def _flat_names(rows: Iterable[Row]) -> dict[str, tuple[str, str]]:
    names: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.part != "test":
            continue
        name = f"{row.cls}.{row.video}"
        if name in names:
            twins = [f"{cls}/{video}" for cls, video in (names[name], (row.cls, row.video))]
            raise InputError(
                "Two test videos have the same <class>.<video>.",
                found=" = ".join(twins),
                fix="rename one of the classes or videos",
            )
        names[name] = (row.cls, row.video)
    return names
