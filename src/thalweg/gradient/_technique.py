"""What happens to a gradient between the backward pass and the optimizer: formulas, one after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.technique import Chain, Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Gradient", "GradientTechnique", "gradient"]


@dataclass(frozen=True, repr=False)
class GradientTechnique(Technique):
    """A formula from ``(g)`` or ``(g, p)`` to the new ``g``, and perhaps to what it measured on the way.

    Attributes:
        scope: what the formula must see at once: ``element``, any part of the gradient; ``tensor``, a parameter's
            in its shape; ``model``, the whole as one flat tensor.
    """

    scope: str = "element"

    def __call__(self, *positional: Any, **values: Any) -> Gradient:
        """Return the chain of one; hyperparameters may stand in their place, as in ``clip_norm(1.0)``."""
        return Gradient((Ingredient(self, by_name(self, positional, values)),))

    def how(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters that the formula's arithmetic needs: all of them."""
        return dict(values)

    @property
    def takes_weights(self) -> bool:
        """Whether the formula looks at the parameter beside its gradient."""
        return "p" in inspect.signature(self.formula).parameters


@dataclass(frozen=True, repr=False)
class Gradient(Chain):
    """Gradient techniques one after the other; ``>>`` appends.

    >>> from thalweg import gradient
    >>> gradient.centralise() >> gradient.clip_norm(1.0)
    centralise >> clip_norm(threshold=1.0)
    """

    kind: ClassVar[str] = "gradient"
    what: ClassVar[str] = "a gradient technique"
    example: ClassVar[str] = "gradient.clip_norm(1.0)"

    def apply(self, parameters: Iterable[Tensor] | Tensor) -> Tensor | None:
        """Change the ``.grad`` of parameters in place, between ``backward()`` and the optimizer's step.

        Args:
            parameters: such as ``model.parameters()``; those without a gradient are left alone.

        Returns:
            The norm of all gradients before they were clipped, shape ``()``, where a technique measures it.

        Raises:
            InputError: a sparse gradient, or a hyperparameter that is still a range.

        >>> import torch
        >>> from thalweg import gradient
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> w.grad = torch.tensor([3.0, 4.0])
        >>> gradient.clip_norm(1.0).apply([w])
        tensor(5.)
        >>> w.grad
        tensor([0.6000, 0.8000])
        """
        from thalweg.gradient._apply import apply

        return apply(self, parameters)


def gradient(
    *,
    source: str,
    space: Mapping[str, Distribution] | None = None,
    scope: str = "element",
    limits: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], GradientTechnique]:
    """Declare the decorated formula a gradient technique.

    The formula takes the gradient ``g``, the parameter ``p`` if it needs it, and by keyword its hyperparameters with
    their defaults; it returns the new ``g``, and after it what it measured, if that is worth handing out.
    """

    def declare(formula: Callable[..., Any]) -> GradientTechnique:
        return GradientTechnique(
            kind="gradient", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            scope=scope,
        )  # fmt: skip

    return declare
