"""What a dropout is: a formula from activations and random numbers to the activations that training goes on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Dropout", "DropoutTechnique", "dropout"]


@dataclass(frozen=True, repr=False)
class DropoutTechnique(Technique):
    """A formula from ``(x, keep)`` or ``(x, noise)`` to what is handed on in training.

    Attributes:
        draws: ``keep``: 1 for what stays and 0 for what leaves; or ``noise``: standard normal numbers.
        shares: what has one number together: ``nothing``, ``channels``, ``steps`` of a sequence, or the ``words`` of
            a sequence that are the same.
        evaluated: the formula of evaluation, where that is another than ``x``.
        layer: what kind of layer it is put around or in place of; ``""`` for those that stand between layers.
        diverges: whether its layers' weights are distributions, whose divergence from a prior belongs to the loss.
        made_of: what makes its module of such a layer: a file of this folder and a name in it, ``"_words:Name"``.
    """

    draws: str = "keep"
    shares: str = "nothing"
    evaluated: Callable[..., Any] | None = None
    layer: str = ""
    diverges: bool = False
    made_of: str = ""

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Dropout`."""
        return Dropout

    def __call__(self, *positional: Any, **values: Any) -> Dropout:
        """Return the ingredient; hyperparameters may stand in their place, as in ``gaussian(0.2)``."""
        return Dropout(self, by_name(self, positional, values))


class Dropout(Ingredient):
    """A dropout with its hyperparameters.

    >>> from thalweg import dropout
    >>> dropout.gaussian(0.2).module()
    Thinning(gaussian, p=0.2)
    """

    technique: DropoutTechnique

    def module(self, layer: nn.Module | None = None) -> nn.Module:
        """Return a new module.

        Args:
            layer: what is wrapped, or replaced with its weights kept: by ``rnn`` an ``nn.LSTM`` or ``nn.GRU``, by
                ``embedding`` an ``nn.Embedding``, by ``variational`` and ``sparse_variational`` an ``nn.Linear`` or
                ``nn.Conv2d``. The others, and ``rnn`` without one, stand between layers.

        Raises:
            InputError: a layer where none belongs, none where one does, or a hyperparameter that is still a range.
        """
        technique = self.technique
        if ranges := [name for name, value in self.values if not isinstance(value, int | float)]:
            raise InputError(f"{ranges[0]} of {self.name} is a range to search; give it a value to make a module")
        if technique.layer and layer is None:
            raise InputError(f"{self.name} needs {technique.layer}: dropout.{self.name}(…).module(layer)")
        if layer is not None and not technique.made_of:
            raise InputError(f"{self.name} stands between layers; .module() takes no {type(layer).__name__}")
        values = dict(self.resolved())
        if layer is None:
            made: nn.Module = import_module("thalweg.dropout").Thinning(technique, **values)
        else:
            home, _, name = technique.made_of.partition(":")
            made = getattr(import_module(f"thalweg.dropout.{home}"), name)(layer, **values)
        return made


def dropout(
    *,
    source: str,
    space: Mapping[str, Distribution],
    limits: Mapping[str, str] | None = None,
    draws: str = "keep",
    shares: str = "nothing",
    evaluated: Callable[..., Any] | None = None,
    layer: str = "",
    diverges: bool = False,
    made_of: str = "",
) -> Callable[[Callable[..., Any]], DropoutTechnique]:
    """Declare the decorated formula a dropout; see `DropoutTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> DropoutTechnique:
        return DropoutTechnique(
            kind="dropout", formula=formula, source=source, space=dict(space),
            limits={"p": "[0, 1)", **(limits or {})}, draws=draws, shares=shares, evaluated=evaluated, layer=layer,
            diverges=diverges, made_of=made_of,
        )  # fmt: skip

    return declare
