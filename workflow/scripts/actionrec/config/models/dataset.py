"""The section `dataset`: where the videos come from, and which classes are used."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from actionrec.config.models.section import (
    PathText,
    Section,
    Shown,
    Text,
    Unique,
    Visible,
    one_of_forms,
)

_LONGEST = 200  # bytes of a class: file systems take 255, and files are named after classes


def _short(name: str) -> str:
    if (size := len(name.encode())) > _LONGEST:
        raise PydanticCustomError("long", f"is {size} bytes long, more than {_LONGEST}")
    return name


Source = Literal["demo", "archives", "folder", "table", "shad"]
# Names of folders: no way out of the parent folder, and nothing that the file name patterns of
# Snakemake read. Any script, and spaces inside, are fine.
ClassName = Annotated[
    str,
    Field(pattern=r"^[^./{}<>\\\s]([^/{}<>\\\t\n\r]*[^/{}<>\\\s])?$"),
    Visible,
    AfterValidator(_short),
]
ARCHIVE_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(rar|zip|tar|tgz|tar\.(gz|bz2|xz))$"
PATH_FORMS = "a path, or of a list with a file for each part {train: FILE, val: FILE, test: FILE}"


class Archive(Section):
    """An archive, by addresses or by a path."""

    file: Annotated[str | None, Field(pattern=ARCHIVE_FILE), Shown("a file name", "")] = None
    """Its name in `resources/<name>/archives`; required without `path`.

    The name ends in `.rar`, `.zip`, `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2` or `.tar.xz`. A file put
    there by hand is checked like a downloaded one.
    """
    urls: Annotated[list[PathText] | None, Field(min_length=1), Shown("a list of addresses")] = None
    """Addresses, or paths on this machine, tried in turn; required without `path`."""
    sha256: Annotated[
        str | None, Field(pattern="^[0-9a-fA-F]{64}$"), Shown("64 hexadecimal digits")
    ] = None
    """Its checksum, verified before use.

    Without one, the checksum of the first download is reported and written next to the archive,
    into `<file>.sha256`. Later downloads must have it.
    """
    path: Annotated[PathText | None, Shown("a path, or `s3://bucket/key`")] = None
    """The archive where you have it already, in place of `urls`: it is linked to, not copied.

    For `splits` it may also be a folder of the split files.
    """


class Archives(Section):
    """The archives of a dataset, each with the keys below."""

    videos: Annotated[Archive | None, Shown("see below")] = None
    """For `source: archives`: the archive of the videos."""
    splits: Annotated[Archive | None, Shown("see below")] = None
    """The archive of the official split files; also for `source: folder`.

    They are HMDB51's `<class>_test_split<k>.txt` or UCF101's `trainlist0<k>.txt` and
    `testlist0<k>.txt`.
    """


class ListOfEachPart(Section):
    """A list for each part of a split."""

    train: PathText | None = None
    val: PathText | None = None
    test: PathText | None = None


class DatasetConfig(Section):
    """Where the videos come from, and which classes are used."""

    name: Annotated[
        str,
        Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100),
        Shown("letters, digits, `_`, `-`"),
    ]
    """Names the folders `resources/<name>` and `results/<name>`.

    `demo` belongs to the demo; `images` and `pretrained` are folders of all datasets.
    """
    source: Source
    """Where the videos come from.

    `demo`: videos drawn by the workflow. `archives`: an archive of all classes, such as HMDB51's
    or UCF101's. `folder`: your own `<class>/<video>`. `table`: [a list of videos and
    segments](../docs/video-lists.md). `shad`: [SHAD's videos and annotations](../docs/shad.md).
    """
    classes: Annotated[
        list[ClassName],
        Field(min_length=2, json_schema_extra={"uniqueItems": True}),
        Unique,
        Shown("two names or more"),
    ]
    """The classes to prepare, as their folders are named; **label ids follow this order**."""
    path: Annotated[
        PathText | ListOfEachPart | None,
        one_of_forms(PATH_FORMS),
        Shown("a path, or a path of each part"),
    ] = None
    """For `folder`, `table` and `shad`: where the videos, or the list of them, are.

    In every path of the configuration `~` is your home folder. For `folder` and `table` it may be
    an address, [`s3://bucket/prefix`](../docs/object-stores.md), for `table` also `https://`.

    For `folder`: the folder that holds one folder for each class, with videos in any container
    (`.avi`, `.mp4`, `.m4v`, `.mov`, `.mkv`, `.webm`, `.mpg`, `.mpeg`, `.wmv`, `.asf`, `.flv`,
    `.3gp`, `.ts`, `.mts`, `.m2ts`) and [any codec that FFmpeg decodes](../docs/videos.md). For
    `table`: the list, or a list for each part: `{train: FILE, val: FILE, test: FILE}`. For `shad`:
    the folder of the `<Class>-train` folders.
    """
    videos: Annotated[
        PathText | None, Shown("a path, or `s3://bucket/prefix`", "the list's folder")
    ] = None
    """For `table`: the folder that the list's paths are relative to.

    For a Kinetics list: the folder to search for `<youtube_id>`.
    """
    labels: Annotated[PathText | None, Shown("a path")] = None
    """For `table` with an MMAction2 list: the classes, one a line in the order of their indices."""
    skip: Annotated[
        list[Literal["missing", "other_labels"]],
        Unique,
        Shown("a list of `missing`, `other_labels`"),
    ] = Field(default=[], json_schema_extra={"uniqueItems": True})
    """For `table`: rows to leave out with a warning instead of refusing them.

    `missing`: the video is not there. `other_labels`: the label is not in `classes`.
    """
    sequences: Literal["track", "glued"] = "track"
    """For `shad`: what a segment is made of.

    `track`: one stretch of time in which one person does one thing. `glued`: all such stretches of
    a video together, as NVIDIA's recipe has them.
    """
    source_video: Annotated[Text | None, Shown("a regular expression", "by the name")] = None
    """Regular expression whose first group is, in a video's name, the video that it was cut from.

    Videos of one source are never divided between training, validation and test. Without it, the
    names of HMDB51 and UCF101 are understood, and any other video is its own source.
    """
    archives: Archives = Field(default_factory=Archives)
    keep_archives: bool = True
    """`false`: remove downloaded archives once all classes are unpacked.

    They are downloaded again only if a class is missing or lost. What `path` names is never
    removed.
    """
