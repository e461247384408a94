"""From text to a page: the template's environment, JSON and scripts that cannot break out, and the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from thalweg.cache import kept
from thalweg.files import write_whole
from thalweg.record import unwritable
from thalweg.report.look import COLOURS, CONFIG, DASHES

__all__ = ["escaped", "libraries", "placed", "put", "rendered", "style"]


def rendered(
    template: str,
    *,
    names: Sequence[str],
    charts: dict[str, Any],
    data: dict[str, Any],
    copies: dict[str, str],
    **more: Any,
) -> str:
    """Return a page: a template filled, with everything inside it that its script needs.

    Args:
        template: its file's name.
        names: of recipes; their places are what rows hold, and their colours' numbers.
        charts: Vega-Lite specifications without data, by the name of their place in the page.
        data: their sources, each a dictionary of columns.
        copies: texts that a button copies, by the button's name.
        more: what the template asks for beside that.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thalweg.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["sections"] = _sections
    payload = {
        "names": list(names),
        "config": CONFIG,
        "charts": charts,
        "copies": copies,
        "data": {name: _coded(table, names) for name, table in data.items()},
    }
    return environment.get_template(template).render(
        legend=[_swatch(i, name) for i, name in enumerate(names)],
        payload=escaped(payload),
        style=style(),
        script=_file("page.js") + _file("tools.js"),
        libraries=libraries(),
        **more,
    )


def placed(path: Path | str) -> Path:
    """Return the page's file: what ends in ``.html`` is one itself; all else is a folder, with ``report.html`` in it.

    >>> placed("all.html").as_posix(), placed("all").as_posix()
    ('all.html', 'all/report.html')
    """
    path = Path(path)
    named = path.suffix.lower() in {".html", ".htm"} and not path.is_dir()
    return path if named else path / "report.html"


def put(page: str, path: Path) -> Path:
    """Write a page whole or not at all, in a folder that is made where there is none, and return its path.

    Raises:
        StoreError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.encode())
    except OSError as error:
        raise unwritable(path, error) from error
    return path


@cache
def libraries() -> Markup:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    # The stub wants the argument that the documentation and the library itself leave out.
    made: Callable[[], str] = vl_convert.javascript_bundle  # type: ignore[assignment]
    bundle = kept(f"vega-{version('vl-convert-python')}.js", made)
    return Markup(bundle.replace("</script", "<\\/script"))


def _sections(content: str) -> list[tuple[str, Markup]]:
    """Return the sections of a page's content, as (identity, title), for the list at its top."""
    found = re.findall(r'<h2 id="([\w-]+)-title"[^>]*>(.*?)</h2>', content, re.DOTALL)
    return [(name, Markup(title)) for name, title in found]


def _coded(table: dict[str, list[Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Write each recipe's name once a page: rows hold its place in ``names``."""
    place = {name: i for i, name in enumerate(names)}
    return {
        column: [place.get(value, value) for value in values] if column == "recipe" else values
        for column, values in table.items()
    }


def _swatch(position: int, name: str) -> dict[str, Any]:
    dash = DASHES[position // COLOURS % len(DASHES)]
    return {"name": name, "colour": position % COLOURS, "dash": "" if dash[1] == 0 else " ".join(map(str, dash))}


def style() -> Markup:
    """Return the style sheet that all pages share."""
    return _file("page.css")


def escaped(value: Any) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _file(name: str) -> Markup:
    return Markup(resources.files("thalweg.report").joinpath("templates", name).read_text("utf-8"))
