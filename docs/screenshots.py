"""Make the documents' pictures of the report page: `python docs/screenshots.py REPORT.html`.

Needs Debian's Chromium and the package playwright.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = {  # the scheme of colours, and the size of the window
    "report.png": ("light", 1180, 1240),
    "report-dark.png": ("dark", 1180, 1240),
    "report-phone.png": ("light", 360, 760),
}


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(__file__).with_name("images"))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (scheme, width, height) in PICTURES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(options.report.absolute().as_uri())
            page.screenshot(path=options.folder / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
