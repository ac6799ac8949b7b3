"""What YAML 1.1, which Snakemake reads, silently makes of what users write."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

import yaml

from actionrec.errors import InputError

Key = str | int | bool | float | None  # of a mapping, or the index of a list
MERGE = "tag:yaml.org,2002:merge"  # of the key <<
MAX_NODES = 200_000  # of a document, with its aliases expanded
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_ODD_NUMBER = re.compile(r"0[0-7]+|[0-9]+(:[0-9]+)+(\.[0-9]*)?")


def dotted(path: Sequence[Key]) -> str:
    """Return the way to a key as it is written in messages: dataset.classes[0]."""
    text = ""
    for part in path:
        is_index = isinstance(part, int) and not isinstance(part, bool)
        text += f"[{part}]" if is_index and text else f".{part}" if text else str(part)
    return text


def as_read(text: str, value: Any) -> str:
    """Say what YAML made of an unquoted text."""
    return f"YAML reads {text} as {_kind(value, text)}"


def _kind(value: Any, text: str) -> str:
    match value:
        case None:
            return "no value"
        case bool():
            return str(value).lower()
        case int() | float():
            return "a number" if str(value) == text else f"the number {value}"
        case datetime.date():
            return "a date"
    return type(value).__name__


def refuse_expansion(node: yaml.Node, file: str) -> None:
    """Raise `InputError` where aliases make a document huge, or a part of itself.

    Each use of an alias counts as a copy: that is what later steps make of it.
    """
    sizes: dict[int, int | None] = {}  # of what is below a node; None while that is counted

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        known = sizes.setdefault(id(node), -1)
        if known == -1:
            sizes[id(node)] = None
            known = sizes[id(node)] = 1 + sum(map(size, _children(node)))
        if known is None or known > MAX_NODES:
            raise InputError(
                "YAML aliases (*name) make the configuration huge, or a part of itself.",
                where=f"{file}:{node.start_mark.line + 1}",
                found="it contains itself" if known is None else f"{known:.3g} values",
                allowed=f"up to {MAX_NODES} values",
                fix="write the values out",
            )
        return known

    size(node)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value


def refuse_misread(node: yaml.Node, file: str, path: tuple[Key, ...] = ()) -> None:
    """Raise `InputError` for the first thing in a document that is not what its writer sees."""
    if isinstance(node, yaml.ScalarNode):
        _refuse_odd_number(node, file, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            refuse_misread(item, file, (*path, index))
    else:
        _refuse_duplicates(node, file, path)
        for name, value in node.value:
            refuse_misread(value, file, (*path, name.value))


def _refuse_duplicates(node: yaml.Node, file: str, path: tuple[Key, ...]) -> None:
    lines: dict[str, int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode) or name.tag == MERGE:
            continue
        line = name.start_mark.line + 1
        if name.value in lines:
            raise InputError(
                "A key stands twice in one mapping; YAML would silently take the last.",
                where=f"{file}:{line}, {dotted((*path, name.value))}",
                found=f"lines {lines[name.value]} and {line}",
                fix="remove one of them, or put what is below them under one key",
            )
        lines[name.value] = line


def _refuse_odd_number(node: yaml.ScalarNode, file: str, path: tuple[Key, ...]) -> None:
    if node.tag not in _NUMBERS or not _ODD_NUMBER.fullmatch(node.value):
        return
    number = yaml.SafeLoader("").construct_object(node)
    if str(number) == node.value.lstrip("0"):
        return
    reason = "colons mean base 60" if ":" in node.value else "a leading zero means base 8"
    raise InputError(
        f"YAML reads {node.value} as the number {number}: {reason}.",
        where=f"{file}:{node.start_mark.line + 1}, {dotted(path)}",
        found=node.value,
        fix=f'write "{node.value}" for the text, or the number without a zero or colon',
    )
