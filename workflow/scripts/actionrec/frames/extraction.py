"""Turn the videos of a class into numbered image files in TAO's layout."""

import logging
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from actionrec.errors import InputError, in_lines, snakemake_command
from actionrec.frames import references
from actionrec.frames.class_folder import hold
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.encoders import ImageFormat, make_encoder, resize
from actionrec.frames.made_images import MadeImages
from actionrec.frames.manifest import (
    WOVEN,
    FrameRecord,
    frame_fault,
    read_manifest,
    video_hash,
    write_manifest,
)
from actionrec.frames.parallel import ImageKind, Task, make_images, remove
from actionrec.frames.quick_check import list_images
from actionrec.frames.segments import (
    FrameSource,
    check_span,
    read_frame_sources,
    select_images,
    source_hash,
)
from actionrec.frames.store import decoder_version, microseconds
from actionrec.frames.videos import SUFFIXES, list_videos, read_files_table, video_names
from actionrec.utils.chunks import WHOLE, Chunk, parse_chunk
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.files import write_bytes
from actionrec.utils.text import count

if TYPE_CHECKING:
    import numpy as np

    from actionrec.frames.decoder.packets import PacketFrames
    from actionrec.frames.decoder.video import Frame, Interlaced, Video

log = logging.getLogger(__name__)

_NAMED = 10  # bad videos on the terminal, for each job

Check = Literal["full", "quick"]
RGB = ImageKind(folders=("rgb",), record=FrameRecord, unusable="bad", journal="done.tsv")


def extract(
    videos: Path | None,
    table: Path,
    crops: Path | None,
    frames: Path,
    manifest: Path,
    **options: Any,
) -> None:
    """Extract one class: the `videos` that `table` lists, or without a folder its segments.

    The manifest is tables/frames/<class>.tsv, or tables/chunks/<class>/<chunk>.tsv of a `chunk`.
    """
    if videos:
        extract_class(videos, table, frames, manifest, **options)
    else:
        extract_segments(table, crops, frames, manifest, **options)


def gather(chunks: Sequence[Path], frames: Path, manifest: Path) -> None:
    """Write the manifest of a class from those of its chunks, while no job changes its `frames`.

    Raises `InputError` when chunks are missing or damaged.
    """
    with hold(frames):
        if missing := [str(chunk) for chunk in chunks if not chunk.exists()]:
            raise InputError(
                "Tables of chunks of a class are gone: another run has made its frames in another "
                "number of chunks.",
                where=frames,
                found=in_lines(missing),
                fix="wait for runs of another frames.chunk to end, and run the same command "
                "again; finished frames are kept",
            )
        records = [record for chunk in chunks for record in read_manifest(chunk)]
        write_manifest(manifest, records)
    _log_numbers(manifest, records)


def extract_class(
    videos: Path,
    table: Path,
    frames: Path,
    manifest: Path,
    *,
    image_format: ImageFormat,
    interlaced: "Interlaced" = "deinterlace",
    check: Check = "full",
    workers: int = 0,
    chunk: Chunk = WHOLE,
) -> None:
    """Write each video's frames to `<frames>/<video>/rgb/000001.png...`, then the manifest.

    In the format "video" no images are written, but `rgb/video.json` that refers to the video. PNG
    frames are equal to what is decoded or, with a size, to what TAO's reader makes of that. A video
    whose process dies is a bad one, and the others go on. Bad ones are listed with the reason; how
    many are too many is decided where videos are divided. Frames of unchanged videos are kept,
    those of videos that are gone are removed. Raises `InputError`, and writes no manifest, when
    videos of `table` are missing or the disk is full; what was finished is kept for the next run.

    `interlaced` is as for `open_video`. The `check` "quick", for the format "video" alone, lists
    frames by their packets, and decodes a video whose packets do not tell them. `workers` is the
    number of processes, 0 for this one alone. A `chunk` of the class is all that is looked at and
    written; jobs of several may run at a time.
    """
    names = _all_videos(videos, table, chunk)
    sources = {name: FrameSource(videos / file, file) for file, name in names.items()}
    make = partial(_extract_source, _Settings(image_format, interlaced, check))
    _extract(sources, frames, manifest, make, workers, chunk, videos)


def extract_segments(
    table: Path,
    crops: Path | None,
    frames: Path,
    manifest: Path,
    *,
    image_format: ImageFormat,
    interlaced: "Interlaced" = "deinterlace",
    check: Check = "full",
    workers: int = 0,
    chunk: Chunk = WHOLE,
) -> None:
    """Write the frames of each segment in `table`, cut as it says and cropped as `crops` says.

    Otherwise as `extract_class`.
    """
    sources = read_frame_sources(table, crops, chunk)
    make = partial(_extract_source, _Settings(image_format, interlaced, check))
    _extract(sources, frames, manifest, make, workers, chunk, table)


