"""Ablation: what each ingredient of a recipe is worth, taken out of the whole and put in alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import schedule
from thalweg.augment import Policy
from thalweg.errors import InputError
from thalweg.gradient import Gradient
from thalweg.recipe import CATALOGUES, OPTIONAL, ROLES, Recipe
from thalweg.record import Store
from thalweg.schedule import Schedule
from thalweg.study import contributions
from thalweg.study.costs import step_seconds
from thalweg.study.plan import Protocol
from thalweg.study.study import Study, conduct
from thalweg.task import Task

__all__ = ["Part", "ablate", "parts", "recipes_of"]


@dataclass(frozen=True)
class Part:
    """One thing that a recipe says beyond the plain one.

    Attributes:
        label: its role and name: ``"norm layer"``, ``"batch_size 32"``.
        said: as the recipe has it: ``"layer(eps=1e-05)"``.
        instead: what stands in its place without it; ``""`` for nothing.
        without: the full recipe without it.
        alone: the plain recipe with it.
    """

    label: str
    said: str
    instead: str
    without: Recipe
    alone: Recipe

    def names(self) -> tuple[str, str]:
        """Return what the study calls the full recipe without it, and the plain recipe with it."""
        if not self.instead:
            return f"full without {self.label}", f"plain with {self.label}"
        role, _, value = self.label.partition(" ")
        of = "" if role in CATALOGUES else f"{role} "  # a technique's name says enough
        return f"full with {of}{self.instead} for {value}", f"plain with {of}{value} for {self.instead}"


def ablate(
    task: Task,
    recipe: Recipe,
    *,
    plain: Recipe | None = None,
    seeds: int = 10,
    seed: int = 0,
    baselines: Sequence[str] = (),
    out: Path | str | None = None,
    processes: int | None = None,
    engine: str = "local",
    address: str | None = None,
    progress: bool = True,
    command: str = "",
) -> Study:
    """Take each ingredient of a recipe out alone, and put it into the plain recipe alone; say what each is worth.

    Nothing is tuned: recipes run at what they say, ranges at their defaults, on the same fresh seeds. The optimizer,
    the schedule, numbers and words cannot be empty, and give way to the plain recipe's. A part of a schedule gives
    way to a constant rate of the same length. What is already recorded in ``out`` is not done again.

    Args:
        task: what the recipes are applied to.
        recipe: the full one.
        plain: what it is taken apart into; Adam at its defaults with a constant rate, and the task's own batch size
            and epochs, if not given.
        seeds: fresh seeds, the same for all recipes.
        seed: of the study; everything drawn in it follows from it.
        baselines: classical models to hold recipes against; see `thalweg.study.compare`.
        out: the study's directory; ``<task>-ablation`` if not given.
        processes, engine, address, progress, command: as for `thalweg.study.compare`.

    Returns:
        The study. ``verdict["ablation"]`` lists the ingredients with their effects on the test metric, the gap
        between train and test, and CPU seconds; each of the three holds for all ingredients at once, at 95%.

    Raises:
        InputError: a recipe that says nothing beyond the plain one, or whatever `thalweg.study.compare` refuses.

    >>> import tempfile
    >>> import thalweg as tw
    >>> from thalweg.study import ablate
    >>> with tempfile.TemporaryDirectory() as out:
    ...     study = ablate(tw.load_task("wine"), tw.Recipe(tw.optim.momentum(), norm=tw.norm.layer(), epochs=2),
    ...                    plain=tw.Recipe(epochs=2), seeds=2, out=out, progress=False)
    >>> [part["label"] for part in study.verdict["ablation"]["parts"]]
    ['optimizer momentum', 'norm layer']
    """
    base = Recipe(batch_size=task.batch_size, epochs=task.epochs) if plain is None else plain
    for name, one in (("recipe", recipe), ("plain recipe", base)):
        if not isinstance(one, Recipe):
            raise InputError(f"the {name} is a {type(one).__name__}, not a thalweg.Recipe")
    found = parts(recipe, base)
    named = recipes_of(recipe, base, found)
    told = [{"label": x.label, "said": x.said, "instead": x.instead, **_places(x, named)} for x in found]
    ranges = sorted({*recipe.ranges(), *base.ranges()})
    return conduct(
        task,
        named,
        Protocol(trials=0, seeds=seeds, rates=0, rate_seeds=0, seed=seed),
        baselines=baselines,
        directory=Path(out) if out is not None else Path(f"{task.name}-ablation"),
        processes=processes,
        engine=engine,
        address=address,
        progress=progress,
        command=command,
        facts={"ablation": {"parts": told}},
        judge=partial(_judged, task, named),
        notes=[f"not searched, at their defaults: {', '.join(ranges)}"] if ranges else [],
    )


def _judged(task: Task, named: Mapping[str, Recipe], store: Store) -> dict[str, Any] | None:
    """Return the verdict; what steps cost is measured once a study."""
    if store.get("costs") is None:
        costs = step_seconds(task, named)
        store.put("costs", {name: seconds for name, seconds in costs.items() if np.isfinite(seconds).all()})
    return contributions.from_store(store)


def recipes_of(full: Recipe, plain: Recipe, found: Sequence[Part]) -> dict[str, Recipe]:
    """Return the recipes of the study by name; those that are the same recipe are there once."""
    named = {"full": full.resolved()}
    named |= {part.names()[0]: part.without for part in found}
    named |= {"plain": plain.resolved()}
    named |= {part.names()[1]: part.alone for part in found}
    once: dict[Recipe, str] = {named["full"]: "full", named["plain"]: "plain"}
    return {name: one for name, one in named.items() if once.setdefault(one, name) == name}


def _places(part: Part, named: dict[str, Recipe]) -> dict[str, list[str]]:
    """Return the pairs of recipes that differ by a part, the one with it first: in the whole, and in the plain."""
    name_of = {recipe: name for name, recipe in named.items()}
    return {"out": ["full", name_of[part.without]], "in": [name_of[part.alone], "plain"]}


def parts(full: Recipe, plain: Recipe) -> list[Part]:
    """Return what a recipe says beyond the plain one, role by role; elements of a chain each by itself.

    Raises:
        InputError: it says nothing beyond it, or it cannot do without one of its ingredients.

    >>> from thalweg import augment, gradient, norm
    >>> recipe = Recipe(norm=norm.layer(), gradient=gradient.centralise() >> gradient.clip_norm(1.0), batch_size=32,
    ...                 augment=augment.flip() >> augment.ssr())
    >>> for part in parts(recipe, Recipe()):
    ...     print(*part.names(), sep=" | ")
    full with batch_size 64 for 32 | plain with batch_size 32 for 64
    full without gradient centralise | plain with gradient centralise
    full without gradient clip_norm | plain with gradient clip_norm
    full without norm layer | plain with norm layer
    full without augment flip | plain with augment flip
    full without augment ssr | plain with augment ssr
    """
    whole, bare = full.resolved(), plain.resolved()
    found: list[Part] = []
    for role in ROLES:
        theirs, ours = getattr(bare, role), getattr(whole, role)
        if ours == theirs:
            continue
        if isinstance(ours, Gradient | Policy) and not theirs.parts:
            found += _elements(role, full, whole, bare, lambda _: ())
        elif isinstance(ours, Schedule) and theirs == schedule.constant().resolved():
            found += _elements(role, full, whole, bare, lambda part: schedule.constant(**_steps(part)).parts)
        else:
            found.append(_whole(role, full, plain, whole, bare))
    if not found:
        raise InputError(
            f"the recipe says nothing beyond the plain one ({plain.optimizer}, {plain.schedule} rate, batch size "
            f"{bare.batch_size}, {bare.epochs} epochs), so there is nothing to take out; name an ingredient in it, "
            'such as norm = "layer"'
        )
    return found


def _whole(role: str, full: Recipe, plain: Recipe, whole: Recipe, bare: Recipe) -> Part:
    """Return a role as one part."""
    ours, theirs = getattr(full, role), getattr(plain, role)
    value, instead = _word(ours), _word(theirs)
    if value == instead:  # the same technique, with other hyperparameters
        value, instead = str(ours), str(theirs)
    label = f"{role} {value}" if value != role else role
    part = Part(label, str(ours), "" if role in OPTIONAL and instead == "none" else instead, whole, bare)
    return _tried(part, role, getattr(bare, role), getattr(whole, role))


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return str(getattr(value, "name", value))


def _elements(role: str, full: Recipe, whole: Recipe, bare: Recipe, neutral: Any) -> list[Part]:
    """Return the elements of a chain as parts.

    Args:
        neutral: ``part -> parts`` that stand in the place of a part that is taken out.
    """
    chain, said = getattr(whole, role).parts, getattr(full, role).parts
    names = [part.name for part in chain]
    found = []
    for i, part in enumerate(chain):
        if part.name == "constant":
            continue  # it only says how long
        value = str(said[i]) if names.count(part.name) > 1 else part.name
        label = (
            f"{role} {value}" if [str(one) for one in said].count(str(said[i])) == 1 else f"{role} {value} {i + 1}"
        )
        others = [(part,) if j != i else neutral(part) for j, part in enumerate(chain)]
        lone = [neutral(part) if j != i else (part,) for j, part in enumerate(chain)]
        part = Part(label, str(said[i]), "constant" if role == "schedule" else "", whole, bare)
        found.append(_tried(part, role, _chain(role, others, bare), _chain(role, lone, bare)))
    return found


def _chain(role: str, parts: Sequence[tuple[Any, ...]], bare: Recipe) -> Any:
    """Return a chain of what is left; the plain recipe's where nothing is."""
    left = tuple(part for some in parts for part in some)
    if all(part.name == "constant" for part in left):
        return getattr(bare, role)
    return type(getattr(bare, role))(left)


def _steps(part: Any) -> dict[str, Any]:
    steps = dict(part).get("steps")
    return {} if steps is None else {"steps": steps}


def _tried(part: Part, role: str, without: Any, alone: Any) -> Part:
    """Return a part of the full and the plain recipe as it is tried: with other values of its role."""
    made = []
    for name, recipe, value in zip(part.names(), (part.without, part.alone), (without, alone), strict=True):
        try:
            made.append(replace(recipe, **{role: value}).resolved())
        except InputError as error:
            raise InputError(f"{name} is no recipe: {error}") from error
    return replace(part, without=made[0], alone=made[1])
