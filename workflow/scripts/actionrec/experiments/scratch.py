"""Copy the images that a training reads over and over to a disk of the node that it runs on."""

import logging
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import yaml

from actionrec.dataset import link_tree
from actionrec.errors import InputError
from actionrec.frames import references
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.files import sha256, write_text
from actionrec.utils.locks import locked, try_lock
from actionrec.utils.small_files import read_yaml
from actionrec.utils.text import count

PREFIX = "actionrec-"
FOLDERS = ("train_dataset_dir", "val_dataset_dir")

log = logging.getLogger(__name__)


@contextmanager
def spec_on_scratch(
    place: str, spec: Path, split: Path, *, workers: int
) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a spec that reads copies below `place`, and their folder; only `spec` without a place.

    Environment variables in `place` are expanded on this node. The copies are verified like the
    originals and removed at the end; what a killed job has left there goes first. Raises
    `InputError` when `place` cannot be written to, is full, or names an unknown variable.
    """
    if not place:
        yield spec, []
        return
    content = read_yaml(spec)
    dataset = content["dataset" if "dataset" in content else "dataset_config"]
    sources = [Path(dataset[key]) for key in FOLDERS if dataset[key]]
    with _own_folder(_expanded(place)) as folder:
        with explained_disk_errors(folder / "data"):
            _copy(sources, folder, workers)
        link_tree.verify_split(split, folder, [source.name for source in sources])
        for key in FOLDERS:
            if dataset[key]:
                dataset[key] = str(folder / Path(dataset[key]).name)
        changed = spec.with_name(f"{spec.stem}.scratch.yaml")
        write_text(changed, yaml.safe_dump(content, sort_keys=False))
        try:
            yield changed, [folder]
        finally:
            changed.unlink(missing_ok=True)


def _expanded(place: str) -> Path:
    folder = os.path.expandvars(place)
    if "$" in folder or not Path(folder).is_absolute():
        raise InputError(
            "The scratch folder is no absolute path on this node.",
            where=f"profile, scratch, on {socket.gethostname()}",
            found=place if folder == place else f"{place} = {folder}",
            fix="name a variable that jobs have there, such as $TMPDIR, or take scratch out",
        )
    return Path(folder)


@contextmanager
def _own_folder(place: Path) -> Iterator[Path]:
    """Yield a new folder in `place` that is held by a lock, which ends with this process."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    except OSError as error:
        raise InputError(
            "The scratch folder cannot be written to.",
            where=f"profile, scratch, on {socket.gethostname()}",
            found=f"{place}: {os.strerror(error.errno or 0)}",
            fix="name another folder, or take scratch out",
        ) from error
    try:
        with locked(folder / "unlocked") as held:
            if held:  # others see it under this name only
                (folder / "unlocked").rename(folder / "lock")
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path) -> None:
    """Remove the folders of jobs that were killed: nobody holds their locks."""
    for lock in place.glob(f"{PREFIX}*/lock"):
        try:
            with try_lock(lock) as held:
                if held:
                    shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # somebody else's, or gone meanwhile
            continue


def _copy(sources: list[Path], folder: Path, workers: int) -> None:
    """Copy the videos <source>/<class>/<video> to `folder`/<source's name>, several at a time."""
    start = time.monotonic()
    classes = [cls for source in sources for cls in source.iterdir()]
    for cls in classes:
        folder.joinpath(*cls.parts[-2:]).mkdir(parents=True)
    videos = [video for cls in classes for video in cls.iterdir()]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        whole = _WholeVideos(folder / "videos")
        copied = pool.map(
            lambda video: _copy_video(video, folder / Path(*video.parts[-3:]), whole), videos
        )
        size = sum(copied)
    took = time.monotonic() - start
    number = count(len(videos), "video")
    log.info("Copied %s, %.1f MB, to %s in %.1f s", number, size / 1e6, folder, took)


class _WholeVideos:
    """Copies of video files whose frames are in no images, each made once in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, Lock] = {}

    def copy(self, rgb: Path, at: Path) -> int:
        """Let the folder `at` refer to a copy of what `rgb` refers to; return the bytes copied."""
        reference = references.read_reference(rgb)
        original = reference.locate(rgb)
        copy = self._folder / f"{reference.sha256}{original.suffix}"
        size = 0
        with self._locks.setdefault(copy.name, Lock()):  # segments may share a video
            if not copy.exists():
                self._folder.mkdir(exist_ok=True)
                try:
                    shutil.copyfile(original, copy)
                except FileNotFoundError as error:
                    raise references.gone(reference, rgb, error) from error
                if sha256(copy) != reference.sha256:
                    raise references.gone(reference, rgb, "its copy has another content")
                size = reference.bytes
        references.write_reference(at, references.moved_to(reference, copy, at))
        return size


def _copy_video(video: Path, at: Path, whole: _WholeVideos) -> int:
    """Copy a video's images and compare what was written; return the bytes."""
    size = 0

    def put(source: str, target: Path) -> None:
        nonlocal size
        content = Path(source).read_bytes()
        target.write_bytes(content)
        if target.read_bytes() != content:
            raise InputError(
                "A copied image differs from the original.",
                where=target,
                fix="look at the node's disk (dmesg); name another one in the profile, scratch",
            )
        size += len(content)

    link_tree.put_images(video, at, put)
    if references.has_reference(at / "rgb"):
        size += whole.copy(video / "rgb", at / "rgb")
    return size
