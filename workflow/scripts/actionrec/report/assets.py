"""Where the templates of the report page are."""

from pathlib import Path

TEMPLATES = Path(__file__).with_name("templates")
