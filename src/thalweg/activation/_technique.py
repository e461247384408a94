"""What an activation is: a formula from each unit's input to its output, and torch's module that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Activation", "ActivationTechnique", "activation"]


@dataclass(frozen=True, repr=False)
class ActivationTechnique(Technique):
    """A formula from ``x`` to ``y``, element by element.

    Attributes:
        torchs: the class of ``torch.nn`` that computes it.
        spelled: hyperparameters that torch calls otherwise.
    """

    torchs: str = ""
    spelled: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Activation`."""
        return Activation

    def __call__(self, *positional: Any, **values: Any) -> Activation:
        """Return the ingredient; hyperparameters may stand in their place, as in ``leaky_relu(0.2)``."""
        return Activation(self, by_name(self, positional, values))


class Activation(Ingredient):
    """An activation with its hyperparameters.

    >>> from thalweg import activation
    >>> activation.leaky_relu(slope=0.2).module()
    LeakyReLU(negative_slope=0.2)
    """

    technique: ActivationTechnique

    def module(self) -> nn.Module:
        """Return torch's own module, new: a model that holds it is loaded and exported without this library.

        Raises:
            InputError: a hyperparameter that is still a range.
        """
        from torch import nn

        values = dict(self.resolved())
        if ranges := [name for name, value in self.values if not isinstance(value, int | float)]:
            raise InputError(f"{ranges[0]} of {self.name} is a range to search; give it a value to make a module")
        made: nn.Module = getattr(nn, self.technique.torchs)(
            **{self.technique.spelled.get(name, name): value for name, value in values.items()}
        )
        return made

    def gain(self) -> float:
        """Return what the standard deviation of the weights before it is multiplied by, so that signals keep theirs.

        That of ``torch.nn.init.calculate_gain`` where torch knows the activation: 1 for sigmoid, 5/3 for tanh, √2 for
        ReLU, √(2 / (1 + slope²)) for leaky ReLU. Else 1 / √E[f(z)²] for z ~ N(0, 1), computed.

        >>> from thalweg import activation
        >>> round(activation.relu().gain(), 4), round(activation.gelu().gain(), 4)
        (1.4142, 1.5335)
        """
        from thalweg.activation._gain import gain

        return gain(self.module())


def activation(
    *,
    source: str,
    torchs: str,
    spelled: Mapping[str, str] | None = None,
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], ActivationTechnique]:
    """Declare the decorated formula an activation.

    The formula takes ``x``, of any shape, and by keyword its hyperparameters with torch's defaults; it returns ``y``,
    of the same shape.
    """

    def declare(formula: Callable[..., Any]) -> ActivationTechnique:
        return ActivationTechnique(
            kind="activation", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            torchs=torchs, spelled=dict(spelled or {}),
        )  # fmt: skip

    return declare
