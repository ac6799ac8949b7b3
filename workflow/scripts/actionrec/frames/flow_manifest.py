"""The flow manifest of a class: from what and how each video's flow images were made.

The Snakefile imports this module for `staleness`, so it loads nothing heavy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actionrec.frames.manifest import frame_fault, require_valid
from actionrec.utils.tables import read_records, write_records

FOLDERS = ("u", "v")
STATUSES = ("ok", "none")


@dataclass(frozen=True)
class FlowRecord:
    """The flow images of one video: `images` in each of the folders u and v, or none and why.

    `method` is "dis" with its preset, "farneback", "tvl1" or "flo", `mapping` "max_rad" or
    "fixed". `opencv` is the version that computed and stored them: DIS differs between versions.
    `frames` is the format of the frames and `sha256` that of their pixels, of the .flo files, or of
    the video that frames were cropped out of.
    """

    video: str
    images: int
    width: int
    height: int
    method: str
    mapping: str
    opencv: str
    frames: str
    sha256: str
    status: str
    reason: str

    def __post_init__(self) -> None:
        require_valid(self.video, self.status, STATUSES)

    @property
    def usable(self) -> bool:
        """Tell whether the video has flow."""
        return self.status == "ok"

    @property
    def cache_key(self) -> str:
        """Return what this flow depends on besides its video and frames."""
        key = f"{self.method} {self.mapping} opencv {self.opencv}"
        return f"{key} {self.sha256}" if self.method == "flo" else key


def write_flow_manifest(path: Path, records: Iterable[FlowRecord]) -> None:
    """Write the records of a class, sorted by video."""
    write_records(path, FlowRecord, records)


def read_flow_manifest(path: Path) -> list[FlowRecord]:
    """Return the records of a class, sorted by video.

    Raises `InputError` when the file is missing or is not a flow manifest.
    """
    return read_records(path, FlowRecord)


def flow_faults(video: Path, images: int) -> Iterator[str]:
    """Yield what is wrong with the folders u and v of `video`; each holds 1 to `images`.jpg."""
    for name in FOLDERS:
        if fault := frame_fault(video / name, images, "jpg"):
            yield f"{name}: {fault}"
