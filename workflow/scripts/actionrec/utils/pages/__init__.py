"""HTML pages that hold all they show, and open from disk: frame, style, script and pictures.

What all pages share is in the folder `templates`; each package has another one for its page.
"""

import base64
import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.errors import printable
from actionrec.utils.files import write_text
from actionrec.utils.text import count

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATES = Path(__file__).with_name("templates")


def templates(package: str) -> Path:
    """Return the folder of a package's templates, without importing it: the plan asks, too."""
    return Path(__file__).parents[2] / package / "templates"


def digest(*folders: Path) -> str:
    """Return a checksum of the shared templates and those in `folders`.

    A rule has it as a parameter, so that a page is remade when they change.
    """
    files = [file for folder in (TEMPLATES, *folders) for file in sorted(folder.iterdir())]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def render(template: Path | str, **content: Any) -> str:
    """Render a Jinja template; a name that it uses and `content` lacks is an error.

    It may include others that lie next to it, and the shared ones. Text is escaped, so that a
    video's name never becomes markup; what cannot be shown of a name is shown as in messages.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    template = Path(template)
    folders = [template.parent, TEMPLATES]
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
        loader=FileSystemLoader(folders),
    )
    environment.filters["count"] = count
    environment.globals["verbatim"] = lambda name: _read(name, folders)
    return environment.get_template(template.name).render(**content)


def write_page(template: Path | str, output: Path | str, **content: Any) -> None:
    """Write what `render` returns."""
    write_text(output, render(template, **content))


def _shown(value: Any) -> Any:
    return printable(value) if type(value) is str else value  # not of Markup, which is no name


def _read(name: str, folders: Sequence[Path]) -> str:
    """Return the text of a style sheet or script, which is no template."""
    file = next(path for folder in folders if (path := folder / name).is_file())
    return file.read_text(encoding="utf-8")


def jpeg_url(image: "Image") -> str:
    """Return a picture as the data URL of a small JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
