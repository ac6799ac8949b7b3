"""Make the documents' pictures of the pages: `python docs/screenshots.py results/demo`.

Needs Debian's Chromium and the package playwright.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH = 1140
PICTURES = {  # the page and its section, the scheme of colours, and the height of the window
    "report.png": ("report.html", "light", 835),
    "report-dark.png": ("report.html", "dark", 835),
    "mistakes.png": ("report.html#mistakes", "light", 800),
    "dataset.png": ("dataset.html", "light", 935),
}


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results/<dataset>")
    parser.add_argument("--folder", type=Path, default=Path(__file__).with_name("images"))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (file, scheme, height) in PICTURES.items():
            size = {"width": WIDTH, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme)
            page.goto(f"{options.results.absolute().as_uri()}/{file}")
            page.wait_for_timeout(500)  # pictures load when they come into view
            page.screenshot(path=options.folder / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
