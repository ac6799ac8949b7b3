"""Tell which source video, such as a long recording, a video was cut from.

Videos of one source show the same people and places: a split keeps them in one part, or else the
model is tested on what it knows from training.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from actionrec.errors import InputError
from actionrec.frames.manifest import FrameRecord

Key = tuple[str, str]  # class, video
SourceOf = Callable[[str, str], str]  # (class, video) -> the source video's name

# HMDB51: film_walk_f_cm_np1_fr_med_3; the class is put in. UCF101: v_SoccerJuggling_g23_c01.
_HMDB51_NAME = r"(.+)_{cls}_[hulf]_.+"
_UCF101_NAME = r"v_.+_(g\d+)_c\d+"


def file_names(records: Mapping[str, Iterable[FrameRecord]]) -> dict[Key, str]:
    """Return (class, video) -> the file it is of, without suffix; several may be of one."""
    return {
        (cls, record.video): str(Path(record.file).with_suffix(""))
        for cls, of_class in records.items()
        for record in of_class
    }


def source_finder(pattern: str | None, files: Mapping[Key, str] | None = None) -> SourceOf:
    """Return the function of (class, video) that names the source video.

    `pattern` is a regular expression whose first group is that name; without it the names of
    HMDB51 and UCF101 are understood. `files`, as `file_names` has them, are for names that tell
    nothing: videos cut from one file belong together, any other video stands alone. Raises
    `InputError` when `pattern` is not a regular expression with a group.
    """
    compiled = _compiled(pattern) if pattern else None

    def find(cls: str, video: str) -> str:
        if compiled:
            matches = [compiled.search(video)]
        else:
            known = (_HMDB51_NAME.format(cls=re.escape(cls)), _UCF101_NAME)
            matches = [re.fullmatch(name, video) for name in known]
        otherwise = (files or {}).get((cls, video), video)
        return next((match[1] for match in matches if match and match[1]), otherwise)

    return find


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
        problem = "" if compiled.groups else "it has no group"
    except re.error as error:
        problem = str(error)
    if problem:
        raise InputError(
            f"A pattern does not tell the source video: {problem}.",
            where="dataset.source_video",
            found=pattern,
            fix=r"put the part that names the source in parentheses, as in '^(.+)_clip\d+$'",
        )
    return compiled


def unique_sources(
    keys: Iterable[Key], source_of: SourceOf, files: Mapping[Key, str]
) -> dict[Key, str]:
    """Return (class, video) -> a name of its source video that is unique over the classes.

    Cuts of one file show one scene whatever their class, and keep the file's name. Names found by
    a pattern are only unique within a class.
    """
    sources = {}
    for cls, video in keys:
        source = source_of(cls, video)
        # A list has whole paths; in a folder a file of the same name may be in any class.
        cut_from_file = source == files[cls, video] != video and "/" in source
        sources[cls, video] = source if cut_from_file else f"{cls}/{source}"
    return sources
