"""Take a picture of the top of a report, as a browser draws it.

    python docs/pictures/photograph.py REPORT.html OUT.png [--height PIXELS]

Needs Chromium at /usr/bin/chromium, or where $CHROMIUM says.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from playwright.sync_api import sync_playwright


def photograph(page: Path, out: Path, height: int) -> None:
    """Write the page's top, 1000 pixels wide, as PNG at one and a half times that."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        view = browser.new_page(viewport={"width": 1000, "height": height}, device_scale_factor=1.5)
        view.goto(page.resolve().as_uri())
        view.wait_for_selector("svg.marks, canvas.marks")
        view.wait_for_timeout(1000)  # all charts are drawn
        view.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("report", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--height", type=int, default=850)
    given = asked.parse_args()
    photograph(given.report, given.out, given.height)
