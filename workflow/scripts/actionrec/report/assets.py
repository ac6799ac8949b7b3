"""The templates of the report page, its style sheet and its script."""

import hashlib
from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")


def templates_digest() -> str:
    """Return a checksum of the templates: a page is remade when they change."""
    content = b"".join(file.read_bytes() for file in sorted(TEMPLATES.iterdir()))
    return hashlib.sha256(content).hexdigest()
