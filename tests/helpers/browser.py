"""Pages in a real browser: Chromium without a network, and what must be true of each page."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
WIDTHS = (360, 1400)
SCHEMES = ("light", "dark")

# What is wider than the screen must be in a box that scrolls.
_TOO_WIDE = """() => {
const scrolls = ["auto", "scroll", "hidden"];
return [...document.querySelectorAll("main *, nav *")].filter(node => {
  if (node.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let box = node; box; box = box.parentElement)
    if (box !== document.body && scrolls.includes(getComputedStyle(box).overflowX)) return false;
  return !node.closest("svg");
}).map(node => node.outerHTML.slice(0, 90)); }"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield the browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opener(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Yield a function that opens a page with all its details unfolded.

    Fails at the end if a page reported an error, or a name of it ran as a script.
    """
    found: list[str] = []
    contexts = []

    def open_it(width: int = 1400, scheme: str = "light") -> Any:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: found.append(message.text))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: found.append(f"dialog {dialog.message}"))
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert found == []


def too_wide(page: Any) -> list[str]:
    """Return the elements that are wider than the screen, and no box scrolls; "page" for all."""
    whole = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return ["page"] * whole + page.evaluate(_TOO_WIDE)
