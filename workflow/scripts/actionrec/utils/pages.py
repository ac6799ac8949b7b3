"""HTML pages that hold all they show, and open from disk: templates, plots and pictures."""

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.errors import printable
from actionrec.utils.files import write_text
from actionrec.utils.text import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


def render(template: Path | str, **content: Any) -> str:
    """Render a Jinja template; a name that it uses and `content` lacks is an error.

    It may include others that lie next to it. Text is escaped, so that a video's name never becomes
    markup; what cannot be shown of a name is shown as in messages.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    template = Path(template)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        loader=FileSystemLoader(template.parent),
    )
    environment.filters["count"] = count
    return environment.get_template(template.name).render(**content)


def write_page(template: Path | str, output: Path | str, **content: Any) -> None:
    """Write what `render` returns."""
    write_text(output, render(template, **content))


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # not of Markup, which is no name


def plain(text: str) -> str:
    """Return a name as a plot shows it: Matplotlib takes what stands between two `$` for TeX."""
    return printable(text).replace("$", r"\$")


def svg_url(figure: "Figure") -> str:
    """Return a plot as the data URL of an SVG; without a date, so that equal plots are equal."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "actionrec"}):  # else identifiers are random
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _data_url("image/svg+xml", buffer)


def jpeg_url(image: "Image") -> str:
    """Return a picture as the data URL of a small JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return _data_url("image/jpeg", buffer)


def _data_url(media_type: str, buffer: BytesIO) -> str:
    return f"data:{media_type};base64,{base64.b64encode(buffer.getvalue()).decode()}"
