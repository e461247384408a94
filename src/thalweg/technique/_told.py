"""What ``help()``, an editor and ``inspect.signature()`` say of a technique, from its declaration."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from thalweg.technique._limits import takes
from thalweg.technique._search import Choice, Distribution, LogUniform

if TYPE_CHECKING:
    from thalweg.technique._technique import Technique

__all__ = ["Lazily", "about", "documentation", "signature"]

WIDTH = 112


class Lazily:
    """An attribute that an instance computes when asked, and that a class has of its own, or not at all.

    Args:
        compute: from the instance to its value.
        own: the class's value; without one it has none.
    """

    def __init__(self, compute: Any, own: str | None = None) -> None:
        self.compute, self.own = compute, own

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None:
            return self.compute(instance)
        if self.own is None:
            raise AttributeError
        return self.own


def signature(technique: Technique) -> inspect.Signature:
    """Return how a technique is called: its hyperparameters with their defaults."""
    placed = technique.placed()
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD if name in placed else inspect.Parameter.KEYWORD_ONLY,
                default=default,
            )
            for name, default in technique.arguments().items()
        ]
    )


def documentation(technique: Technique) -> str:
    """Return a technique's documentation: how it is called, the words of its formula, and what each argument is."""
    parts = [
        textwrap.fill(f"{technique.name}{signature(technique)}", WIDTH, subsequent_indent=" " * 4),
        inspect.getdoc(technique.formula) or "",
    ]
    if known := technique.arguments():
        lines = [_filled(f"{name}: {technique.about(name, default)}", 4) for name, default in known.items()]
        parts.append("\n".join(["Args:", *lines]))
    parts.append(f"Returns:\n{_filled(technique.result(), 4)}")
    parts.append("Raises:\n    InputError: an argument that does not exist, or a value that it does not take.")
    parts += _example(technique)
    return "\n\n".join(part for part in parts if part)


def about(technique: Technique, name: str, default: Any, what: str = "") -> str:
    """Return what an argument takes, its default, and where it is searched; what it takes may be said."""
    given = f"{default!r}"
    if default is None or default == "":
        given = "what the run has left" if name == "steps" else "not given"
    said = f"{what or takes(technique, name, default)}; by default {given}."
    return said + _searched(technique.space.get(name))


def _searched(place: Distribution | None) -> str:
    if place is None:
        return ""
    if isinstance(place, Choice):
        return f" Searched among {', '.join(map(str, place.values))}."
    even = ", evenly in the logarithm" if isinstance(place, LogUniform) else ""
    return f" Searched from {place.low:g} to {place.high:g}{even}."


def _filled(text: str, indent: int) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_on_hyphens=False
    )


def _example(technique: Technique) -> list[str]:
    """Return an example that runs, if the technique lies in a package that can be named."""
    package, _, file = technique.formula.__module__.rpartition(".")
    home, _, kind = package.rpartition(".")
    if not (home and file.startswith("_")):
        return []
    made = repr(technique(**_one(technique)))
    call = made if "(" in made else f"{made}()"
    return [f">>> from {home} import {kind}\n>>> {kind}.{call}\n{made}"]


def _one(technique: Technique) -> dict[str, Any]:
    """Return one hyperparameter with a value: the first that is searched, or else that has one."""
    known = technique.hyperparameters
    searched = [name for name in technique.space if name in known]
    for name in (*searched, *known):
        value = known[name] if known[name] is not None else _middle(technique.space.get(name))
        if value not in (None, ""):
            return {name: value}
    return {}


def _middle(place: Distribution | None) -> Any:
    value = None if place is None else place.at(0.5)
    return float(f"{value:.1g}") if isinstance(value, float) else value
