"""Packages for inference servers, rendered from templates: what they share."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from actionrec.utils.files import write_text

_TEMPLATES = Path(__file__).with_name("templates")
BATCH = 4  # of DeepStream's sample and Triton's configuration


def render(template: str, target: Path, **content: Any) -> None:
    """Write a template's text; a name that it uses and `content` lacks is an error."""
    environment = Environment(  # noqa: S701 -- configuration files and Markdown, no HTML
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    write_text(target, environment.from_string(text).render(**content))