def _extract(
    sources: Mapping[str, FrameSource],
    frames: Path,
    manifest: Path,
    extract: Callable[[Task[FrameSource, FrameRecord]], FrameRecord],
    workers: int,
    chunk: Chunk,
    where: Path,
) -> None:
    """Make the frames of a chunk of the sources, which are at `where`, and write the manifest."""
    sources = {video: source for video, source in sources.items() if chunk.holds(video)}
    with hold(frames, chunk) as held:
        _remove_other_divisions(manifest, chunk)
        _keep_only(sources, frames, chunk)
        records = make_images(held, RGB, sources, extract, _bad, workers)
        _keep_only({record.video for record in records if record.usable}, frames, chunk)
        _write_manifest(manifest, records, where)


def _remove_other_divisions(manifest: Path, chunk: Chunk) -> None:
    """Remove what tells of the class's frames, which change now, by another number of chunks.

    Snakemake would find these tables made, and by the settings of then, when they are asked for.
    """
    if chunk == WHOLE:
        chunks, others = manifest.parents[1] / "chunks" / manifest.stem, []
    else:
        chunks = manifest.parent
        others = [manifest.parents[2] / "frames" / f"{chunks.name}.tsv"]
    for table in chunks.glob("*of*.tsv"):
        if parse_chunk(table.stem).count != chunk.count:
            others.append(table)
    for table in others:
        table.unlink(missing_ok=True)


def _all_videos(videos: Path, table: Path, chunk: Chunk) -> dict[str, str]:
    """Return file -> name of the class's videos; of the chunk, all that `table` lists are there."""
    found = [path.name for path in list_videos(videos)] if videos.is_dir() else []
    listed = read_files_table(table).keys()
    names = video_names({*found, *listed})
    missing = sorted(file for file in listed - set(found) if chunk.holds(names[file]))
    if missing:
        raise InputError(
            f"{count(len(missing), 'video is', 'videos are')} missing.",
            where=videos,
            found=in_lines(missing),
            fix=snakemake_command("-f", table, "--cores", 1),
        )
    if not found:
        suffixes = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise InputError("A class has no videos.", where=videos, allowed=suffixes)
    return video_names(found)


def _keep_only(videos: Collection[str], frames: Path, chunk: Chunk) -> None:
    """Remove the folders, flow and all, of videos of the chunk that are gone or bad."""
    for path in frames.iterdir() if frames.is_dir() else ():
        if path.name not in videos and chunk.holds(path.name):
            log.info("Removing %s: its video is gone or bad", path)
            remove(path)


def _write_manifest(manifest: Path, records: Sequence[FrameRecord], where: Path) -> None:
    """Write the manifest, and name the bad ones of the videos at `where`.

    The terminal is told of a few, the log of all.
    """
    bad = [record for record in records if not record.usable]
    for index, record in enumerate(bad):
        level = logging.WARNING if index < _NAMED else logging.INFO
        log.log(level, "Bad video in %s: %s %s", where, record.display_name, record.reason)
    if len(bad) > _NAMED:
        log.warning("%d videos in %s are bad: all are in %s", len(bad), where, manifest)
    write_manifest(manifest, records)
    _log_numbers(manifest, records)


def _log_numbers(manifest: Path, records: Sequence[FrameRecord]) -> None:
    frames = count(sum(record.frames for record in records), "frame")
    log.info("%s: %s of %s", manifest.stem, frames, count(len(records), "video"))


@dataclass(frozen=True)
class _Settings:
    """How sources become images."""

    image_format: ImageFormat
    interlaced: "Interlaced"
    check: Check


def _extract_source(settings: _Settings, task: Task[FrameSource, FrameRecord]) -> FrameRecord:
    """Put one source's images into the task's work folder, unless those there are are right."""
    source = task.source
    # The hash of the file decides, not its time or name: a copied project keeps its frames, and a
    # video that was replaced by one of equal size loses them.
    digest = source_hash(source, _video_hash_once(source.path, source.path.stat().st_mtime_ns))
    record = replace(_bad(task, "cannot be read"), sha256=digest)
    if not digest:
        return record
    known = task.known
    if known and known.sha256 == digest and _is_right(known, settings, task):
        return replace(known, file=source.file)  # equal content may be in a file of another name
    return _make(task, record, settings)


def _make(
    task: Task[FrameSource, FrameRecord], record: FrameRecord, settings: _Settings
) -> FrameRecord:
    """Make a source's images; return `record`, that of a bad video, with what was found."""
    from actionrec.frames.decoder.video import open_video  # workers have it preloaded

    source, rgb, image_format = task.source, task.work_folder / "rgb", settings.image_format
    try:
        if settings.check == "quick" and (listed := list_images(source, image_format.size)):
            made, packets, remarks = listed
            record, keys = _with_facts(record, packets), packets.keys
            return _finished(task, record, settings, made, keys, remarks)
        with open_video(source.path, interlaced=settings.interlaced) as video:
            shown = _Shown(video.frames(source.start, source.end))
            try:
                with explained_disk_errors(task.folder):
                    images = select_images(source, shown)
                    made = _write_images(images, shown, rgb, image_format)
            finally:
                record = _with_facts(record, video)
            # Only now, with every frame decoded, is it known whether all is there.
            spanned = check_span(source, video.end, video.rate, len(made.times))
            return _finished(task, record, settings, made, video.keys, [*video.remarks(), *spanned])
    except BadVideo as error:
        shutil.rmtree(task.work_folder, ignore_errors=True)
        return replace(record, reason=str(error))


