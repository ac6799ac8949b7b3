"""The one error that bad input ends in."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from actionrec.redaction import redacted

CONFIGURATION = "ACTIONREC_CONFIGURATION"  # the options that name it, as they are typed

# What a terminal acts on rather than shows: control characters, but for a line break, and those
# that end a line or turn the direction of writing.
_UNSHOWN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def snakemake_command(*arguments: object) -> str:
    """Return a command of Snakemake's that can be typed as it is, for the configuration at hand."""
    given = os.environ.get(CONFIGURATION, "")
    return f"{shlex.join(map(str, ('snakemake', *arguments)))} {given}".rstrip()


class InputError(Exception):
    """Say what is wrong with an input, where, and what to type next.

    `where` is the file and key, `found` the offending value, `allowed` the values that would do, of
    which the nearest is suggested, or a text that describes them. `fix` is the next command or
    step. Secrets in addresses are left out of the message.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        found: object = None,
        allowed: Iterable[object] | str | None = None,
        fix: str | None = None,
    ) -> None:
        lines = [problem]
        if where is not None:
            lines.append(f"  in:      {where}")
        if found is not None:
            lines.append(f"  found:   {found}")
        if isinstance(allowed, str):
            lines.append(f"  allowed: {allowed}")
        elif allowed is not None:
            values = [str(value) for value in allowed]
            lines.append(f"  allowed: {', '.join(values)}")
            if found not in (None, ""):
                lines += [f"  did you mean {near!r}?" for near in _nearest(str(found), values)]
        if fix is not None:
            lines.append(f"  fix:     {fix}")
        super().__init__(printable(redacted("\n".join(lines))))


def _nearest(found: str, values: Sequence[str]) -> list[str]:
    """Return the value that was meant most probably, if one is near to what was found."""
    text = found.casefold()
    equal = [value for value in values if value.casefold() == text]
    longer = [value for value in values if value.casefold().startswith(text)]
    return (equal or longer or get_close_matches(found, values, n=1))[:1]


def printable(text: str) -> str:
    """Return `text` with what cannot be shown as Python writes it; line breaks stay.

    A byte of a file name that is not UTF-8, which Python keeps as a surrogate, becomes `\\xe9`.
    """
    return _UNSHOWN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(name: str) -> str:
    """Return a name without a line break in it, for a list of names."""
    return name.replace("\n", "\\n")


def some(names: Sequence[str], limit: int = 10) -> str:
    """Return `names` in one line, at most `limit` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(one_line, names[:limit])) + more


def in_lines(items: Sequence[str], limit: int = 20) -> str:
    """Return `items` one a line, aligned for an `InputError`, at most `limit` of them."""
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return "\n           ".join([*map(one_line, items[:limit]), *more])
