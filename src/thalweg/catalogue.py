"""Every technique there is, by kind, and how it is described."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from thalweg.errors import unknown
from thalweg.optim import Optimizer
from thalweg.recipe import CATALOGUES
from thalweg.technique import Choice, Distribution, LogUniform, Technique

__all__ = ["KINDS", "describe"]

KINDS: dict[str, Mapping[str, Technique]] = {**CATALOGUES}
"""The techniques of each kind, by name."""


def describe(kind: str | None = None) -> str:
    """Return a page on every technique, or on those of one kind: formula, hyperparameters, source.

    Raises:
        InputError: a kind that does not exist.
    """
    if kind is not None and kind not in KINDS and kind.removesuffix("s") not in KINDS:
        raise unknown("kind", kind, KINDS)
    kinds = KINDS if kind is None else {k: KINDS[k] for k in (kind, kind.removesuffix("s")) if k in KINDS}
    pages = []
    for name, members in kinds.items():
        pages.append(f"{name} ({len(members)})\n{'=' * (len(name) + 4 + len(str(len(members))))}")
        pages += [_page(technique) for technique in members.values()]
    return "\n\n".join(pages)


def _page(technique: Technique) -> str:
    lines = [f"{technique.name}: {technique.summary}"]
    lines += [f"    {line}" for line in technique.equations]
    if isinstance(technique, Optimizer):
        lines += _beside(technique)
    if technique.hyperparameters:
        lines += [f"  {name} = {_default(name, value)}{_searched(technique.space.get(name))}"
                  for name, value in technique.hyperparameters.items()]  # fmt: skip
    lines.append(f"  source: {technique.source}")
    return "\n".join(lines)


def _beside(technique: Optimizer) -> list[str]:
    """Return lines on what an optimizer's equations do not say."""
    lines = []
    if technique.vectors is not None:
        lines.append(f"  parameters with fewer than two axes: {technique.vectors.name}")
    if technique.evaluate is not None:
        code = ast.parse(inspect.getsource(technique.evaluate)).body[0]
        assert isinstance(code, ast.FunctionDef)
        lines.append(f"  evaluated at {ast.unparse(code.body[-1]).removeprefix('return ')}")
    return lines


def _default(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_default(name, item) for item in value)
    if isinstance(value, str):
        return value or "none"
    if value is None:
        return "what the run has left" if name == "steps" else "not given: see above"
    return f"{value:.6g}"


def _searched(place: Distribution | None) -> str:
    if place is None:
        return ""
    if isinstance(place, Choice):
        return f", searched among {', '.join(map(str, place.values))}"
    scale = ", evenly in the logarithm" if isinstance(place, LogUniform) else ""
    return f", searched from {place.low:g} to {place.high:g}{scale}"
