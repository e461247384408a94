"""A task's weights along training, for landscapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from thalweg.recipe import Recipe
from thalweg.task import Task
from thalweg.train.epochs import steps_per_epoch
from thalweg.train.population import Member, Population
from thalweg.train.state import begin_all
from thalweg.train.step import quiet_fallback

__all__ = ["weights_along"]


@quiet_fallback()
def weights_along(
    task: Task, recipes: Mapping[str, Recipe], *, places: int = 60, seed: int = 0
) -> dict[str, list[dict[str, Tensor]]]:
    """Train recipes from the same initial weights, and return their weights along the way, by name.

    Each is trained as a run of a study is. What is returned are the weights that are trained with, not averages of
    them; those of a run that diverges end where it did.

    Args:
        task: what they are trained on.
        recipes: by name; they differ in what runs may differ in that train together, such as the optimizer.
        places: how many weights of each run are kept, the first and the last among them.
        seed: of initial weights and order.

    >>> import thalweg as tw
    >>> way = weights_along(tw.load_task("wine"), {"sgd": tw.Recipe(tw.optim.sgd(), epochs=2)}, places=4)
    >>> len(way["sgd"]), sorted(way["sgd"][0])[:1]
    (4, ['layers.0.bias'])
    """
    members = [Member(recipe.resolved(), seed, name) for name, recipe in recipes.items()]
    total = max(m.recipe.sizes()[1] * steps_per_epoch(task, m.recipe) for m in members)
    stops = set(np.linspace(0, total, places).round().astype(int).tolist())
    begun = begin_all(task, members)
    ways: dict[str, list[dict[str, Tensor]]] = {s.member.identity: [_weights(s.tensors)] for s in begun}

    def keep(population: Population) -> None:
        for state in population.snapshot():
            if state.step in stops:
                ways[state.member.identity].append(_weights(state.tensors))

    population = Population(task, "one by one", len(members), begun)
    for _ in population.run(on_step=keep):
        pass
    return ways


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix("model/"): x.detach().clone() for name, x in tensors.items() if name.startswith("model/")
    }
