"""Measure what thalweg says of itself, and write it into bench/RESULTS.md.

Usage: python bench [SECTION…]    # every section if none is named; those not named stay as they are
"""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import import_module
from pathlib import Path

from thalweg.study.facts import environment

SECTIONS = (
    "start", "study", "pysource", "kills", "agreement", "population", "threads", "honesty", "optim", "schedulers",
    "bias", "lottery", "augment_image", "augment_text", "inspection",
)  # fmt: skip
"""The modules of this folder whose ``section()`` measures and returns Markdown, in the order of the page."""

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Results

What thalweg says of itself, measured; `make bench` measures all of it anew, and `python bench NAME` one section.
"""


def main() -> None:
    names = sys.argv[1:] or SECTIONS
    if unknown := [name for name in names if name not in SECTIONS]:
        sys.exit(f"there is no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    for name in names:
        print(f"-- {name}", flush=True)
        where = _where(name)
        title, _, text = import_module(name).section().partition("\n")
        measured = read() | {name: f"{title}\n\n{where}\n\n{text.strip()}\n"}
        print(measured[name])
        parts = [f"<!-- {section} -->\n\n{measured[section]}" for section in SECTIONS if section in measured]
        RESULTS.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


def read() -> dict[str, str]:
    """Return the sections that are written down, by name."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    _, *parts = re.split(r"^<!-- (\w+) -->\n\n", text, flags=re.MULTILINE)
    return {name: body.strip() + "\n" for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _where(name: str) -> str:
    facts = environment(1)
    machine = f"{facts['processor']}, {facts['cores']} cores, {platform.system()} {platform.machine()}"
    versions = ", ".join(f"{package} {facts[package]}" for package in ("thalweg", "torch", "numpy"))
    busy = f"load average {os.getloadavg()[0]:.1f} before"
    return (
        f"`python bench {name}`, {facts['started'][:10]}, on {machine}, {busy}; Python {facts['python']}, {versions}."
    )


main()
