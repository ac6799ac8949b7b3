"""The documents: lines that fit a screen, links and paths that lead somewhere, plain words."""

import re
from pathlib import Path

import pytest

from helpers import REPOSITORY

PAGES = sorted(
    path
    for pattern in ("*.md", "*/*.md", "tests/**/README.md")
    for path in REPOSITORY.glob(pattern)
    if not {".venv", "results", "resources"} & set(path.relative_to(REPOSITORY).parts)
)
PACKAGE = REPOSITORY / "workflow/scripts/actionrec"
# What a path in a text may be relative to, next to the folder of the text.
ROOTS = (REPOSITORY, REPOSITORY / "workflow/scripts", PACKAGE, PACKAGE / "native")
OTHERS = {"profiles/mine"}  # what a reader is told to make
# Words that only the authors understand in this sense, and what to write instead.
PRIVATE_WORDS = {
    r"judg(e|es|ed|ing|ement)": "score, evaluate",
    r"rooms?": "space, memory, folder",
    r"anew": "again",
    r"beside": "next to, besides",
    r"go(es|ing)? on with": "resume, continue with",
    r"(take|takes|taken|took) up(?! to)": "resume",
    r"says? that it (has )?finished": "reports success",
}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def test_all_documents_are_looked_at():
    assert {"README.md", "docs/usage.md", "config/README.md", "tests/data/golden/README.md"} <= set(
        map(name, PAGES)
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_and_cells_fit_a_screen(page):
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert max(len(cell.strip()) for cell in cells) <= 150, f"{name(page)}:{number}"
        else:
            assert len(line) <= 120, f"{name(page)}:{number}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        linked = page if not file else (page.parent / file).resolve()
        assert linked.exists(), target
        if heading:
            assert heading in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_in_a_document_are_there(page):
    text = page.read_text()
    for path in [*code_paths(text), *block_paths(text)]:
        places = (page.parent, *ROOTS)
        assert any((place / path).exists() for place in places), f"{name(page)} names {path}"


CONFIGS = [*REPOSITORY.glob("config/*.yaml"), *REPOSITORY.glob("profiles/*/*.yaml")]


@pytest.mark.parametrize("file", CONFIGS, ids=name)
def test_paths_in_the_comments_of_a_configuration_are_there(file):
    for comment in re.findall(r"#.*", file.read_text()):
        for path in repository_paths(comment):
            assert (REPOSITORY / path).exists(), f"{name(file)} names {path}"


def code_paths(text: str) -> list[str]:
    """Return the paths of the repository or the package that stand alone in inline code."""
    folders = {entry.name for root in ROOTS for entry in root.iterdir() if entry.is_dir()}
    # Folders of a run have such names too.
    folders -= {"results", "resources", "logs", "data", ".snakemake"}
    found = re.findall(r"(?<!`)`([\w.-]+/[\w./-]*[\w/])`(?!`)", text)
    return [path for path in found if path.partition("/")[0] in folders]


def block_paths(text: str) -> list[str]:
    """Return the paths of the repository that commands in code blocks name."""
    blocks = re.findall(r"^ *```.*?^ *```", text, re.MULTILINE | re.DOTALL)
    return [path for block in blocks for path in repository_paths(block)]


def repository_paths(text: str) -> set[str]:
    folders = "benchmarks|config|docs|envs|profiles|tests|workflow"
    found = re.findall(rf"(?<![\w./<-])(?:{folders})/[\w./-]*\w(?!\.?[\w*<{{/-])", text)
    return set(found) - OTHERS


def test_every_page_of_docs_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", (REPOSITORY / "README.md").read_text()))
    assert linked == {name(page) for page in PAGES if page.parent == REPOSITORY / "docs"}


CODE = sorted(
    path for suffix in ("py", "smk") for path in (REPOSITORY / "workflow").rglob(f"*.{suffix}")
)


@pytest.mark.parametrize("page", [*PAGES, *CODE], ids=name)
def test_words_are_those_of_the_field(page):
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        for word, better in PRIVATE_WORDS.items():
            found = re.search(rf"\b{word}\b", line, re.IGNORECASE)
            assert not found, f"{name(page)}:{number}: {found[0]!r}: write {better}"
