"""Docstrings as Markdown: names of techniques become links."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from thalweg.catalogue import KINDS
from thalweg.technique import Technique

__all__ = ["Told", "home", "linked", "told"]


@dataclass(frozen=True)
class Told:
    """A technique's docstring by its parts, as Markdown.

    Attributes:
        summary: the first line.
        body: the paragraphs after it.
        use: when to use it.
        source: what it says on its source, and on where others have it.
        mentions: the other techniques of its kind that it names, in order.
    """

    summary: str
    body: str
    use: str
    source: str
    mentions: tuple[str, ...]


def told(technique: Technique) -> Told:
    """Return the parts of a technique's docstring."""
    text = inspect.getdoc(technique.formula) or ""
    first, *rest = text.split("\n\n")
    uses = [part for part in rest if part.startswith("Use it ")]
    sources = [part for part in rest if part.startswith("Source:")]
    body = [part for part in rest if part not in uses and part not in sources]
    names = dict.fromkeys(re.findall(r"``(\w+)``", text))
    return Told(
        summary=linked(first, technique),
        body="\n\n".join(linked(part, technique) for part in body),
        use=" ".join(linked(part, technique) for part in uses),
        source=" ".join(linked(part.removeprefix("Source: "), technique) for part in sources),
        mentions=tuple(name for name in names if name in KINDS[technique.kind] and name != technique.name),
    )


def linked(text: str, technique: Technique) -> str:
    """Return text with names of techniques as links from a technique's page, and other code as code."""

    def one(match: re.Match[str]) -> str:
        words = match[1]
        name = re.sub(r"\(.*\)$", "", words)
        kind, _, last = name.rpartition(".")
        target = home(last, kind or technique.kind)
        if target is None or target == (technique.kind, technique.name) or name in technique.hyperparameters:
            return f"`{words}`"
        return f"[`{words}`](../{target[0]}/{target[1]}.md)"

    return re.sub(r"``([^`]+)``", one, " ".join(text.split()))


def home(name: str, kind: str) -> tuple[str, str] | None:
    """Return kind and name of the technique that is meant by a name on the page of a kind; None if there is none."""
    kind = {"optim": "optimizer"}.get(kind, kind)
    if name in KINDS.get(kind, {}):
        return kind, name
    found = [other for other, members in KINDS.items() if name in members]
    return (found[0], name) if len(found) == 1 else None
