"""The formulas of a study's techniques as MathML, from the LaTeX that its records keep."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from thalweg.report.reading import Study

__all__ = ["formulas", "mathml"]


def formulas(study: Study) -> list[dict[str, Any]]:
    """Return each technique's formula, symbols and source, ready to print; none of a study that kept none."""
    return [
        {
            "role": one.get("role", ""),
            "name": one.get("name", ""),
            "summary": one.get("summary", ""),
            "lines": [mathml(line, block=True) for line in one.get("latex") or []],
            "latex": " \\\\\n".join(one.get("latex") or []),
            "symbols": [
                (mathml(symbol), name)
                for name, symbol in (one.get("symbols") or {}).items()
                if symbol != name and _appears(symbol, one.get("latex") or [])
            ],
            "vectors": one.get("vectors", ""),
            "source": one.get("source", ""),
            "recipes": one.get("recipes") or [],
        }
        for one in study.techniques
    ]


_TALL = ("mfrac", "mtable", "munder", "munderover")
"""What fences grow around; without a font for mathematics they grow around everything else too."""


def _appears(symbol: str, lines: list[str]) -> bool:
    return any(re.search(rf"(?<![\\A-Za-z]){re.escape(symbol)}(?![A-Za-z])", line) for line in lines)


def mathml(latex: str, *, block: bool = False) -> Markup:
    r"""Return LaTeX as MathML, which browsers draw by themselves; as code where it is none.

    >>> print(mathml(r"\alpha_t"))
    <math display="inline"><mrow><msub><mi>α</mi><mi>t</mi></msub></mrow></math>
    >>> print(mathml(r"\text{<b>}"))
    <math display="inline"><mrow><mtext>&lt;b&gt;</mtext></mrow></math>
    """
    try:
        tree = convert_to_element(latex, display="block" if block else "inline")
    except Exception:  # whatever it is: its exceptions have no common base
        return Markup(f"<code>{escape(latex)}</code>")
    tree.attrib.pop("xmlns", None)
    for row in tree.iter("mrow"):
        if all(next(row.iter(tall), None) is None for tall in _TALL):
            for fence in row.iterfind("mo[@fence='true']"):
                fence.set("stretchy", "false")
    for element in tree.iter():  # entities, as which symbols come, become the characters that they are
        element.text = unescape(element.text) if element.text else None
        element.attrib.pop("columnalign", None)
    return Markup(ElementTree.tostring(tree, encoding="unicode"))
