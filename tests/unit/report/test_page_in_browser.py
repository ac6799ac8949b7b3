"""The page in a real browser: no error, nothing too wide, tables sort, values at the pointer."""

import base64
from pathlib import Path

import pytest

from helpers.browser import SCHEMES, WIDTHS, needs_chromium, opener, too_wide
from helpers.report import write_all
from helpers.results import make_results

pytestmark = needs_chromium

LABELS = ["<script>alert(1)", "run & jump", "a_rather_long_name_of_a_class_that_never_ends", "x"]
NAMES = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Return the page of two experiments on two splits, with names that look like markup."""
    folder = tmp_path_factory.mktemp("results") / "set"
    experiments = {"first_experiment": 0.5, "second_experiment": 0.9}
    return write_all(make_results(folder, experiments, LABELS, splits=(1, 2), prefix=NAMES))


@pytest.fixture
def open_page(browser, report):
    """Return a function that opens the report, and ends the test if the page reports an error."""
    with opener(browser, report) as open_it:
        yield open_it


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(open_page, width, scheme):
    assert too_wide(open_page(width, scheme)) == []


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


def test_the_page_works_inside_of_snakemakes_report(browser, report, tmp_path):
    data = base64.b64encode(report.read_bytes()).decode()
    outer = tmp_path / "report.html"
    outer.write_text(f'<iframe src="data:text/html;charset=utf8;base64,{data}"></iframe>')
    with opener(browser, outer) as open_it:
        page = open_it().frame_locator("iframe")
        table = page.locator("#experiments-table")
        table.locator("th").first.get_by_role("button").click()
        assert table.locator("th[aria-sort=ascending]").count() == 1
        assert page.locator("main a").count() > 0
        assert page.locator("main a[href='dataset.html']").count() == 0, "it would lead nowhere"
        assert page.get_by_text("The dataset page").count() == 1


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
