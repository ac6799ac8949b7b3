"""What an error says: what to type next; a value that can be typed, or none."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actionrec.errors import CONFIGURATION, InputError, snakemake_command
from helpers import REPOSITORY

PACKAGE = REPOSITORY / "workflow/scripts/actionrec"
# What descriptions hold and no value does.
DESCRIBED = re.compile(
    r"[<>*]|\.\.\.|, | (or|to|with|of|for|in|and|whose) |: |^(a|an|the|up|any|none) |\((of|with)"
)


@pytest.mark.parametrize(
    ("found", "allowed", "suggested"),
    [
        ("wolk", ["walk", "run"], "walk"),
        ("WALK", ["walk", "walking"], "walk"),
        ("quick", ["quick", "full"], "quick"),
        ("fp", ["tao", "fp16"], "fp16"),
        ("play gitar", ["play guitar"], "play guitar"),
        ("GiB: 5", "GiB: 0, 0.5, 64...", None),
        ("<class>", "<class>/<video>", None),
        ("1 to 2", "1 to 3", None),
        ("", ["walk", "run"], None),
        (None, ["None of these", "Non"], None),
        ("zzz", ["walk", "run"], None),
    ],
)
def test_only_values_are_suggested_and_descriptions_are_shown(found, allowed, suggested):
    said = str(InputError("Wrong.", found=found, allowed=allowed))
    shown = allowed if isinstance(allowed, str) else ", ".join(allowed)
    assert f"  allowed: {shown}" in said.splitlines()
    assert re.findall(r"did you mean '(.*)'\?", said) == ([suggested] if suggested else [])


def in_package(find: Callable[[Path], Iterator[tuple[int, Any]]]) -> list[tuple[str, Any]]:
    """Return the places, <module>:<line>, of what is found in the modules, and that."""
    return [
        (f"{path.relative_to(PACKAGE)}:{line}", found)
        for path in PACKAGE.rglob("*.py")
        for line, found in find(path)
    ]


def texts_of_lists(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts in lists that a module gives as allowed values, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.keyword) or node.arg != "allowed":
            continue
        for part in ast.walk(node.value):
            if isinstance(part, ast.List | ast.Tuple | ast.ListComp):
                for text in ast.walk(part):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        yield text.lineno, text.value


def test_no_list_of_allowed_values_holds_a_description():
    """A description is given as a text, of which nothing is suggested."""
    found = in_package(texts_of_lists)
    assert len(found) > 20, "lists are found"
    assert [f"{place}: {text}" for place, text in found if DESCRIBED.search(text)] == []


def errors_of(path: Path) -> Iterator[tuple[int, set[str | None]]]:
    """Yield the line and the keyword arguments of each error that a module makes."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="InputError" | "SpecError")):
                yield node.lineno, {keyword.arg for keyword in node.keywords}


def test_every_error_says_what_to_type_next():
    found = in_package(errors_of)
    assert len(found) > 200, "errors are found"
    assert [place for place, said in found if not said & {"fix", "allowed"}] == []


def test_commands_name_the_configuration_and_quote_names(monkeypatch):
    monkeypatch.delenv(CONFIGURATION, raising=False)
    assert snakemake_command("dataset", "--cores", 1) == "snakemake dataset --cores 1"
    monkeypatch.setenv(CONFIGURATION, "--configfile 'my own.yaml'")
    command = snakemake_command("-f", Path("results/a b.tsv"))
    assert command == "snakemake -f 'results/a b.tsv' --configfile 'my own.yaml'"
