"""What an average of the weights along the way is: a formula from the mean so far and the weights to the new mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.technique import Distribution, Ingredient, Technique, by_name

__all__ = ["AverageTechnique", "average"]


@dataclass(frozen=True, repr=False)
class AverageTechnique(Technique):
    """A formula from ``(mean, p)`` to the new ``mean``, element by element.

    The mean of the first weights is those weights, whatever the formula.

    Attributes:
        when: hyperparameters that say which weights are taken in, and not how: ``start``, the share of the run after
            which it begins, and ``every``, at how many steps' distance (an epoch's, if None). Without them the
            weights are taken in after every step. In a loop of one's own, the loop decides.
        scope: ``element``: each number for itself.
    """

    when: tuple[str, ...] = ()
    scope: str = "element"

    def by_hand(self) -> str:
        """Return the class that averages a model's weights in a loop of one's own."""
        return f"``average.Averaged(model, {self.name}(…))``"

    def __call__(self, *positional: Any, **values: Any) -> Ingredient:
        """Return the ingredient; hyperparameters may stand in their place, as in ``ema(0.99)``."""
        return Ingredient(self, by_name(self, positional, values))

    def takes(self, values: Mapping[str, Any], step: int, total: int, epoch: int) -> bool:
        """Return whether the weights after a step are taken in.

        Args:
            values: every hyperparameter.
            step: counted from 1.
            total: steps of the run.
            epoch: steps of an epoch.
        """
        return step > values.get("start", 0.0) * total and step % (self.every(values) or epoch) == 0

    def every(self, values: Mapping[str, Any]) -> int | None:
        """Return at how many steps' distance weights are taken in; None for an epoch's."""
        return values.get("every") if "every" in self.when else 1

    def how(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters that the formula's arithmetic needs."""
        return {name: value for name, value in values.items() if name not in self.when}


def average(
    *,
    source: str,
    space: Mapping[str, Distribution],
    limits: Mapping[str, str] | None = None,
    when: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], AverageTechnique]:
    """Declare the decorated formula an average.

    The formula takes the ``mean`` so far and the weights ``p``; by keyword ``n``, how many weights are in the mean so
    far, at least 1, and its hyperparameters with their defaults. It returns the new mean.
    """

    def declare(formula: Callable[..., Any]) -> AverageTechnique:
        return AverageTechnique(
            kind="average", formula=formula, source=source, space=dict(space), given=("n",),
            limits=dict(limits or {}), when=when,
        )  # fmt: skip

    return declare
