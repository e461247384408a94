"""How long a report takes to build, how large it is, and when its first chart is drawn in a browser."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from clock import met, spent, table

SIZES = {
    "500 runs of 13 recipes": (13, {"trials": 8, "seeds": 5, "rates": 7, "epochs": 100}, 3.0),
    "5,000 runs of 34 recipes": (34, {"trials": 50, "seeds": 40, "rates": 7, "epochs": 100}, 10.0),
}
"""Recipes, their study, and the seconds that its page may take to build."""

TIMES = 3
FIRST, BYTES = 2.0, 2_000_000
BUILD = "from thalweg import report; report.write({!r})"


def figures() -> str:
    """Return the figures of a page of 500 and of one of 5,000 runs, of invented records, as Markdown."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (recipes, size, most)) in enumerate(SIZES.items()):
            directory = Path(folder) / str(number)
            _records().Writer(directory, [f"recipe {i}" for i in range(recipes)], **size)
            walls, cpus = zip(*(_built(directory) for _ in range(TIMES)), strict=True)
            wall, cpu = median(walls), median(cpus)
            page = directory / "report.html"
            weight, first = page.stat().st_size, _first_chart(page)
            rows.append([f"{name}: built", f"{wall:.1f} s ({cpu:.1f} s CPU)", f"≤ {most:g} s", met(wall <= most)])
            rows.append([f"{name}: its size", f"{weight / 1e6:.2f} MB", "< 2 MB", met(weight < BYTES)])
            if first is not None:
                rows.append([f"{name}: first chart", f"{first:.2f} s", f"≤ {FIRST:g} s", met(first <= FIRST)])
    return f"""### The report

Whole processes that read the records and write the page; in Chromium, from opening it to the first
chart; medians of {TIMES}.

{table(["", "measured", "target", ""], rows)}"""


def _built(directory: Path) -> tuple[float, float]:
    return spent([sys.executable, "-c", BUILD.format(str(directory))])


def _records() -> ModuleType:
    """Return what writes invented studies for the tests of the report."""
    path = Path(__file__).parents[1] / "tests" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("records", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _first_chart(page: Path) -> float | None:
    """Return the seconds from opening a page to its first chart; None without a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=found, args=["--no-sandbox"])
        times = [_opened(browser, page) for _ in range(TIMES)]
        browser.close()
    return median(times)


def _opened(browser: Any, page: Path) -> float:
    tab = browser.new_page()
    tab.add_init_script(
        "new MutationObserver((_, watch) => { if (document.querySelector('[data-drawn]')) "
        "{ window.first = performance.now(); watch.disconnect(); } })"
        ".observe(document, { subtree: true, attributes: true, childList: true })"
    )
    tab.goto(page.resolve().as_uri())
    tab.wait_for_selector("html[data-ready]", timeout=60_000)
    first: float = tab.evaluate("window.first") / 1000
    tab.close()
    return first
