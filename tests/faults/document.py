"""Write the table of docs/reliability.md from the entries: python -m faults.document.

With tests and tests/integration on PYTHONPATH; `make docs` does it.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module

from faults.table import Fault
from helpers import REPOSITORY

PAGE = REPOSITORY / "docs/reliability.md"
BEGIN, END = "<!-- table: written by make docs -->\n", "<!-- end of the table -->\n"


def areas() -> dict[str, Sequence[Fault]]:
    """Return all entries by area: those of this folder, and those that need an engine."""
    modules = [f"faults.{path.stem}" for path in (REPOSITORY / "tests/faults").glob("test_*.py")]
    modules += [path.stem for path in (REPOSITORY / "tests/integration").glob("test_*_faults.py")]
    loaded = [import_module(name) for name in modules]
    found = {module.AREA: module.FAULTS for module in loaded if hasattr(module, "FAULTS")}
    return dict(sorted(found.items()))


def tables(found: Mapping[str, Sequence[Fault]]) -> str:
    """Return the counts, and a table for each area, in Markdown."""
    total = sum(map(len, found.values()))
    lines = [f"{total} faults are injected, in {len(found)} areas.", "", "| area | faults |"]
    lines += ["| --- | --- |", *(f"| {area} | {len(faults)} |" for area, faults in found.items())]
    for area, faults in found.items():
        lines += ["", f"### {area.capitalize()}", "", "| fault | injected by | seen | kept |"]
        lines.append("| --- | --- | --- | --- |")
        for fault in faults:
            cells = (fault.fault, fault.how, "; ".join(fault.all_seen), fault.kept)
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    for sign, instead in (("<", "&lt;"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_"), ("\n", " ")):
        text = text.replace(sign, instead)
    return text


def page() -> str:
    """Return the page with the tables as they should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(areas())}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPOSITORY)}")
