"""What an optimizer's declaration says beside its formula."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
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
        vectors: of a formula for matrices: the formula for parameters with fewer than two axes, which takes its
            hyperparameters by name and keeps its own defaults for the others.
    """

    state: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    start: Mapping[str, Any] = field(default_factory=dict, compare=False)
    scope: str = "element"
    sparse: bool = False
    shapes: Mapping[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = field(default_factory=dict, compare=False)
    evaluate: Callable[..., Any] | None = field(default=None, compare=False)
    vectors: Optimizer | None = None

    def placed(self) -> tuple[str, ...]:
        """Return none: what stands in its place is what an optimizer's class takes."""
        return ()

    def by_hand(self) -> str:
        """Return the class that is this formula as a ``torch.optim.Optimizer``, and what selects it."""
        optim = import_module("thalweg.optim")
        faces = {name: face for name in optim.__all__ if (face := getattr(getattr(optim, name), "face", None))}
        found = [(len(on), name, on) for name, face in faces.items() for on, f in face.formulas.items() if f is self]
        if not found:
            return ""
        _, name, on = min(found)
        return f"``optim.{name}``{' with ' * bool(on)}{' and '.join(on)}, a ``torch.optim.Optimizer``"

    def on(self, shape: tuple[int, ...]) -> Optimizer:
        """Return the formula for a parameter of a shape."""
        return self.vectors if self.vectors is not None and len(shape) < 2 else self

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every hyperparameter of the formula, as given or by default; others are left out."""
        return {name: given.get(name, default) for name, default in _defaults(self).items()}

    def weights(self, p: Any, state: Sequence[Any], values: Mapping[str, Any]) -> Any:
        """Return the weights to evaluate, ``p`` itself if the formula does not say otherwise.

        Args:
            p, state: after a step, or as they begin.
            values: the hyperparameters.
        """
        if self.evaluate is None:
            return p
        asked = list(inspect.signature(self.evaluate).parameters)[1 + len(self.state) :]
        return self.evaluate(p, *state, **{name: values[name] for name in asked})

    @property
    def parameters(self) -> list[str]:
        """The names of the formula's arguments, in order."""
        return list(inspect.signature(self.formula).parameters)


@cache
def _defaults(technique: Optimizer) -> dict[str, Any]:
    """Return the hyperparameters, read off the signature once: they are asked for at every step."""
    return technique.hyperparameters


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
    vectors: Optimizer | None = None,
    limits: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], Optimizer]:
    """Declare the decorated formula an optimizer.

    The formula takes the parameter ``p``, its gradient ``g``, then state and scalars in the order declared,
    then by keyword the step ``t`` counted from 1, and the hyperparameters with their defaults; it returns the
    new ``p``, state and scalars. It may use arithmetic and the words of `_vocabulary`, and beyond scope ``element``
    those of `_vocabulary_whole`; of numbers alone, ``a if … else b`` too; nothing else.
    """

    def declare(formula: Callable[..., Any]) -> Optimizer:
        return Optimizer(
            kind="optimizer",
            formula=formula,
            source=source,
            space=dict(space),
            generalises=generalises,
            given=("t",),
            limits=dict(limits or {}),
            state=state,
            scalars=scalars,
            start=dict(start or {}),
            scope=scope,
            sparse=sparse,
            shapes=dict(shapes or {}),
            evaluate=evaluate,
            vectors=vectors,
        )

    return declare
