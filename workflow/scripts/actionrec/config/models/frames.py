"""The section `frames`: how videos become frames."""

from typing import Annotated, Literal

from pydantic import Field

from actionrec.config.models.section import Section


class FramesConfig(Section):
    """How videos become frames."""

    store: Literal["images", "video"] = "images"
    """`images`: every frame is a file. `video`: none is; tasks decode them from the videos.

    Only the native engine can do without image files, and `video` needs `tao.runner: native` and
    the lossless `format: png`. Both stores have the same pixels, so weights and metrics are equal.
    With `video` the frames take no disk, and the videos must stay where they are: compare
    [stores](../docs/frames.md#images-or-videos).
    """
    check: Literal["full", "quick"] = "full"
    """`full`: each video is decoded, counted and proved whole. `quick`: its packets are counted.

    `quick` needs `store: video` and takes a tenth of the time. Damage shows when a task reads the
    frame, and stops it; copies are found by the bytes of files and not by their looks. Videos whose
    packets do not tell their frames are decoded all the same:
    [quick check](../docs/frames.md#quick-check).
    """
    format: Literal["png", "jpg"] = "png"
    """`png`: lossless, as in TAO's recipe. `jpg`: a fifth of the space, and read faster."""
    size: Literal["source", "model"] = "source"
    """`source`: as large as the videos. `model`: as large as the network's input.

    `model` stores frames of `input_width` x `input_height`, which must be the same in all
    experiments. It needs `train_crop_type: no_crop`, and suits neither other crops nor optical
    flow, which need the frames as the videos have them. As PNG the network sees the same pixels;
    as JPEG the accuracy is the same within what seeds differ by. Training and inference read less:
    [measurements](../docs/frames.md#format-and-size).
    """
    encoder: Literal["fpng", "cv2"] = "fpng"
    """Encoder of PNG: `fpng` writes several times faster; the pixels are the same."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """Quality of JPEG."""
    interlaced: Literal["deinterlace", "weave"] = "deinterlace"
    """What becomes of frames of two moments, as camcorders, DVDs and television record them.

    `deinterlace`: every other line is made again from its neighbours, so that a frame shows one
    moment, as players show it and as the videos do that networks were pretrained on. `weave`: the
    lines stay as they are stored, and what moves has combs at its edges. Other videos are the same
    either way: [interlaced videos](../docs/videos.md#interlaced-videos).
    """
    tolerate: Annotated[int, Field(ge=0)] = 0
    """Damaged videos of a class that are left out, with the reason; more of them stop the run.

    All of them are shown on the dataset's page first, which stops for none: `snakemake dataset`.
    """
    chunk: Annotated[int, Field(ge=1)] = 1000
    """Videos of one job, about: a class with more of them is decoded in chunks, side by side.

    1,000 videos of ten seconds take some minutes on four cores. Lists and folders are divided;
    of an archive each class is one job, however large:
    [large classes](../docs/cluster.md#large-classes).
    """
