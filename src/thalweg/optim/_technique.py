"""What an optimizer's declaration says beside its formula."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.technique import Distribution, Technique

__all__ = ["Optimizer", "optimizer"]


@dataclass(frozen=True, repr=False)
class Optimizer(Technique):
    """An optimizer: one formula from ``(p, g, *state, *scalars)`` to ``(p, *state, *scalars)``.

    Attributes:
        state: names of what is kept for every element of a parameter.
        scalars: names of what is kept once for a whole group of parameters.
        start: what state and scalars are before the first step, where that is not 0: a number, or the name of a
            tensor of the parameter's shape, ``"p"``.
        scope: what the formula must see at once: ``element``, one number of each tensor, so that tensors may be
            flattened and joined; ``tensor``, a whole parameter in its shape; ``model``, all of a group's parameters
            as one flat tensor.
        shapes: of state that has another shape than the parameter: functions of the parameter's shape.
        sparse: a gradient of 0 leaves an element and its state as they are, so that sparse gradients will do.
        evaluate: where the weights to evaluate are not ``p``: a formula from ``(p, *state)`` and hyperparameters to
            those weights.
    """

    state: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    start: Mapping[str, Any] = field(default_factory=dict, compare=False)
    scope: str = "element"
    sparse: bool = False
    shapes: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = field(default_factory=dict, compare=False)
    evaluate: Callable[..., Any] | None = field(default=None, compare=False)

    @property
    def parameters(self) -> list[str]:
        """The names of the formula's arguments, in order."""
        return list(inspect.signature(self.formula).parameters)


def optimizer(
    *,
    source: str,
    space: Mapping[str, Distribution],
    state: tuple[str, ...] = (),
    scalars: tuple[str, ...] = (),
    start: Mapping[str, Any] | None = None,
    generalises: tuple[str, ...] = (),
    scope: str = "element",
    sparse: bool = False,
    shapes: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] | None = None,
    evaluate: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Optimizer]:
    """Declare the decorated formula an optimizer.

    The formula takes the parameter ``p``, its gradient ``g``, then state and scalars in the order declared,
    then by keyword the step ``t`` counted from 1, and the hyperparameters with their defaults; it returns the
    new ``p``, state and scalars. It may use arithmetic and the words of `_vocabulary`, nothing else.
    """

    def declare(formula: Callable[..., Any]) -> Optimizer:
        return Optimizer(
            kind="optimizer",
            formula=formula,
            source=source,
            space=dict(space),
            generalises=generalises,
            given=("t",),
            state=state,
            scalars=scalars,
            start=dict(start or {}),
            scope=scope,
            sparse=sparse,
            shapes=dict(shapes or {}),
            evaluate=evaluate,
        )

    return declare
