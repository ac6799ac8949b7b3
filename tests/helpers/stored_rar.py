"""Write RAR archives without compression, and with whatever a trap may hold."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

RAR5_REDIRECT, UNIX_SYMLINK, HARD_LINK = 5, 1, 4


@dataclass
class Entry:
    """A member as its header claims it to be; `size` may lie, `link` makes it a link."""

    name: str
    data: bytes = b""
    size: int | None = None
    link: str | None = None
    hard: bool = False

    @property
    def claimed(self) -> int:
        return len(self.data) if self.size is None else self.size


def write_rar(path: Path, entries: list[Entry], version: int = 5) -> Path:
    """Write `entries` in the format of RAR 4 or RAR 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_rar5(entries) if version == 5 else _rar4(entries))
    return path


def _rar4(entries: list[Entry]) -> bytes:
    blocks = [b"Rar!\x1a\x07\x00", _block4(0x73, 0, bytes(6))]
    for entry in entries:
        data = entry.link.encode() if entry.link else entry.data
        claimed = len(data) if entry.link else entry.claimed
        mode = 0o120777 if entry.link else 0o100644
        name = entry.name.encode()
        numbers = (len(data), claimed, 3, zlib.crc32(data), 0x50000000, 20, 0x30, len(name), mode)
        blocks += [_block4(0x74, 0x8000, struct.pack("<IIBIIBBHI", *numbers) + name), data]
    return b"".join([*blocks, _block4(0x7B, 0x4000, b"")])


def _block4(kind: int, flags: int, body: bytes) -> bytes:
    head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
    return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head


def _rar5(entries: list[Entry]) -> bytes:
    blocks = [b"Rar!\x1a\x07\x01\x00", _block5(_vints(1, 0, 0))]
    for entry in entries:
        name = entry.name.encode()
        extra = _redirect(entry) if entry.link else b""
        fields = _vints(0x04, entry.claimed, 0o100644) + struct.pack("<I", zlib.crc32(entry.data))
        fields += _vints(0, 1, len(name)) + name
        sizes = _vints(len(extra), len(entry.data)) if extra else _vints(len(entry.data))
        blocks += [_block5(_vints(2, 3 if extra else 2) + sizes + fields + extra), entry.data]
    return b"".join([*blocks, _block5(_vints(5, 0, 0))])


def _redirect(entry: Entry) -> bytes:
    target = entry.link.encode()
    kind = HARD_LINK if entry.hard else UNIX_SYMLINK
    record = _vints(RAR5_REDIRECT, kind, 0, len(target)) + target
    return _vints(len(record)) + record


def _block5(body: bytes) -> bytes:
    head = _vints(len(body)) + body
    return struct.pack("<I", zlib.crc32(head)) + head


def _vints(*numbers: int) -> bytes:
    out = bytearray()
    for number in numbers:
        while number > 0x7F:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)
