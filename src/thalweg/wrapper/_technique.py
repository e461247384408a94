"""What goes around an optimizer's step: where its gradient is taken, and what becomes of the weights after some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.technique import Distribution, Ingredient, Technique, by_name

__all__ = ["WrapperTechnique", "wrapper"]


@dataclass(frozen=True, repr=False)
class WrapperTechnique(Technique):
    """A formula of one of two forms.

    Attributes:
        place: ``before`` the step: a formula from ``(p, g)`` to the weights at which the gradient is taken that the
            step uses, on the same batch; or ``after`` it: from ``(slow, p)`` to the new ``slow`` weights, which the
            model goes on from; they begin as the model does, and are those to evaluate.
        scope: as of gradient techniques: ``element``, ``tensor`` or ``model``.
        torchs: the class of `thalweg.wrapper` that does it around any ``torch.optim.Optimizer``.
        when: hyperparameters that say after how many steps, and not how: ``k``.
    """

    place: str = "after"
    scope: str = "element"
    when: tuple[str, ...] = ()
    torchs: str = ""

    def by_hand(self) -> str:
        """Return the class that goes around an optimizer in a loop of one's own."""
        return f"``wrapper.{self.torchs}(optimizer, …)``"

    def __call__(self, *positional: Any, **values: Any) -> Ingredient:
        """Return the ingredient; hyperparameters may stand in their place, as in ``sam(0.1)``."""
        return Ingredient(self, by_name(self, positional, values))

    def how(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters that the formula's arithmetic needs."""
        return {name: value for name, value in values.items() if name not in self.when}


def wrapper(
    *,
    source: str,
    space: Mapping[str, Distribution],
    place: str,
    scope: str = "element",
    limits: Mapping[str, str] | None = None,
    when: tuple[str, ...] = (),
    torchs: str = "",
) -> Callable[[Callable[..., Any]], WrapperTechnique]:
    """Declare the decorated formula a wrapper; see `WrapperTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> WrapperTechnique:
        return WrapperTechnique(
            kind="wrapper", formula=formula, source=source, space=dict(space), limits=dict(limits or {}),
            place=place, scope=scope, when=when, torchs=torchs,
        )  # fmt: skip

    return declare
