"""The configuration files as they are written: where a key stands, and what YAML made of it.

Snakemake reads and merges the files; only the merged values reach the workflow. So that a message
can name file and line, the files are read a second time, by a parser that keeps the text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from actionrec.config.yaml_traps import MERGE, Key, dotted, refuse_expansion, refuse_misread

_ANY = object()
# libyaml's parser takes a tenth of the time, at every start; it is in all wheels of PyYAML.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Place:
    """Where a key stands: the file, the line from 1, and the value as it is written."""

    file: str
    line: int
    value: yaml.Node

    def read(self) -> Any:
        """Return what YAML reads the value as."""
        return yaml.SafeLoader("").construct_object(self.value, deep=True)


class ConfigFiles:
    """The files that a configuration was merged from, each over those before it."""

    def __init__(self, names: Sequence[str], documents: Mapping[str, yaml.Node]) -> None:
        self.names = names
        self._documents = documents

    @classmethod
    def read(cls, paths: Sequence[Path | str]) -> "ConfigFiles":
        """Read the files that can be read; refuse in them what YAML would silently misread.

        Raises `InputError` for a key that stands twice in a mapping, for 0123 and 1:30, and for
        aliases that make it huge. What is no YAML is Snakemake's to refuse, and a template of YTE
        has keys of its own.
        """
        names, documents = [_shown(Path(path)) for path in paths], {}
        for name, path in zip(names, paths, strict=True):
            document = _composed(Path(path))
            if document is not None:
                refuse_expansion(document, name)
            if document is not None and _child(document, "__use_yte__") is None:
                documents[name] = document
                refuse_misread(document, name)
        return cls(names, documents)

    def __str__(self) -> str:
        """Return the names of the files in one line."""
        return ", ".join(self.names) or "configuration"

    def where(self, *path: Key, value: Any = _ANY) -> str:
        """Return file, line and key for a message; where the key is missing, its parent's line.

        With `value` a file in which the key has another value does not count: what is in no file
        comes from the command line, or from a workflow that uses this one as a module.
        """
        key = dotted(path)
        place = self.find(path, value)
        if value is not _ANY and self.names and place is None:
            return f"outside of {self}, {key}"
        for end in range(len(path) - 1, 0, -1):
            place = place or self.find(path[:end])
        if path and place is not None:
            return f"{place.file}:{place.line}, {key}"
        return f"{self}, {key}" if key else str(self)

    def find(self, path: Sequence[Key], value: Any = _ANY) -> Place | None:
        """Return where a key stands last, with this value if one is given."""
        for name, document in reversed(list(self._documents.items())):
            node = key = document
            for part in path:
                found = _child(node, part)
                if found is None:
                    break
                key, node = found
            else:
                if value is _ANY or _has_value(node, value):
                    return Place(name, key.start_mark.line + 1, node)
        return None

    def text_of(self, path: Sequence[Key], value: Any) -> str:
        """Return a scalar as it is written, unquoted; `value` is what it was read as."""
        place = self.find(path, value)
        return str(value) if place is None else place.value.value

    def text_of_key(self, path: Sequence[Key]) -> str:
        """Return the last key of `path` as it is written, unquoted."""
        place = self.find(path[:-1])
        child = _child(place.value, path[-1]) if place else None
        return child[0].value if child else str(path[-1])


def command_line_options(paths: Sequence[Path | str]) -> list[str]:
    """Return the options by which a user names the configuration files of a command."""
    return ["--configfile", *(_shown(Path(path)) for path in paths)] if paths else []


def _shown(path: Path) -> str:
    """Return a path as short as a user would type it."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def _composed(path: Path) -> yaml.Node | None:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.compose(file, Loader=_Parser)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _child(node: yaml.Node, key: Key) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a key, or an index, and its value; merged mappings (<<) count last."""
    if isinstance(node, yaml.SequenceNode):
        inside = isinstance(key, int) and key < len(node.value)
        return (node.value[key], node.value[key]) if inside else None
    if not isinstance(node, yaml.MappingNode):
        return None
    for name, value in reversed(node.value):
        if name.tag != MERGE and (_has_value(name, key) or name.value == key):
            return name, value
    return next(filter(None, (_child(merged, key) for merged in _merged(node))), None)


def _merged(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    for name, value in node.value:
        if name.tag == MERGE:
            yield from value.value if isinstance(value, yaml.SequenceNode) else [value]


def _has_value(node: yaml.Node, value: Any) -> bool:
    """Tell whether a scalar was read as `value`; two lists, or two mappings, count as equal."""
    if not isinstance(node, yaml.ScalarNode):
        return isinstance(value, list if isinstance(node, yaml.SequenceNode) else Mapping)
    try:
        read = yaml.SafeLoader("").construct_object(node)
    except (ValueError, yaml.YAMLError):
        return False
    return type(read) is type(value) and read == value
