"""Pages escape what they show, and refuse templates that ask for more than there is."""

import jinja2
import pytest

from actionrec.utils.pages import write_page


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
    assert page("{{ name }}", name=b"caf\xe9.avi".decode("utf-8", "surrogateescape")) == "caf?.avi"


def test_a_template_that_asks_for_more_leaves_the_old_page(page, tmp_path):
    page("old")
    with pytest.raises(jinja2.UndefinedError):
        page("{{ name }}")
    assert (tmp_path / "page.html").read_text() == "old"
