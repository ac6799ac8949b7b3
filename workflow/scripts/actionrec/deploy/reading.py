"""The clips by which the workflow scores a video, read from the video itself or from its frames."""

from collections.abc import Iterator
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np

from actionrec.deploy.model_card import ModelCard
from actionrec.deploy.preparation import Clip, Moment, Preparation, moments
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import Video, open_video
from actionrec.frames.segments import (
    FrameSource,
    check_span,
    crops_by_frame,
    scaled_for_crops,
)
from actionrec.native.data import frame_sampling, videos
from actionrec.native.data.frame_reading import read_frames

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
    with open_video(source.path, interlaced=preparation.card.interlaced) as video:
        guess = _guess(video, source) - preparation.card.needs_flow
        guesses = range(max(1, guess - _SLACK), guess + 2)
        wanted = {i for n in guesses for i in _all_ids(preparation.card, n)}
        kept, n = _prepared(_moments(video, source, preparation), wanted)
        ids = _all_ids(preparation.card, n) if n else set()
        if not ids <= kept.keys():
            kept, n = _prepared(_moments(video, source, preparation), ids)
        remarks = video.remarks()
    if source.crops:
        check_span(source, None, 0, n + preparation.card.needs_flow)
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


def _moments(
    video: Video, source: FrameSource, preparation: Preparation
) -> Iterator[tuple[int, Moment]]:
    """Yield what clips are made of with its place in the source, counted from 0."""
    if source.crops:
        yield from _pictures(video, source, preparation)
    else:
        yield from enumerate(moments(preparation, video.frames(source.start, source.end)))


def _pictures(
    video: Video, source: FrameSource, preparation: Preparation
) -> Iterator[tuple[int, Moment]]:
    """Yield the pictures cropped out of a video, as their frames come: several may be of one."""
    needs_flow = preparation.card.needs_flow
    count = len(source.crops) - needs_flow  # the last picture has no flow
    wanted = crops_by_frame(crop for crop in source.crops if crop.image <= count)
    pictures = preparation.for_pictures(*source.crops[0].size)
    frames = scaled_for_crops(source, (frame.image for frame in video.frames()))
    # Flow is that to the next frame of the file, which need not be the next picture's.
    pairs = pairwise(frames) if needs_flow else zip(frames, repeat(None))
    for index, (frame, following) in enumerate(pairs):
        for crop in wanted.get(index, ()):
            yield crop.image - 1, Moment(pictures, float(index), frame, following, crop)
        if index == max(wanted, default=0):
            return  # the rest of a long video need not be decoded


def _prepared(
    found: Iterator[tuple[int, Moment]], wanted: set[int]
) -> tuple[dict[int, Moment], int]:
    kept, count = {}, 0
    for index, moment in found:
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
    streams, clips = preparation.card.streams, clip_ids(preparation.card, video.length)
    size = preparation.resized(*video.size)
    images = {
        stream: {
            index: _fitted(preparation, stream, frame)
            for index, frame in read_frames(video, stream, _drawn(clips, place), size)
        }
        for place, stream in enumerate(streams)
    }
    return [
        preparation.clip(
            {
                stream: [images[stream][int(i)] for i in ids]
                for stream, ids in zip(streams, clip, strict=True)
            }
        )
        for clip in clips
    ]


def _drawn(clips: list[frame_sampling.StreamIds], place: int) -> list[int]:
    """Return the frames that are in any of the clips, in the stream at a place."""
    return sorted({int(i) for clip in clips for i in clip[place]})


def _fitted(preparation: Preparation, stream: str, frame: np.ndarray) -> np.ndarray:
    if stream == "rgb":
        return preparation.fit(frame)
    u_and_v = [preparation.fit(np.ascontiguousarray(frame[..., part])) for part in range(2)]
    return np.stack(u_and_v, axis=-1)
