"""Find the folders that a container must see, so that every path and link means the same there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def needed(paths: Iterable[Path], root: Path, more: Iterable[str] = ()) -> dict[Path, Path]:
    """Return what to mount: where in the container, and which real folder or file.

    It is `root`, `more`, and all places outside them that following `paths` leads through: a link
    in the container is followed in the container.
    """
    mounts = {root: root.resolve()}
    for folder in more:
        mounts[Path(folder)] = Path(folder).resolve()
    for path in paths:
        _follow(path.absolute(), mounts)
    return dict(sorted(mounts.items()))


def _follow(path: Path, mounts: dict[Path, Path]) -> None:
    """Add the places outside `mounts` that following a path leads to."""
    for place, rest in _hops(path):
        if not any(place.is_relative_to(mounted) for mounted in mounts):
            # Under both names: links may lead to either. What lies below may be a link again.
            real = place.resolve()
            mounts[real] = mounts[place] = real
            _follow(real / rest, mounts)
            return


def _hops(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a path and where each link in it leads, with what comes after the link."""
    yield path, Path()
    link = next((part for part in [*reversed(path.parents), path] if part.is_symlink()), None)
    if link is not None:
        target, rest = Path(os.path.normpath(link.parent / link.readlink())), path.relative_to(link)
        yield target, rest
        yield from _hops(target / rest)


def of_links(data: Path) -> set[Path]:
    """Return the folders that the links in `data/*/*/` and `data/*/` lead to."""
    return {
        Path(os.path.normpath(link.parent.resolve() / link.readlink())).parent
        for link in [*data.glob("*/*"), *data.glob("*/*/*")]
        if link.is_symlink()
    }
