"""One page a technique, an index of each kind, and one of all kinds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from generator.examples import example, varied
from generator.prose import Told, linked, told
from thalweg.catalogue import KINDS
from thalweg.latex import latex, symbol
from thalweg.optim import Optimizer
from thalweg.report.formulas import mathml
from thalweg.technique import Choice, Distribution, LogUniform, Technique

__all__ = ["PLURALS", "index", "kind_page", "page"]

PLURALS = {
    "optimizer": ("Optimizers", "how a gradient becomes a step"),
    "schedule": ("Schedules", "how the learning rate moves over a run"),
    "gradient": ("Gradients", "what happens to a gradient before the optimizer takes it"),
    "average": ("Averages", "means of the weights along the way"),
    "wrapper": ("Wrappers", "what goes around the optimizer's step"),
    "init": ("Initialisations", "the weights' first values"),
    "activation": ("Activations", "put in place of those that your model has"),
    "norm": ("Norms", "put behind hidden layers, or taken out"),
    "dropout": ("Dropout", "noise on units and weights while training"),
    "penalty": ("Penalties", "what keeps weights small"),
    "loss": ("Losses", "what training makes small"),
    "stop": ("Stopping", "when a run ends before its last epoch"),
    "prune": ("Pruning", "which weights can go"),
    "augment": ("Augmentation", "pictures and texts that could as well have been in the data"),
}
"""What each kind is called, and what it is."""


def page(technique: Technique, picture: str, caption: str) -> str:
    """Return a technique's page.

    Args:
        technique: which.
        picture: the file of its picture, or HTML to stand in its place; empty for none.
        caption: what the picture shows.
    """
    words = told(technique)
    parts = [
        f"---\ntitle: {technique.name}\ndescription: >-\n  {_plain(technique.summary)}\n---",
        f"# {technique.name}",
        f"[{PLURALS[technique.kind][0]}](index.md){{ .kind }}",
        words.summary,
        _formula(technique),
        words.body,
        f"**When.** {words.use}",
    ]
    if picture:
        shown = f"![{_plain(caption)}]({picture})" if picture.endswith((".svg", ".png")) else picture
        parts.append(
            f'<figure class="shown" markdown>\n\n{shown}\n\n<figcaption>{_escaped(caption)}</figcaption>\n\n</figure>'
        )
    parts += [
        *_hyperparameters(technique),
        *_siblings(technique, words),
        f"## Example\n\n```python\n{example(technique)}```",
        f"Compared on a task: `thalweg compare TASK --vary {varied(technique, words.mentions)}`",
        f"## Source\n\n{_ended(technique.source)}" + (f"\n\n{_ended(words.source)}" if words.source else ""),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def kind_page(kind: str) -> str:
    """Return the index of a kind."""
    title, what = PLURALS[kind]
    members = KINDS[kind]
    rows = [
        f"| [`{name}`]({name}.md) | {_cell(_here(technique.summary, technique))} | {_cell(_when(technique))} |"
        for name, technique in members.items()
    ]
    return (
        f"# {title}\n\n{what[0].upper()}{what[1:]}. The role of a recipe is `{kind}`: "
        f"`thalweg compare TASK --vary {kind}=…`.\n\n| name | what it is | when |\n| --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def index() -> str:
    """Return the index of all kinds."""
    count = sum(map(len, KINDS.values()))
    introduction = (
        "each written once as the formula that it is. A page has the formula, the hyperparameters, their defaults "
        "and search ranges, when to use it, how it differs from its siblings, and an example that runs."
    )
    parts = [f"# Techniques\n\n{count} techniques, {introduction}\n"]
    for kind, members in KINDS.items():
        title, what = PLURALS[kind]
        names = " · ".join(f"[`{name}`]({kind}/{name}.md)" for name in members)
        parts.append(f"## [{title}]({kind}/index.md)\n\n{what[0].upper()}{what[1:]}.\n\n{names}\n")
    return "\n".join(parts)


def _formula(technique: Technique) -> str:
    lines = latex(technique)
    rows = "\n".join(f'<div class="line">{mathml(line, block=True)}</div>' for line in lines)
    notes = []
    if isinstance(technique, Optimizer):
        if technique.vectors is not None:
            notes.append(linked(f"Parameters with fewer than two axes: ``{technique.vectors.name}``.", technique))
        if technique.evaluate is not None:
            code = ast.parse(inspect.getsource(technique.evaluate)).body[0]
            assert isinstance(code, ast.FunctionDef)
            notes.append(f"Evaluated at `{ast.unparse(code.body[-1]).removeprefix('return ')}`.")
        kept = ", ".join(technique.state)
        notes.append(f"Kept from step to step: {kept or 'nothing'}.")
        if technique.scope in _SCOPES:
            notes.append(f"It looks at {_SCOPES[technique.scope]} at once.")
    return f'<div class="formula">\n{rows}\n</div>' + ("\n\n" + " ".join(notes) if notes else "")


_SCOPES = {"tensor": "a whole tensor", "model": "all of the model's weights"}


def _hyperparameters(technique: Technique) -> Iterator[str]:
    if not technique.hyperparameters:
        return
    rows = [
        f"| {_symbol(name)} | `{name}` | {_default(name, value)} | {_searched(technique.space.get(name))} |"
        for name, value in technique.hyperparameters.items()
    ]
    yield "## Hyperparameters\n\n| symbol | name | default | searched |\n| --- | --- | --- | --- |\n" + "\n".join(
        rows
    )


def _symbol(name: str) -> str:
    return str(mathml(symbol(name))) if symbol(name) != name and "mathrm" not in symbol(name) else ""


def _default(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_default(name, item) for item in value)
    if value is None:
        return "what the run has left" if name == "steps" else "see above"
    return f"`{value:.6g}`" if isinstance(value, int | float) else f"`{value}`" if value else "none"


def _searched(place: Distribution | None) -> str:
    if place is None:
        return ""
    if isinstance(place, Choice):
        return "among " + ", ".join(f"`{value}`" for value in place.values)
    even = ", evenly in the logarithm" if isinstance(place, LogUniform) else ""
    return f"`{place.low:g}` to `{place.high:g}`{even}"


def _siblings(technique: Technique, words: Told) -> Iterator[str]:
    members = KINDS[technique.kind]
    naming = [name for name, other in members.items() if technique.name in told(other).mentions]
    names = dict.fromkeys([*words.mentions, *technique.generalises, *naming])
    rows = [f"| [`{name}`]({name}.md) | {_cell(_here(members[name].summary, technique))} |" for name in names
            if name in members and name != technique.name]  # fmt: skip
    becomes = [f"[`{name}`]({name}.md)" for name in technique.generalises if name in members]
    if rows:
        more = f"At some setting it is {' or '.join(becomes)}.\n\n" if becomes else ""
        yield f"## Siblings\n\n{more}| name | what it is |\n| --- | --- |\n" + "\n".join(rows)


def _here(text: str, technique: Technique) -> str:
    return linked(text, technique)


def _when(technique: Technique) -> str:
    use = told(technique).use.removeprefix("Use it ")
    return use[:1].upper() + use[1:]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _ended(text: str) -> str:
    return text if text.endswith(".") else text + "."


def _plain(text: str) -> str:
    return text.replace("``", "").replace("[", "(").replace("]", ")")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