def _finished(
    task: Task[FrameSource, FrameRecord],
    record: FrameRecord,
    settings: _Settings,
    made: MadeImages,
    keys: Sequence[float],
    remarks: Sequence[str],
) -> FrameRecord:
    """Return the record of the images that were made, and refer to them if they are in the video.

    `keys` are the seconds of the key frames.
    """
    image_format = settings.image_format
    if image_format.suffix == references.SUFFIX:
        # What a deinterlaced frame looks like depends on those before: none is a key frame.
        starts = [] if record.interlaced else list(map(microseconds, keys))
        _write_reference(task, made, starts, image_format.size, settings.interlaced)
    return replace(
        record,
        frames=len(made.times),
        width=made.width,
        height=made.height,
        suffix=image_format.suffix,
        format=_format(image_format, settings.interlaced, record.interlaced),
        status="warn" if remarks else "ok",
        reason="; ".join(remarks),
        content=made.content,
    )


def _write_reference(
    task: Task[FrameSource, FrameRecord],
    made: MadeImages,
    keys: Sequence[int],
    size: tuple[int, int] | None,
    interlaced: "Interlaced",
) -> None:
    """Write which frames of the video those are that were `made` of a source."""
    source, numbers = task.source, sorted(made.times)
    reference = references.refer_to(
        source.path,
        task.folder / "rgb",
        sha256=_video_hash_once(source.path, source.path.stat().st_mtime_ns),
        start=source.start,
        end=source.end,
        crops=tuple(sorted(source.crops, key=attrgetter("image"))),
        interlaced=interlaced,
        decoder=decoder_version(),
        size=size,
        width=made.first[0],
        height=made.first[1],
        times=[made.times[number] for number in numbers],
        keys=keys,
        checksums=[made.checksums[number] for number in numbers if made.checksums],
    )
    with explained_disk_errors(task.folder):
        (task.work_folder / "rgb").mkdir(parents=True, exist_ok=True)
        references.write_reference(task.work_folder / "rgb", reference)


def _bad(task: Task[FrameSource, FrameRecord], reason: str) -> FrameRecord:
    """Return the record of a source that has no frames, for that reason."""
    path = task.source.path
    return FrameRecord(
        video=task.folder.name,
        file=task.source.file,
        frames=0,
        width=0,
        height=0,
        fps=0.0,
        bytes=path.stat().st_size if path.exists() else 0,
        sha256="",
        suffix="",
        format="",
        status="bad",
        reason=reason,
    )


def _with_facts(record: FrameRecord, video: "Video | PacketFrames") -> FrameRecord:
    """Return a record with what has been seen of a video, all of it or up to its damage."""
    return replace(
        record,
        fps=video.rate,
        codec=video.codec,
        rate_mode="variable" if video.variable_rate else "constant",
        orientation=str(video.orientation),
        interlaced=video.interlaced_frames,
        source_width=video.width,
        source_height=video.height,
    )


@lru_cache(maxsize=64)
def _video_hash_once(video: Path, modified: int) -> str:
    """Return the hash of a video that many segments may be cut from; `modified` tells versions."""
    return video_hash(video)


def _is_right(
    known: FrameRecord, settings: _Settings, task: Task[FrameSource, FrameRecord]
) -> bool:
    rgb = task.folder / "rgb"
    if settings.check == "full" and known.undecoded:
        return False
    wanted = _format(settings.image_format, settings.interlaced, known.interlaced)
    if known.format != wanted or frame_fault(rgb, known.frames, known.suffix):
        return False
    if known.suffix != references.SUFFIX:
        return True
    # A new time or place is written down, or every later check would have to hash the video.
    reference = references.read_reference(rgb)
    return reference.decoder == decoder_version() and reference.is_of(task.source.path, rgb)


def _format(image_format: ImageFormat, interlaced: str, interlaced_frames: int) -> str:
    """Return all that frames depend on besides the video; how to treat those that it lacks, not."""
    woven = interlaced == "weave" and interlaced_frames > 0
    return image_format.cache_key + (WOVEN if woven else "")


class _Shown:
    """The images of a video's frames; tells in microseconds when the last one is shown."""

    def __init__(self, frames: "Iterable[Frame]") -> None:
        self._frames = frames
        self.time = 0

    def __iter__(self) -> "Iterator[np.ndarray]":
        for frame in self._frames:
            self.time = microseconds(frame.time)
            yield frame.image


def _write_images(
    numbered: "Iterator[tuple[int, np.ndarray]]",
    shown: _Shown,
    folder: Path,
    image_format: ImageFormat,
) -> MadeImages:
    """Write numbered image files, unless frames are to stay in the video; return what they are."""
    folder.mkdir(parents=True)
    made = MadeImages()
    encode = None if image_format.suffix == references.SUFFIX else make_encoder(image_format)
    for number, frame in numbered:
        frame = resize(frame, image_format.size)
        made.add(number, shown.time, frame)
        if encode:
            write_bytes(f"{folder}/{number:06d}.{image_format.suffix}", encode(frame))
    return made
