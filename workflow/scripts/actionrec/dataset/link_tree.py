"""Put the images of a video elsewhere: as a link, as links to each image, or as copies."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actionrec.errors import InputError

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
