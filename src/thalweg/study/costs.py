"""What a step of a recipe costs, measured alone: runs that train together share their CPU seconds evenly."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np

from thalweg.key import Key
from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.train import Member, Population, begin
from thalweg.train.step import quiet_fallback

__all__ = ["step_seconds"]

ROUNDS = 8
"""How often each recipe is measured, the recipes in turn, so that whatever slows the machine slows them alike."""

STEPS = 15
"""Of which the median is taken in each round, after two that are left out."""


def step_seconds(
    task: Task, recipes: Mapping[str, Recipe], *, rounds: int = ROUNDS, steps: int = STEPS
) -> dict[str, list[float]]:
    """Return the CPU seconds of a training step of each recipe, trained alone in this process: one value a round.

    Args:
        task: what is trained on.
        recipes: resolved, by name.
        rounds, steps: how often, and of how many steps.

    Returns:
        NaN where a recipe cannot be trained.

    >>> from thalweg import Recipe, load_task
    >>> seconds = step_seconds(load_task("wine"), {"plain": Recipe().resolved()}, rounds=2, steps=3)
    >>> len(seconds["plain"]), 0 < min(seconds["plain"]) < 1
    (2, True)
    """
    found: dict[str, list[float]] = {name: [] for name in recipes}
    for number in range(rounds):
        seed = (Key(0) / "cost" / number).integer()
        for name, recipe in recipes.items():
            found[name].append(_measured(task, Member(recipe, seed), steps))
    return found


class _Enough(Exception):  # noqa: N818 – it is no error
    """Steps enough have been taken."""


@quiet_fallback()
def _measured(task: Task, member: Member, steps: int) -> float:
    times: list[float] = []

    def on_step(_: Population) -> None:
        times.append(time.process_time())
        if len(times) > steps + 2:
            raise _Enough

    try:
        for _ in Population(task, "one by one", 1, [begin(task, member)]).run(on_step=on_step):
            break
    except _Enough:
        pass
    except Exception:  # the study's own runs say what is wrong with it
        return math.nan
    taken = np.diff(times)[2:] if len(times) > 4 else np.diff(times)
    return float(np.median(taken)) if len(taken) else math.nan
