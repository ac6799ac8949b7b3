"""How the rules are written: shims without decisions, helpers that stay few, logs by dataset."""

import ast
import re

import pytest

from helpers import REPOSITORY

RULES = sorted((REPOSITORY / "workflow/rules").rglob("*.smk"))
SHIMS = sorted((REPOSITORY / "workflow/scripts").glob("*.py"))
DECISIONS = (ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.BoolOp, ast.FunctionDef)


@pytest.mark.parametrize("shim", SHIMS, ids=lambda shim: shim.stem)
def test_a_shim_makes_one_call_and_decides_nothing(shim):
    tree = ast.parse(shim.read_text())
    docstring, *imports, body = tree.body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in imports)
    assert isinstance(body, ast.With)
    assert ast.unparse(body.items[0]) == "rule_script(snakemake)"
    assert len(body.body) <= 3
    assert not [node for node in ast.walk(tree) if isinstance(node, DECISIONS)]


def test_every_shim_is_a_rules_and_every_rules_is_there():
    named = {name for file in RULES for name in re.findall(r"scripts/(\w+\.py)", file.read_text())}
    assert named == {shim.name for shim in SHIMS}


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_no_rule_names_a_folder_that_a_path_variable_names(file):
    """The dataset is in each path, so that two datasets share nothing but what is the same."""
    paths = re.findall(r'"(<[^"]*)"', file.read_text())
    shared = ("<resources>/images/", "<resources>/pretrained/ngc/")
    own = ("<run>", "<tables>", "<experiments>", "<logs>", "<benchmarks>", "<pretrained>")
    for path in paths:
        assert "<dataset>" in path or path.startswith(own + shared), path


def test_files_are_small():
    lines = {file.name: len(file.read_text().splitlines()) for file in RULES}
    assert max(lines.values()) <= 200
    assert len((REPOSITORY / "workflow/Snakefile").read_text().splitlines()) < 60
    assert len(ast.parse((REPOSITORY / "Snakefile").read_text()).body) == 1
