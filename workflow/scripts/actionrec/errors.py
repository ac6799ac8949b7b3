"""The one error that bad input ends in."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


class InputError(Exception):
    """Say what is wrong with an input, where, and what to type next.

    `where` is the file and key, `found` the offending value, `allowed` the values that
    would do, `fix` the next command or step.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        found: object = None,
        allowed: Iterable[object] | None = None,
        fix: str | None = None,
    ) -> None:
        lines = [problem]
        if where is not None:
            lines.append(f"  in:      {where}")
        if found is not None:
            lines.append(f"  found:   {found}")
        if allowed is not None:
            values = [str(value) for value in allowed]
            lines.append(f"  allowed: {', '.join(values)}")
            text = str(found).casefold()
            equal = [value for value in values if value.casefold() == text]
            longer = [value for value in values if value.casefold().startswith(text)]
            close = equal or longer or get_close_matches(str(found), values, n=1)
            if close:
                lines.append(f"  did you mean {close[0]!r}?")
        if fix is not None:
            lines.append(f"  fix:     {fix}")
        super().__init__("\n".join(lines))


def some(names: Sequence[str], limit: int = 10) -> str:
    """Return `names` in one line, at most `limit` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def in_lines(items: Sequence[str], limit: int = 20) -> str:
    """Return `items` one a line, aligned for an `InputError`, at most `limit` of them."""
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return "\n           ".join([*items[:limit], *more])
