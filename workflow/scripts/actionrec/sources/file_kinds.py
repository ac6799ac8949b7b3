"""Tell a web page, or an error in words, from the file that a server was asked for.

For files whose checksum nobody published: the sum of what came first is noted, and holds.
"""

import tarfile
from pathlib import Path

_HEAD = 4096
# How files begin, by suffix. What begins otherwise may be right (an old .tar has no mark): only
# together with another sign is it refused.
_MARKS = {
    ".rar": (b"Rar!\x1a\x07",),
    ".zip": (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".pth": (b"PK\x03\x04", b"\x80"),
}
_TEXTS = (".csv", ".tsv", ".txt")
_OF_WORDS = ("text/", "application/json", "application/xml", "application/xhtml")


def other_kind(path: Path, name: str, stated: str) -> str | None:
    """Return what a file is that cannot be the one called `name`, or None if it may be that.

    `stated` is the server's Content-Type.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file"
    suffix = Path(name).suffix.lower()
    if head.startswith(_MARKS.get(suffix, ())) or (suffix == ".tar" and tarfile.is_tarfile(path)):
        return None
    words = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if words[:1] == b"<" or stated.lower().startswith("text/html"):
        return "a web page or XML, not the file"
    if suffix in _TEXTS:
        return None
    if words[:1] in (b"{", b"[") and _is_text(head):
        return "JSON, not the file"
    if stated.lower().startswith(_OF_WORDS) and _is_text(head):
        return "a text, not the file"
    return None


def _is_text(head: bytes) -> bool:
    # The last character may be cut.
    return b"\x00" not in head and "\ufffd" not in head.decode("utf-8", "replace")[:-1]
