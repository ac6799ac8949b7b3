"""Why a file cannot be used as a video, in words that help its owner; loads nothing heavy."""

import shlex
import stat
from pathlib import Path

_HEAD = 4096  # bytes to look at
_KINDS = (
    (b"version https://git-lfs.github.com/", "a Git LFS pointer, not the video: git lfs pull"),
    (b"#extm3u", "a playlist, which names other files"),
    (b"ffconcat version", "a playlist, which names other files"),
    (b"[playlist]", "a playlist, which names other files"),
    (b"<!doctype html", "a web page: download the video again"),
    (b"<html", "a web page: download the video again"),
    (b"pk\x03\x04", "a ZIP archive: unpack it"),
    (b"rar!", "a RAR archive: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
)


class BadVideo(Exception):
    """Say why a video cannot be used; the text follows the video's name, as "is truncated" does."""


def look_into(path: Path) -> str:
    """Return why a file may hold no video, by its first bytes and its size, or "".

    That is for the message about a file that could not be opened, and no reason to refuse one.
    Raises `BadVideo` when the file is empty or none, such as a pipe, `OSError` when it cannot be
    read.
    """
    found = path.stat()
    size = found.st_size
    if not stat.S_ISREG(found.st_mode):
        raise BadVideo("is not a file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise BadVideo("is empty (0 bytes)")
    if head[:4] == b"RIFF" and (stated := int.from_bytes(head[4:8], "little") + 8) > size:
        return f"it is cut off, {size} of {stated} bytes are there"
    if not any(head):
        return f"its first {len(head)} bytes are zero, as a failed copy or download leaves them"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((f"it is {kind}" for sign, kind in _KINDS if text.startswith(sign)), "")


def convert_command(path: Path) -> str:
    """Return the command that makes a video of the same frames in a codec that everything reads."""
    lossless = ["-c:v", "libx264", "-qp", "0", str(path.with_name(f"{path.stem}_h264.mp4"))]
    return shlex.join(["ffmpeg", "-i", str(path), *lossless])
