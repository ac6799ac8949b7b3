"""Figures of Matplotlib as they stand in a page."""

import base64
from io import BytesIO
from typing import Any


def picture(figure: Any) -> str:
    """Render a figure as SVG without a date, so that equal results give equal pages."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "actionrec"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
