"""The section `splits`: what is trained on, what selects the checkpoint, what is tested."""

from typing import Annotated, Literal

from pydantic import Field

from actionrec.config.models.dataset import DatasetConfig
from actionrec.config.models.section import Fraction, Section, Shown, Unique, one_of_forms

Method = Literal["official", "fraction", "given"]


class SplitsConfig(Section):
    """What is trained on, what selects the checkpoint, what is tested."""

    method: Annotated[Method | None, Shown("`official`, `fraction`, `given`", "by the source")] = (
        None
    )
    """What decides which videos test.

    `official`: the dataset's split files, the default of `demo`, `archives` and of a `folder` with
    `archives.splits`. `fraction`: test videos are held out by source video, the default of `shad`
    and any other `folder`. `given`: the column `split` of a table, or its list for each part, the
    default of `table`; without a test part the validation part tests.
    """
    numbers: Annotated[
        list[Annotated[int, Field(ge=1, le=99)]],
        Unique,
        Shown("a list"),
    ] = Field(default=[1], min_length=1, json_schema_extra={"uniqueItems": True})
    """The splits to run, one result each.

    Official files are 1, 2, 3. For `fraction` each number is another draw.
    """
    test_fraction: Annotated[Fraction, Shown("between 0 and 1")] = 0.3
    """For `fraction`: the share of each class that tests."""
    by: Annotated[
        Literal["source_video", "group"] | None,
        Shown("`source_video`, `group`", "`group` where a table has one"),
    ] = None
    """What is never divided between training, validation and test.

    `source_video`: the videos of one source, class by class (`dataset.source_video`). `group`: the
    column `group` of a table, such as a person or a scene, over all classes. Groups are drawn so
    that each class has about its share of videos; the log and the dataset's page say how many
    groups each side has.
    """
    validation: Annotated[
        Fraction | Literal["test"],
        one_of_forms("a number between 0 and 1, or test"),
        Shown("between 0 and 1, or `test`"),
    ] = 0.2
    """Share of the training videos that validates, or `test`.

    What validates picks the checkpoint. A share is held out by source video, unless a table gives a
    validation part. With `test` all training videos train and the test side picks the checkpoint,
    as in NVIDIA's tutorial, unless `tao.checkpoint` is `last`.
    """
    seed: Annotated[int, Shown("an integer")] = 1234
    """Seed of every draw."""
    links: Literal["symlink", "hardlink", "copy"] = "symlink"
    """How the folder `data` of a run shows the frames to TAO.

    `symlink`: links to the folders of frames; nothing is copied. Where the file system of `results`
    has none: `hardlink`, a second name of each image on the same volume, or `copy`.
    """


def default_method(dataset: DatasetConfig) -> Method:
    """Return what divides the videos of a dataset if `splits.method` does not say."""
    if dataset.source == "table":
        return "given"
    if dataset.source == "shad" or (dataset.source == "folder" and not dataset.archives.splits):
        return "fraction"
    return "official"
