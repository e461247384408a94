"""What keeps weights small: a formula from weights to a number, or from weights to smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Penalty", "PenaltyTechnique", "penalty"]


@dataclass(frozen=True, repr=False)
class PenaltyTechnique(Technique):
    """A formula of one of two forms.

    Attributes:
        place: ``loss``: from weights ``w`` to a number, shape ``()``, which is added to the loss; that of a model is
            the sum of its weights'. ``after`` the step: from a layer's weights, whose first axis counts the output
            units, to those that the constraint allows.
    """

    place: str = "loss"

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Penalty`."""
        return Penalty

    def __call__(self, *positional: Any, **values: Any) -> Penalty:
        """Return the ingredient; hyperparameters may stand in their place, as in ``l2(1e-4)``."""
        return Penalty(self, by_name(self, positional, values))


class Penalty(Ingredient):
    """A penalty with its hyperparameters, for recipes and for anyone's own loop."""

    technique: PenaltyTechnique

    def of(self, model: nn.Module, names: str | Sequence[str] | None = None) -> Tensor:
        """Return the penalty of a model's weights, shape ``()``, to be added to the loss.

        Args:
            model: any module. Tied weights count once, frozen ones not at all.
            names: which parameters, by name or by patterns such as ``"encoder.*"``; by default the weights: no
                biases, nothing of a norm, nothing that is added to each example, such as a class token, and nothing
                that a module names in an attribute ``not_weights``.

        Raises:
            InputError: a model without weights, a name that no parameter has, a constraint, or a hyperparameter that
                is still a range.

        >>> import torch
        >>> from thalweg import penalty
        >>> layer = torch.nn.Linear(2, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, -4.0]]))
        >>> penalty.l2(0.1).of(layer).item(), penalty.l1(0.1).of(layer).item()
        (2.5, 0.699999988079071)
        """
        from thalweg.penalty._by_hand import of

        return of(self, model, names)

    def apply(self, model: nn.Module, names: str | Sequence[str] | None = None) -> None:
        """Make a model's weights keep to a constraint, in place, after the optimizer's step.

        Args:
            model, names: as for `of`.

        Raises:
            InputError: as `of`, or a penalty that is no constraint.

        >>> import torch
        >>> from thalweg import penalty
        >>> layer = torch.nn.Linear(2, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, -4.0]]))
        >>> penalty.max_norm(1.0).apply(layer)
        >>> layer.weight.data
        tensor([[ 0.6000, -0.8000]])
        """
        from thalweg.penalty._by_hand import apply

        apply(self, model, names)


def penalty(
    *,
    source: str,
    space: Mapping[str, Distribution],
    place: str = "loss",
    limits: Mapping[str, str] | None = None,
    generalises: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], PenaltyTechnique]:
    """Declare the decorated formula a penalty; see `PenaltyTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> PenaltyTechnique:
        return PenaltyTechnique(
            kind="penalty", formula=formula, source=source, space=dict(space), limits=dict(limits or {}),
            generalises=generalises, place=place,
        )  # fmt: skip

    return declare
