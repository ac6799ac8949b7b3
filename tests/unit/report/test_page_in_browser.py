"""The page in a real browser: no error, nothing too wide, tables sort, values at the pointer."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.report import write_all
from helpers.results import make_results

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

LABELS = ["<script>alert(1)", "run & jump", "a_rather_long_name_of_a_class_that_never_ends", "x"]
NAMES = '"><img src=x onerror=alert(1)>'
WIDTHS = (360, 1400)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Return the page of two experiments on two splits, with names that look like markup."""
    folder = tmp_path_factory.mktemp("results") / "set"
    experiments = {"first_experiment": 0.5, "second_experiment": 0.9}
    return write_all(make_results(folder, experiments, LABELS, splits=(1, 2), prefix=NAMES))


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    """Return Chromium without a network."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report):
    """Return a function that opens the report, and ends the test if the page reports an error."""
    found: list[str] = []
    contexts = []

    def open_it(width: int = 1400, scheme: str = "light") -> "sync_api.Page":
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: found.append(message.text))
        page.on("pageerror", lambda error: found.append(str(error)))
        page.on("dialog", lambda dialog: found.append(f"dialog {dialog.message}"))
        page.goto(report.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert found == []


# What is wider than the screen must be in a box that scrolls.
TOO_WIDE = """() => {
const scrolls = ["auto", "scroll", "hidden"];
return [...document.querySelectorAll("main *, nav *")].filter(node => {
  if (node.getBoundingClientRect().right <= innerWidth + 1) return false;
  for (let box = node; box; box = box.parentElement)
    if (box !== document.body && scrolls.includes(getComputedStyle(box).overflowX)) return false;
  return !node.closest("svg");
}).map(node => node.outerHTML.slice(0, 90)); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(open_page, width, scheme):
    page = open_page(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []


def test_names_are_text(open_page):
    page = open_page()
    assert page.locator("main script, img[src=x]").count() == 0
    assert page.get_by_text("<script>alert(1)").first.is_visible()
    assert page.get_by_text(NAMES).first.is_visible()


def test_tables_sort_by_pointer_and_by_keyboard(open_page):
    page = open_page()
    table = page.locator("#experiments-table")

    def column() -> list[float]:
        cells = table.locator("tbody tr td:nth-child(2)").all_inner_texts()
        return [float(cell.split()[0]) for cell in cells]

    head = table.locator("th").nth(1).get_by_role("button")
    head.click()
    assert column() == sorted(column(), reverse=True)
    head.focus()
    page.keyboard.press("Enter")
    assert column() == sorted(column())
    assert table.locator("th[aria-sort=ascending]").count() == 1


def test_a_confusion_matrix_tells_its_numbers_under_the_pointer_and_by_keyboard(open_page):
    page = open_page()
    matrix = page.locator("svg.matrix").first
    readout = page.locator("#" + matrix.get_attribute("aria-describedby"))
    cell = matrix.locator("rect.c").first
    cell.hover()
    row, column = map(int, cell.get_attribute("data-at").split(","))
    count = cell.get_attribute("data-count")
    assert readout.inner_text().startswith(
        f"{LABELS[row]}, recognised as {LABELS[column]}: {count}"
    )
    matrix.focus()
    for _ in LABELS:
        page.keyboard.press("ArrowDown")
    assert readout.inner_text().startswith(f"{LABELS[-1]}, recognised as")


def test_a_point_of_a_curve_tells_its_value(open_page):
    page = open_page()
    page.locator(".chart circle.a").first.hover()
    assert "epoch" in page.locator("#tip").inner_text()


def test_a_link_opens_the_run_that_it_leads_to(open_page):
    page = open_page()
    page.evaluate("document.querySelectorAll('details').forEach(node => node.open = false)")
    page.locator("#experiments-table a").last.click()
    page.wait_for_function("document.querySelector('details.run[open]') !== null")


def test_text_can_be_read_on_its_background(open_page):
    contrast = """() => {
      const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      const light = text => {
        const [r, g, b] = channels(text);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const page = light(getComputedStyle(document.body).backgroundColor);
      const soft = light(getComputedStyle(document.querySelector(".soft")).color);
      return (Math.max(page, soft) + 0.05) / (Math.min(page, soft) + 0.05);
    }"""
    for scheme in ("light", "dark"):
        assert open_page(1400, scheme).evaluate(contrast) >= 4.5, "WCAG 2, level AA"
