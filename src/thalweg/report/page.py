"""Put a study's page together: read the records, draw, fill the template, write the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from altair.utils.schemapi import debug_mode

from thalweg.report import ablation, layout, lines, words
from thalweg.report.charts import charts
from thalweg.report.frame import frame
from thalweg.report.methods import methods
from thalweg.report.reading import Study, differences, read
from thalweg.report.rows import matrix, pairs, rows
from thalweg.report.scale import scale_of
from thalweg.report.tables import crossed_edge, shown, tables
from thalweg.report.writing import placed, put, rendered

__all__ = ["render", "write"]


def write(directory: Path | str, path: Path | str | None = None) -> Path:
    """Write the page; see :func:`thalweg.report.write`."""
    return put(render(read(directory)), placed(path or directory))


def render(study: Study) -> str:
    """Return the page as HTML."""
    scale = scale_of(study)
    data = tables(study, scale)
    with debug_mode(False):  # what Vega-Lite takes is checked in the tests, not anew for each page
        specifications = charts(study, scale, data)
    sentences = words.headline(study, scale)
    measured = methods(study, scale)
    return rendered(
        "page.html.j2",
        names=study.names,
        charts=specifications,
        data=data,
        **frame(study, sentences, measured),
        scale=scale,
        summary=words.summary(study),
        told=words.alternatives(study, scale, data) | ablation.told(scale, data),
        rows=rows(study, scale),
        matrix=[] if study.ablation else matrix(study, scale),
        pairs=pairs(study, scale),
        effects=ablation.effects(study, scale),
        families=ablation.FAMILIES,
        lines=lines.lines(study, scale),
        ruled="line" in data,
        edge=crossed_edge(data.get("ranks", {})),
        shown=shown(data.get("ranks", {})),
        cut=_cut(study, data),
        crosses=any(data.get("rates", {}).get("diverged", [])),
        line_notes=lines.notes(study),
        resolved=[_resolved(study, name) for name in study.names],
    )


def _cut(study: Study, data: dict[str, Any]) -> dict[str, bool]:
    """Return of which pictures something lies beyond them."""
    found = ablation.cut(data)
    if "rates" in data:
        table = data["rates"]
        limits = layout.legible(table, higher=study.higher_is_better)
        found["rates"] = layout.beyond(dict.fromkeys(("mid", "low", "high"), table["mid"]), limits)
    return found


def _resolved(study: Study, name: str) -> dict[str, Any]:
    """A recipe's text as declared, and as it was trained in the end."""
    chosen, defaults = study.arm("chosen", name), study.arm("defaults", name)
    declared = next(recipe.declared for recipe in study.recipes if recipe.name == name)
    text = chosen[0].run.recipe if chosen else ""
    changed = differences(text, defaults[0].run.recipe) if chosen and defaults else []
    return {"name": name, "declared": declared.strip(), "chosen": text.strip(), "changed": len(changed)}
