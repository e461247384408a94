"""Write the documentation's pages: those written by hand, those made from the catalogue, and the list of all.

    python docs/generate.py FOLDER [--without-pictures]

FOLDER gets ``pages`` and ``mkdocs.yml``, from which mkdocs builds the site; see the Makefile's ``docs``.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from generator import commands, pages, pictures, shapes, steps
from generator.examples import FILES
from generator.look import write

from thalweg.augment import AugmentTechnique
from thalweg.catalogue import KINDS
from thalweg.technique import Technique

DOCS = Path(__file__).parent
ROOT = DOCS.parent
CHARTS = {**steps.CHARTS, **shapes.CHARTS}

TUTORIALS = (
    "csv", "module", "winner", "by_hand", "pictures", "check", "worth", "bigger", "machines", "technique",
)  # fmt: skip
"""By hand, in order of need."""


def main(folder: Path, *, drawn: bool = True) -> None:
    """Write everything into a folder, which is emptied first; without pictures it takes a second."""
    out = folder / "pages"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(DOCS, out, ignore=shutil.ignore_patterns("*.py", "*.pyc", "__pycache__", "generator"))
    for kind, members in KINDS.items():
        _put(out / "techniques" / kind / "index.md", pages.kind_page(kind))
        for technique in members.values():
            picture, caption = _picture(technique, out, drawn=drawn)
            _put(out / "techniques" / kind / f"{technique.name}.md", pages.page(technique, picture, caption))
    _put(out / "techniques" / "index.md", pages.index())
    _put(out / "commands.md", commands.page())
    for page in out.rglob("*.md"):
        text = page.read_text()
        if "<!-- " in text:
            page.write_text(with_results(text))
    for plot in (ROOT / "bench").glob("*.svg"):
        shutil.copy(plot, out)
    settings = {
        "INHERIT": str((ROOT / "mkdocs.yml").resolve()),
        "docs_dir": str(out.resolve()),
        "site_dir": str((folder / "site").resolve()),
        "hooks": [str((DOCS / "hook.py").resolve())],
        "nav": navigation(),
    }
    _put(folder / "mkdocs.yml", json.dumps(settings, indent=1) + "\n")


def navigation() -> list[Any]:
    """Return the site's pages in order."""
    techniques: list[Any] = ["techniques/index.md"]
    for kind, members in KINDS.items():
        inside = [f"techniques/{kind}/index.md", *[{name: f"techniques/{kind}/{name}.md"} for name in members]]
        techniques.append({pages.PLURALS[kind][0]: inside})
    return [
        {"Home": "index.md"},
        {"Tutorials": ["tutorials/index.md", *[f"tutorials/{name}.md" for name in TUTORIALS]]},
        {"Techniques": techniques},
        {"Reference": ["commands.md", "protocol.md", "augmentation.md", "augmentation-text.md", "architecture.md"]},
    ]


def _picture(technique: Technique, out: Path, *, drawn: bool) -> tuple[str, str]:
    """Return the file of a technique's picture, or what stands in its place, and what it shows."""
    if not drawn or (technique.kind == "augment" and technique.name in FILES):
        return "", ""
    place = out / "techniques" / technique.kind
    if isinstance(technique, AugmentTechnique):
        if technique.medium == "text":
            return pictures.edits(technique), "A sentence, and what becomes of it in three epochs."
        return f"{technique.name}.png", pictures.picture(technique, place / f"{technique.name}.png")
    chart, caption = CHARTS[technique.kind](technique)
    write(chart, place / f"{technique.name}.svg")
    return f"{technique.name}.svg", caption


def with_results(text: str) -> str:
    """Return a page with each ``<!-- bench: name -->`` replaced by what that benchmark measured."""
    results = (ROOT / "bench" / "RESULTS.md").read_text()

    def section(match: re.Match[str]) -> str:
        _, found, rest = results.partition(f"<!-- {match[1]} -->\n")
        if not found:
            raise SystemExit(f"bench/RESULTS.md has no section {match[1]}")
        body = rest.partition("\n<!-- ")[0].strip()
        return re.sub(r"^## .*\n+", "", body)

    return re.sub(r"<!-- bench: (\w+) -->", section, text)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--without-pictures", action="store_true")
    given = asked.parse_args()
    main(given.folder, drawn=not given.without_pictures)
