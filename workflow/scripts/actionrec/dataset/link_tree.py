"""Lay a split out as TAO reads it: a tree of links to the frames, or of copies of them.

`data/{train,val,test}/<class>/<video>` is what TAO trains and evaluates on;
`data/inference/<class>.<video>` are the test videos next to each other, as TAO's inference needs
them.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from actionrec.dataset.split_table import PARTS, Row, read_split
from actionrec.errors import InputError, in_lines, snakemake_command
from actionrec.frames.flow_manifest import flow_faults
from actionrec.frames.manifest import frame_fault, suffix_of
from actionrec.utils.files import MAX_NAME_BYTES, replacing, shortened
from actionrec.utils.text import count
from actionrec.utils.work_folder import work_folder

FOLDERS = ("rgb", "u", "v")
# What file systems answer that have no such links, or none across volumes, or no more of a file.
_LINK_REFUSED = (errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_PUT_IMAGE: Mapping[str, Callable[[str, Path], object]] = {
    "hardlink": os.link,
    "copy": shutil.copyfile,
}


def _link_video(video: Path, at: Path, final: Path, links: str) -> None:
    """Put a video's folder of images at `at`, which will be renamed to `final`."""
    at.parent.mkdir(parents=True, exist_ok=True)
    if links == "symlink":
        at.symlink_to(os.path.relpath(video, final.parent))
    else:
        put_images(video, at, _PUT_IMAGE[links])


def put_images(video: Path, at: Path, put: Callable[[str, Path], object]) -> None:
    """Make the folder `at` with those of `video` that hold images, and `put` each image there."""
    for name in FOLDERS:
        if not (video / name).is_dir():
            continue
        (at / name).mkdir(parents=True)
        with os.scandir(video / name) as images:
            for image in images:
                if not image.is_file():  # a copy would wait for a pipe for ever
                    raise InputError(
                        "Among the frames there is a pipe, a folder or a broken link.",
                        where=video / name,
                        found=image.name,
                        fix=f"remove it, then type: {snakemake_command('dataset', '--cores', 1)}",
                    )
                put(image.path, at / name / image.name)


@contextmanager
def _explained_link_errors(folder: Path, links: str) -> Iterator[None]:
    """Turn the refusal of a link by the file system into an `InputError` with the alternatives."""
    try:
        yield
    except OSError as error:
        if links == "copy" or error.errno not in _LINK_REFUSED:
            raise
        others = _possible_links(folder.parent, {"symlink", "hardlink"} - {links})
        across = error.errno == errno.EXDEV
        raise InputError(
            "A hard link cannot lead to another volume."
            if across
            else f"The file system does not make a {links}: {os.strerror(error.errno)}.",
            where=folder,
            found=f"splits.links: {links}",
            allowed=others,
            fix=f"set splits.links: {others[-1 if across else 0]}",
        ) from error


def _possible_links(folder: Path, kinds: Iterable[str]) -> list[str]:
    """Return which of the kinds of links a folder's file system makes, and copies behind them."""
    made = []
    with work_folder(folder / ".links") as temporary:
        file = temporary / "file"
        file.touch()
        for kind in kinds:
            try:
                (os.symlink if kind == "symlink" else os.link)(file, temporary / kind)
            except OSError:
                continue
            made.append(kind)
    return [*made, "copy"]


def link_split(table: Path | str, frames: Path | str, data: Path | str, links: str) -> None:
    """Lay the split in `table` out below `data`, each video as a link to its frames.

    `frames` holds <class>/<video>. `links` is "symlink" (relative), or "hardlink" or "copy" of each
    image. The whole tree is published at once. Raises `InputError` when frames are missing, or
    when the file system has no such links.
    """
    data = Path(data)
    rows = read_split(Path(table))
    _require_frames(rows, Path(frames))
    # Relative links survive moving the project; they start from where the tree will really be,
    # since `results` may itself be a link to another disk.
    root = Path(frames).resolve()
    final = data.parent.resolve() / data.name
    places = [(Path(row.part, row.cls, row.video), row.cls, row.video) for row in rows]
    places += [(Path("inference", flat), *key) for flat, key in _flat_names(rows).items()]
    with replacing(data) as part, _explained_link_errors(data, links):
        for place, cls, video in places:
            _link_video(root / cls / video, part / place, final / place, links)
        # TAO wants a folder of every class in every part, an empty one too.
        for name in {row.part for row in rows}:
            for cls in {row.cls for row in rows}:
                (part / name / cls).mkdir(exist_ok=True)


def _require_frames(rows: Sequence[Row], frames: Path) -> None:
    lost = [row for row in rows if not (frames / row.cls / row.video / "rgb").is_dir()]
    if lost:
        raise InputError(
            f"The frames of {count(len(lost), 'video')} of the split are missing.",
            where=frames,
            found=in_lines([f"{row.cls}/{row.video}" for row in lost]),
            fix=snakemake_command("dataset", "--cores", 1),
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
    # Strays count as well: TAO lists the folders, and would train on what the table does not name.
    classes = {path.parent for path in expected}
    allowed = {*expected, *(path.parent / row.cls for path in classes for row in rows)}
    folders = classes | {path.parent for path in classes}
    found = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    faults += [f"{path.relative_to(data)}: not in the split" for path in sorted(found - allowed)]
    if faults:
        raise InputError(
            "The images of a split are not those that its table lists.",
            where=data,
            found=in_lines(faults),
            fix="run snakemake again, which notices lost images; or make the links again: "
            f"{snakemake_command('-f', data, '--cores', 1)}",
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
        name = shortened(f"{row.cls}.{row.video}", MAX_NAME_BYTES)
        if name in names:
            twins = [f"{cls}/{video}" for cls, video in (names[name], (row.cls, row.video))]
            raise InputError(
                "Two test videos have the same <class>.<video>.",
                found=" = ".join(twins),
                fix="rename one of the classes or videos",
            )
        names[name] = (row.cls, row.video)
    return names
