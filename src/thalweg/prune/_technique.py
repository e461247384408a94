"""Which weights are taken away: a formula from weights to scores, of which the highest stay."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.key import Key

__all__ = ["Prune", "PruneTechnique", "prune"]

KEEP = 0.2
"""The share of weights that stay where nothing is said."""


@dataclass(frozen=True, repr=False)
class PruneTechnique(Technique):
    """A formula from a parameter's weights ``w`` to their scores, in their shape: what scores highest stays.

    Beside ``w`` it may take ``g``, a gradient, and ``u``, numbers evenly from [0, 1) that its key alone decides.

    Attributes:
        gradient: whose ``g`` is: ``loss``, that of the loss on a batch; ``flow``, that of the sum of the outputs for
            an input of ones, where all is linear and every weight is replaced by its size.
        units: it scores output units, whose weights come and go together, and gives them one score.
        when: hyperparameters that say how often scores are taken, and not how: ``rounds``.
    """

    gradient: str = ""
    units: bool = False
    when: tuple[str, ...] = ()

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those of the formula, and ``keep``, the share of weights that stay: the formula says which."""
        return {**super().hyperparameters, "keep": KEEP}

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Prune`."""
        return Prune

    def __call__(self, *positional: Any, **values: Any) -> Prune:
        """Return the ingredient; hyperparameters may stand in their place, as in ``magnitude(0.1)``."""
        return Prune(self, by_name(self, positional, values))

    @property
    def takes(self) -> tuple[str, ...]:
        """The formula's tensors, ``w`` first."""
        return tuple(
            name for name, p in inspect.signature(self.formula).parameters.items() if p.kind is not p.KEYWORD_ONLY
        )


class Prune(Ingredient):
    """A way to prune with its hyperparameters."""

    technique: PruneTechnique

    @property
    def keep(self) -> float:
        """The share of weights that stay.

        Raises:
            InputError: it is a range to search.
        """
        found = dict(self.values).get("keep", KEEP)
        if isinstance(found, Distribution):
            raise InputError(f"keep of {self.name} is a range to search; give it a value")
        return float(found)

    def masks(
        self,
        model: nn.Module,
        keep: float | None = None,
        *,
        scope: str = "global",
        half_output: bool | str = False,
        among: Mapping[str, Tensor] | None = None,
        names: str | Sequence[str] | None = None,
        batch: Any = None,
        loss: Callable[[Any, Any], Tensor] | None = None,
        key: Key | None = None,
    ) -> dict[str, Tensor]:
        """Return which weights stay; the model is left as it is. Biases and what belongs to norms always stay.

        What is added to each example, such as a class token, is no weight, nor is what a module names in an attribute
        ``not_weights``. Where a layer loses its last weight, a warning names it.

        Args:
            model: any module.
            keep: the share of weights that stay, above 0 up to 1, rounded to whole weights, one at least; the
                ingredient's own if not given. Where output units come and go together, the share of units, whose
                inputs and outputs go with them.
            scope: ``"global"``, all weights compete; or ``"layer"``, each parameter's among themselves.
            half_output: the output layer loses half the share, and competes with no other. It is the layer that the
                model registers last; where it is another, give its weight's name.
            among: masks of an earlier round: what is gone stays gone, and ``keep`` is a share of what is left.
            names: which parameters, by name or by patterns; by default all weights that are trained.
            batch: ``(inputs, targets)``, for techniques that look at data; those that take none but need to know what
                an input looks like take inputs alone as well.
            loss: ``(output, targets)`` to a number, for techniques that look at the loss.
            key: of the random numbers, for techniques that draw some.

        Returns:
            A bool tensor for each parameter by its name, True where the weight stays.

        Raises:
            InputError: a model with nothing to prune, tied weights, a share or scope that cannot be, masks of another
                shape, something missing that the technique needs, scores that are not finite or all 0, or a layer
                that the technique cannot take.

        >>> import torch
        >>> from thalweg import prune
        >>> layer = torch.nn.Linear(4, 1)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, -3.0, 0.2, 1.0]]))
        >>> prune.magnitude().masks(layer, keep=0.5)
        {'weight': tensor([[False,  True, False,  True]])}
        """
        from thalweg.prune._masks import Given, masks

        share = self.keep if keep is None else keep
        return masks(self, model, share, Given(scope, half_output, among, names, batch, loss, key))


def prune(
    *,
    source: str,
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
    gradient: str = "",
    units: bool = False,
    when: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], PruneTechnique]:
    """Declare the decorated formula a way to prune; see `PruneTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> PruneTechnique:
        return PruneTechnique(
            kind="prune", formula=formula, source=source, space=dict(space or {}),
            limits={"keep": "(0, 1]", **(limits or {})}, gradient=gradient, units=units, when=when,
        )  # fmt: skip

    return declare
