"""The clips by which the workflow scores a video, read from the video itself or from its frames."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from actionrec.deploy.model_card import ModelCard
from actionrec.deploy.preparation import Clip, Moment, Preparation, moments
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import Video, open_video
from actionrec.frames.segments import FrameSource, select_images
from actionrec.native.data import frame_sampling, image_io, videos

_SLACK = 3  # frames that a header may count too many: HMDB51's count one


class Read(NamedTuple):
    """The clips of a video, how many frames it has, and what a user should know of it."""

    clips: list[Clip]
    frames: int
    remarks: list[str]


def clip_ids(card: ModelCard, n: int) -> list[frame_sampling.StreamIds]:
    """Return the frame ids of each stream of each clip of a video of `n` frames."""
    return frame_sampling.stream_clip_ids(
        n,
        tuple(part.frames for part in card.inputs),
        card.sampling.strategy,
        card.sampling.rate,
        mode=card.sampling.mode,
        segments=card.sampling.segments,
        whole=card.inputs[0].layout == "NCTHW",
    )


def read_clips(source: FrameSource, preparation: Preparation) -> Read:
    """Return the clips of a video, of a span of it, or of the pictures cropped out of it.

    Which frames are needed depends on how many there are, which only decoding tells. What the
    header says is right or nearly so, so the frames for that are prepared on the way; where it is
    wrong the video is read a second time. Raises `BadVideo` or `OSError`.
    """
    if source.crops and preparation.card.needs_flow:
        raise BadVideo("is cropped, and optical flow of cropped videos is not computed here")
    with open_video(source.path, interlaced=preparation.card.interlaced) as video:
        guess = _guess(video, source) - preparation.card.needs_flow
        guesses = range(max(1, guess - _SLACK), guess + 2)
        wanted = {i for n in guesses for i in _all_ids(preparation.card, n)}
        kept, n = _prepared(_moments(video, source, preparation), wanted)
        ids = _all_ids(preparation.card, n) if n else set()
        if not ids <= kept.keys():
            kept, n = _prepared(_moments(video, source, preparation), ids)
        remarks = video.remarks()
    if not n:
        raise BadVideo("has one frame: there is no motion to see")
    return Read(_clips(preparation, kept, n), n, remarks)


def _guess(video: Video, source: FrameSource) -> int:
    if source.crops:
        return len(source.crops)
    if source.whole:
        return video.header_frames
    end = min(source.end, video.duration or source.end)
    return round((end - source.start) * video.rate) if np.isfinite(end) else 0


def _all_ids(card: ModelCard, n: int) -> set[int]:
    return {int(i) for clip in clip_ids(card, n) for ids in clip for i in ids}


def _moments(video: Video, source: FrameSource, preparation: Preparation) -> Iterator[Moment]:
    if not source.crops:
        yield from moments(preparation, video.frames(source.start, source.end))
        return
    images = select_images(source, (frame.image for frame in video.frames()))
    # A frame may hold several pictures: their numbers, not the frames, give the order.
    for number, image in sorted(images, key=lambda pair: pair[0]):
        yield Moment(preparation, float(number), image)


def _prepared(found: Iterator[Moment], wanted: set[int]) -> tuple[dict[int, Moment], int]:
    kept, count = {}, 0
    for index, moment in enumerate(found):
        count += 1
        if index in wanted:
            moment.prepare()
            kept[index] = moment
    return kept, count


def _clips(preparation: Preparation, kept: dict[int, Moment], n: int) -> list[Clip]:
    streams = preparation.card.streams
    return [
        preparation.clip(
            {
                stream: [getattr(kept[int(i)], stream) for i in ids]
                for stream, ids in zip(streams, clip, strict=True)
            }
        )
        for clip in clip_ids(preparation.card, n)
    ]


def frames_clips(video: videos.Video, preparation: Preparation) -> list[Clip]:
    """Return the clips of a video whose frames, and flow, are in TAO's layout in a folder."""

    def image(stream: str, index: int) -> np.ndarray:
        name, size = video.images(stream)[index], video.size
        if stream == "rgb":
            return preparation.fit(image_io.read_image(video.folder / "rgb" / name, size, "RGB"))
        parts = (image_io.read_image(video.folder / uv / name, size, "L") for uv in ("u", "v"))
        return np.stack([preparation.fit(part) for part in parts], axis=-1)

    streams = preparation.card.streams
    return [
        preparation.clip(
            {
                stream: [image(stream, int(i)) for i in ids]
                for stream, ids in zip(streams, clip, strict=True)
            }
        )
        for clip in clip_ids(preparation.card, video.length)
    ]
