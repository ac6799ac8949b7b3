"""Pages escape what they show, and refuse templates that ask for more than there is."""

import jinja2
import pytest
from matplotlib.figure import Figure

from actionrec.utils.pages import plain, svg_url, write_page


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


@pytest.mark.parametrize("name", ["a$b$", "$$", r"$\frac$", r"\$x$y", "100%$ {x}^2"])
def test_a_plot_shows_a_name_and_no_formula(name):
    figure = Figure()
    text = figure.text(0, 0, plain(name))
    assert svg_url(figure).startswith("data:image/svg")
    shown, is_formula = text._preprocess_math(text.get_text())
    assert (shown, is_formula) == (name, False)
