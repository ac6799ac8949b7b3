"""Pages escape what they show, and refuse templates that ask for more than there is."""

import jinja2
import pytest

from actionrec.utils.pages import TEMPLATES, digest, write_page


@pytest.fixture
def page(tmp_path):
    """Return a function that renders a template's text."""

    def render(text: str, **content) -> str:
        (tmp_path / "page.jinja").write_text(text)
        write_page(tmp_path / "page.jinja", tmp_path / "page.html", **content)
        return (tmp_path / "page.html").read_text()

    return render


def test_names_do_not_become_markup_and_numbers_agree_with_nouns(page):
    assert page("{{ name }}: {{ 1 | count('video') }}", name="<b>") == "&lt;b&gt;: 1 video"


def test_a_name_that_is_no_utf_8_is_shown(page):
    name = b"caf\xe9\x1b.avi".decode("utf-8", "surrogateescape")
    assert page("{{ name }}", name=name) == r"caf\xe9\x1b.avi"


def test_a_template_that_asks_for_more_leaves_the_old_page(page, tmp_path):
    page("old")
    with pytest.raises(jinja2.UndefinedError):
        page("{{ name }}")
    assert (tmp_path / "page.html").read_text() == "old"


def test_a_page_of_the_shared_frame_has_its_style_and_script_as_they_are(page):
    text = '{% extends "base.html.jinja" %}{% set title = "<t>" %}{% set sections = [("a", "A")] %}'
    shown = page(text)
    assert "<title>&lt;t&gt;</title>" in shown
    assert '<a href="#a">A</a>' in shown
    for name in ("style.css", "page.js"):
        assert (TEMPLATES / name).read_text() in shown


def test_the_digest_is_of_the_shared_templates_and_the_pages_own(tmp_path):
    (tmp_path / "a.jinja").write_text("a")
    before = digest(tmp_path)
    assert before == digest(tmp_path) != digest()
    (tmp_path / "a.jinja").write_text("b")
    assert digest(tmp_path) != before
