"""The dataset page in a real browser: tables sort and filter, bars tell counts, names are text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actionrec.dataset.page import write_page
from actionrec.dataset.splits import ClassFiles, SplitSettings
from actionrec.dataset.summary import summarise
from actionrec.frames.manifest import FrameRecord, write_manifest
from helpers.browser import SCHEMES, WIDTHS, needs_chromium, opener, too_wide

pytestmark = needs_chromium

CLASSES = ["<script>alert(1)", "turn left", "turn right", "a_long_name_" * 8]
IMAGE = '"><img src=x onerror=alert(1)>'
FORMULA = "=HYPERLINK(1)"
VIDEOS = 6
CLIP = FrameRecord("v", "v.avi", 5, 64, 48, 25, 1234, "0" * 64, "png", "png", "ok", "")
SETTINGS = SplitSettings(
    "fraction", test_fraction=0.4, validation=0.2, seed=1, source_video="(.+)-[0-9]"
)


def records(number: int) -> list[FrameRecord]:
    """Return the videos of a class: two of each source, one with a remark, one bad."""
    usable = [
        replace(
            CLIP,
            video=f"{IMAGE if n < 2 else FORMULA}{n // 2}-{n}",
            file=f"{IMAGE if n < 2 else FORMULA}{n // 2}-{n}.avi",
            frames=5 + 10 * n + number,
            sha256=f"{number}{n}".rjust(64, "0"),
        )
        for n in range(VIDEOS)
    ]
    usable[-1] = replace(usable[-1], status="warn", reason="its header is wrong")
    return [
        *usable,
        replace(CLIP, video="z", file="z.avi", frames=0, status="bad", reason="is empty"),
    ]


@pytest.fixture(scope="module")
def dataset_page(tmp_path_factory) -> Path:
    """Return the page of a dataset with names that look like markup."""
    folder = tmp_path_factory.mktemp("set")
    manifests = {cls: folder / f"{number}.tsv" for number, cls in enumerate(CLASSES)}
    for number, (cls, manifest) in enumerate(manifests.items()):
        write_manifest(manifest, records(number))
        frames = folder / "frames" / cls / f"{FORMULA}1-2" / "rgb"
        frames.mkdir(parents=True)
        for frame in range(1, 30):
            noise = np.random.default_rng([number, frame]).integers(0, 255, (48, 64, 3), np.uint8)
            Image.fromarray(noise).save(frames / f"{frame:06}.png")
    options = {"settings": SETTINGS, "official": {1: {}, 2: {}}, "frames": folder / "frames"}
    summarise(ClassFiles(manifests), folder / "dataset.json", **options)
    write_page(
        "<b>set</b>",
        summary=folder / "dataset.json",
        manifests=manifests,
        frames=folder / "frames",
        output=folder / "dataset.html",
        flips={"rgb_3d": 0.5},
    )
    return folder / "dataset.html"


@pytest.fixture
def open_page(browser, dataset_page):
    """Return a function that opens the page, and ends the test if the page reports an error."""
    with opener(browser, dataset_page) as open_it:
        yield open_it


def column(table, number: int) -> list[str]:
    return table.locator(f"tbody tr:visible td:nth-child({number})").all_inner_texts()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(open_page, width):
    for scheme in SCHEMES:
        assert too_wide(open_page(width, scheme)) == []


def test_pictures_are_shown(open_page):
    for width in WIDTHS:
        pictures = open_page(width).locator("#pictures img")
        assert pictures.count() == len(CLASSES)
        assert pictures.first.bounding_box()["height"] > 50


def test_names_are_text(open_page):
    page = open_page()
    assert page.locator("main script, img[src=x], main h1 b").count() == 0
    for name in ("<b>set</b>", CLASSES[0], f"{IMAGE}0-0.avi", f"{FORMULA}1-2.avi"):
        assert page.get_by_text(name).first.is_visible()


def test_tables_sort_by_pointer_and_by_keyboard(open_page):
    page = open_page()
    table = page.locator("#videos-table")
    frames = table.locator("th", has_text="frames").last.get_by_role("button")
    frames.click()
    sorted_by = [int(cell or -1) for cell in column(table, 7)]
    assert sorted_by == sorted(sorted_by, reverse=True)
    assert sorted_by[-1] == -1, "videos without frames are below all others"
    frames.focus()
    page.keyboard.press("Enter")
    assert [int(cell or -1) for cell in column(table, 7)] == sorted_by[::-1]
    table.locator("th").first.get_by_role("button").click()
    assert column(table, 1)[0] == CLASSES[0]
    assert table.locator("th[aria-sort]").count() == 1
    classes = page.locator("#classes-table")
    classes.locator("th", has_text="lengths").get_by_role("button").click()
    assert column(classes, 1) == CLASSES[::-1], "a chart sorts by the median that it shows"
    assert classes.locator("tfoot td").first.inner_text() == "all"


def test_a_table_shows_the_rows_with_all_words_of_its_filter(open_page):
    page = open_page()
    table, field = page.locator("#videos-table"), page.get_by_label("Filter videos")
    field.fill("HEADER  left")
    assert column(table, 9) == ["its header is wrong"]
    assert column(table, 1) == ["turn left"]
    assert page.locator("label.filter output").inner_text() == f"1 of {4 * (VIDEOS + 1)}"
    table.locator("th").nth(1).get_by_role("button").click()
    assert len(column(table, 1)) == 1, "sorting keeps what is filtered"
    field.fill("no such video")
    assert column(table, 1) == []
    field.fill("")
    assert len(column(table, 1)) == 4 * (VIDEOS + 1)


def test_bars_say_what_they_count(open_page):
    page = open_page()

    def said(locator) -> str:
        locator.hover()
        return page.locator("#tip").inner_text()

    assert said(page.locator("svg.chart g[data-tip]").first) == "5 to 7 frames: 3 videos"
    assert said(page.locator("#classes-table tr:nth-child(2) g[data-tip]").first) == (
        "5 to 7 frames: 1 video"
    )
    assert said(page.locator("#classes-table svg.bars[data-tip]").first).startswith("train ")
    assert said(page.locator("#splits-table g[data-tip]").first).endswith("with 2 videos")


def test_the_parts_of_a_split_and_what_to_look_at(open_page):
    page = open_page()
    splits = page.locator("#splits-table")
    assert column(splits, 1) == ["1"] * 3 + ["2"] * 3
    assert column(splits, 2) == ["train", "val", "test"] * 2
    numbers = zip(column(splits, 3), column(splits, 4), strict=True)
    assert all(int(videos) == 2 * int(sources) for videos, sources in numbers)
    finding = page.locator("details.bad", has_text="Classes that a mirror exchanges")
    assert finding.get_by_text("turn left = turn right").is_visible()
    assert "(rgb_3d)" in finding.inner_text()
    assert "horizontal_flip_prob: 0" in finding.inner_text()
