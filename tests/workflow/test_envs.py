"""The rules' environments hold what their scripts import, in the versions that are tested."""

import ast
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actionrec.spec.toolkits import TASKS
from helpers import REPOSITORY

SCRIPTS = REPOSITORY / "workflow" / "scripts"
ENGINE = ["actionrec.native.__main__", *(f"actionrec.native.{task}" for task in TASKS)]
CONDA = {"python_version": "3.11", "python_full_version": "3.11.9", "extra": ""}


def meant(lines) -> list[Requirement]:
    """Return the requirements that hold in an environment of conda."""
    found = map(Requirement, lines)
    return [each for each in found if each.marker is None or each.marker.evaluate(CONDA)]


def pins(lines) -> dict[str, str]:
    return {canonicalize_name(each.name): str(each.specifier) for each in meant(lines)}


def packages(env: Path) -> dict[str, str]:
    return pins(yaml.safe_load(env.read_text())["dependencies"][-1]["pip"])


def scripts_of(env: Path) -> set[str]:
    """Return the scripts of the rules that name an environment."""
    found = set()
    for rules in (REPOSITORY / "workflow" / "rules").rglob("*.smk"):
        for rule in re.split(r"^ *(?:rule|checkpoint) ", rules.read_text(), flags=re.MULTILINE):
            if f"envs/{env.name}" in rule:
                found.update(re.findall(r"scripts/(\w+)\.py", rule))
    return found


def path_of(module: str) -> Path | None:
    base = SCRIPTS.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)


def imported(module: str, seen: set[str]) -> set[str]:
    """Return the foreign packages that a module of ours imports at once, itself or by others."""
    seen.add(module)
    path = path_of(module)
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in inner if path_of(name)} | {node.module}
    foreign = {name.partition(".")[0] for name in names if not path_of(name)}
    for name in names:
        if path_of(name) and name not in seen:
            foreign |= imported(name, seen)
    return foreign - sys.stdlib_module_names


def held(distributions) -> set[str]:
    """Return distributions with all that they require."""
    found, left = set(), list(distributions)
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            left += (each.name for each in meant(requires(name) or ()))
    return found


ENVS = sorted((REPOSITORY / "envs").glob("*.yaml"))


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_holds_what_its_scripts_import(env):
    scripts = scripts_of(env)
    assert scripts
    modules = [*scripts, *(ENGINE if env.stem == "engine" else ())]
    seen: set[str] = set()
    foreign = set().union(*(imported(module, seen) for module in modules))
    providers = packages_distributions()
    there = held(packages(env))
    lacking = {name for name in foreign if not there & set(map(canonicalize_name, providers[name]))}
    assert not lacking


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_has_the_tested_versions(env):
    lock = pins((REPOSITORY / "envs" / "requirements.lock").read_text().splitlines())
    found = packages(env)
    assert found == {name: lock[name] for name in found}
