"""Show a dataset before it is trained on: one page with counts, pictures and all that is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec.dataset import figures
from actionrec.dataset.findings import comparisons, findings
from actionrec.dataset.fingerprints import SAMPLED_AT, frame_index
from actionrec.dataset.summary import rate, source_size
from actionrec.errors import InputError
from actionrec.frames.manifest import STATUSES, FrameRecord, read_manifest
from actionrec.frames.store import open_frames
from actionrec.utils.pages import jpeg_url, templates
from actionrec.utils.pages import write_page as write_html
from actionrec.utils.small_files import read_object

VIDEOS_SHOWN = 3  # of a class
FRAME_HEIGHT = 84  # pixels of a picture
ROWS, ROWS_OF_CLASS = 2000, 40  # of the tables of videos: of all classes, at least of each
LISTED = 200  # entries of each finding; dataset.json has all of them


@dataclass(frozen=True)
class Strip:
    """A video and some of its frames next to each other, as a data URL."""

    record: FrameRecord
    picture: str


def write_page(
    name: str,
    *,
    summary: Path | str,
    manifests: Mapping[str, Path | str],
    frames: Path | str,
    output: Path | str,
    tolerate: int | None = None,
    flips: Mapping[str, float] | None = None,
) -> None:
    """Write dataset.html: one page that holds all it shows and opens from disk.

    `summary` is dataset.json, `frames` holds <class>/<video>/rgb, `tolerate` is frames.tolerate,
    `flips` how probable it is that each experiment mirrors a training clip. Equal data give an
    equal page.
    """
    dataset = read_object(Path(summary))
    records = {cls: read_manifest(Path(manifest)) for cls, manifest in manifests.items()}
    usable = {cls: [record for record in of if record.usable] for cls, of in records.items()}
    write_html(
        templates("dataset") / "dataset.html.jinja",
        output,
        name=name,
        dataset=dataset,
        findings=findings(dataset, tolerate, flips),
        comparisons=comparisons(dataset),
        listed=LISTED,
        videos=list(_videos(records)),
        lengths=figures.lengths(dataset["lengths"]),
        lengths_by_class=figures.lengths_by_class(dataset["lengths"]),
        parts=figures.parts(dataset),
        sides=list(figures.sides(dataset)),
        small=figures.SMALL,
        strips={cls: list(_strips(Path(frames), cls, of)) for cls, of in usable.items()},
    )


def _videos(records: Mapping[str, Sequence[FrameRecord]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of videos: by class, those with a problem or remark first."""
    limit = max(ROWS_OF_CLASS, ROWS // max(1, len(records)))
    for cls, of_class in records.items():
        order = sorted(of_class, key=lambda record: (-STATUSES.index(record.status), record.video))
        yield from (_facts(cls, record) for record in order[:limit])


def _facts(cls: str, record: FrameRecord) -> dict[str, Any]:
    """Return what the page's table says of a video."""
    notes = [record.orientation, f"{record.interlaced} interlaced frames" * (record.interlaced > 0)]
    known = {
        "size": source_size(record),
        "rate": rate(record) if record.fps else "",
        "seconds": f"{record.frames / record.fps:.1f}" if record.fps else "",
    }
    return {
        "class": cls,
        "name": record.display_name,
        "status": record.status,
        "frames": record.frames,
        "codec": record.codec,
        **(known if record.usable else dict.fromkeys(known, "")),
        "notes": "; ".join(filter(None, [*notes, record.reason])),
    }


def _strips(frames: Path, cls: str, records: Sequence[FrameRecord]) -> Iterator[Strip]:
    """Yield some videos of a class, evenly spread over their names, with some of their frames."""
    shown = min(VIDEOS_SHOWN, len(records))
    for index in range(shown):
        record = records[index * len(records) // shown]
        ids = [frame_index(record, share) for share in SAMPLED_AT]
        if picture := _strip(frames / cls / record.video / "rgb", ids):
            yield Strip(record, picture)


def _strip(rgb: Path, ids: Sequence[int]) -> str:
    """Return frames of a video next to each other as a data URL; "" when none can be read."""
    from PIL import Image

    found = {}
    with suppress(InputError):  # what is damaged is left out
        for index, pixels in open_frames(rgb).read(ids):
            image = Image.fromarray(pixels[..., ::-1].copy())
            width = max(1, round(image.width * FRAME_HEIGHT / image.height))
            found[index] = image.resize((width, FRAME_HEIGHT))
    images = [found[index] for index in ids if index in found]
    if not images:
        return ""
    sheet = Image.new("RGB", (sum(image.width for image in images), FRAME_HEIGHT))
    left = 0
    for picture in images:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return jpeg_url(sheet)
