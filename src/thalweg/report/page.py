"""Put the page together: read the records, draw, fill the template, write the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from thalweg.cache import kept
from thalweg.record import StoreError
from thalweg.report import ablation, lines, words
from thalweg.report.charts import charts
from thalweg.report.look import COLOURS, CONFIG, DASHES
from thalweg.report.reading import Study, differences, read
from thalweg.report.rows import matrix, pairs, rows
from thalweg.report.scale import scale_of
from thalweg.report.tables import Table, tables

__all__ = ["render", "write"]


def write(directory: Path | str) -> Path:
    """Write the page; see :func:`thalweg.report.write`."""
    page = render(read(directory))
    path = Path(directory) / "report.html"
    unfinished = path.with_name(f".report.html.{os.getpid()}")
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    return path


def render(study: Study) -> str:
    """Return the page as HTML."""
    scale = scale_of(study)
    data = tables(study, scale)
    with debug_mode(False):  # what Vega-Lite takes is checked in the tests, not anew for each page
        specifications = charts(study, scale, data)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thalweg.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    payload = {
        "names": study.names,
        "config": CONFIG,
        "charts": specifications,
        "data": {name: _coded(table, study.names) for name, table in data.items()},
    }
    sentences = words.headline(study, scale)
    return environment.get_template("page.html.j2").render(
        study=study,
        scale=scale,
        headline=sentences[0],
        lead=sentences[1:],
        summary=words.summary(study),
        methods=words.methods(study, scale),
        particulars=words.particulars(study),
        told=words.alternatives(study, scale, data) | ablation.told(scale, data),
        rows=rows(study, scale),
        matrix=[] if study.ablation else matrix(study, scale),
        pairs=pairs(study, scale),
        effects=ablation.effects(study, scale),
        families=ablation.FAMILIES,
        lines=lines.lines(study, scale),
        ruled="line" in data,
        line_notes=lines.notes(study),
        legend=[_swatch(i, name) for i, name in enumerate(study.names)],
        resolved=[_resolved(study, name) for name in study.names],
        warnings=(study.verdict or {}).get("warnings") or [],
        payload=_json(payload),
        style=_template("page.css"),
        script=_template("page.js"),
        libraries=_libraries(),
    )


@cache
def _libraries() -> Markup:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    # The stub wants the argument that the documentation and the library itself leave out.
    made: Callable[[], str] = vl_convert.javascript_bundle  # type: ignore[assignment]
    bundle = kept(f"vega-{version('vl-convert-python')}.js", made)
    return Markup(bundle.replace("</script", "<\\/script"))


def _coded(table: Table, names: list[str]) -> Table:
    """Write each recipe's name once a page: rows hold its place in ``names``."""
    place = {name: i for i, name in enumerate(names)}
    return {
        column: [place.get(value, value) for value in values] if column == "recipe" else values
        for column, values in table.items()
    }


def _swatch(position: int, name: str) -> dict[str, Any]:
    dash = DASHES[position // COLOURS % len(DASHES)]
    return {"name": name, "colour": position % COLOURS, "dash": "" if dash[1] == 0 else " ".join(map(str, dash))}


def _resolved(study: Study, name: str) -> dict[str, Any]:
    """A recipe's text as declared, and as it was trained in the end."""
    chosen, defaults = study.arm("chosen", name), study.arm("defaults", name)
    declared = next(recipe.declared for recipe in study.recipes if recipe.name == name)
    text = chosen[0].run.recipe if chosen else ""
    changed = differences(text, defaults[0].run.recipe) if chosen and defaults else []
    return {"name": name, "declared": declared.strip(), "chosen": text.strip(), "changed": len(changed)}


def _json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _template(name: str) -> Markup:
    return Markup(resources.files("thalweg.report").joinpath("templates", name).read_text("utf-8"))
