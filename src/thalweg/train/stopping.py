"""When each run of a population stops by itself, and the weights that it then goes back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from thalweg.recipe import Recipe
from thalweg.stop import Seen, Stop

__all__ = ["Stopping"]


class Stopping:
    """The rules of the runs that have one.

    Args:
        recipes: resolved, one a run.
        higher_is_better: of the task's metric.

    Attributes:
        now: rows whose training is over.
        best: by row, the model's tensors after its best epoch, as they are evaluated; see `RunState`.
    """

    def __init__(self, recipes: Sequence[Recipe], *, higher_is_better: bool) -> None:
        rules = {row: recipe.stop for row, recipe in enumerate(recipes)}
        self.rules: dict[int, Stop] = {row: rule for row, rule in rules.items() if isinstance(rule, Stop)}
        self.seen: dict[int, Seen] = {
            row: rule.start(higher_is_better=higher_is_better) for row, rule in self.rules.items()
        }
        self.best: dict[int, dict[str, Tensor]] = {}
        self.now: set[int] = set()

    def observe(self, row: int, metric: float, model: Callable[[int], Mapping[str, Tensor]]) -> None:
        """Take a run's validation metric at the end of an epoch.

        Args:
            row: whose; nothing happens where it has no rule.
            metric: the task's.
            model: returns the tensors that gave it.
        """
        if row not in self.rules:
            return
        self.seen[row], stops = self.rules[row].observe(self.seen[row], metric)
        if self.seen[row].waited == 0 and self.rules[row].technique.restores:
            self.best[row] = {name: x.detach().clone() for name, x in model(row).items()}
        if stops:
            self.now.add(row)

    def kept(self, row: int) -> tuple[dict[str, Tensor], Any]:
        """Return what a run keeps, views, and what it has seen; the latter None where it has no rule."""
        return {f"best/{name}": x for name, x in self.best.get(row, {}).items()}, self.seen.get(row)

    def keep(self, row: int, tensors: Mapping[str, Tensor], seen: Sequence[Any] | None) -> None:
        """Give a run what `kept` returned of one; a list will do for what it has seen."""
        if row in self.rules and seen is not None:
            self.seen[row] = Seen(*seen)
            found = {name.removeprefix("best/"): x for name, x in tensors.items() if name.startswith("best/")}
            if found:
                self.best[row] = {name: x.detach().clone() for name, x in found.items()}
