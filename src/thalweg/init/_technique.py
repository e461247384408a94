"""What an initialisation is: a formula from random numbers of a weight's shape to its first values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from thalweg.init._apply import Filled
    from thalweg.key import Key

__all__ = ["Init", "InitTechnique", "init"]

WEIGHTS = ("linear", "convolution", "embedding", "recurrent", "hidden", "attention")


@dataclass(frozen=True, repr=False)
class InitTechnique(Technique):
    """A formula from ``z``, of a weight's shape with outputs along the first axis, to values of that shape.

    Attributes:
        noise: what ``z`` is, and what follows it: ``normal``, of variance 1; ``uniform``, from −1 to 1. Without any,
            z is 0.
        fills: the weights that it is for; ``hidden`` are those from a recurrent layer's state to its state.
        usual: the gain, where that of what follows cannot be told.
        rescaled: the formula from a weight and the variance of what its layer puts out to the weight that follows
            it; such a technique needs a batch.
        branched: whether it needs residual branches.
    """

    noise: tuple[str, ...] = ("normal",)
    fills: tuple[str, ...] = WEIGHTS
    usual: float = 1.0
    rescaled: Callable[..., Any] | None = field(default=None, compare=False)
    branched: bool = False

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Init`."""
        return Init

    def __call__(self, *positional: Any, **values: Any) -> Init:
        """Return the ingredient; hyperparameters may stand in their place, as in ``small_random(0.1)``."""
        return Init(self, by_name(self, positional, values))


class Init(Ingredient):
    """An initialisation with its hyperparameters."""

    technique: InitTechnique

    def apply(self, model: nn.Module, key: Key | int, batch: Any = None) -> Filled:
        """Give a model's weights their first values, in place; biases become 0, norms stay as they are.

        Filled are linear layers, convolutions, embeddings, and torch's recurrent and attention layers: each weight
        from ``key / its name``, so that no other moves it. A weight that two layers share is filled once. What a
        module of another kind holds, and what is frozen, stays as it is.

        The gain of a layer, if none is given, is that of the activation that its output goes to, through norms,
        pooling and dropout, as tracing with torch.fx shows; 1 where none follows.

        Args:
            model: any module.
            key: a `thalweg.Key`, or a seed.
            batch: inputs as the model takes them, a tensor or a tuple or dict of them; for ``lsuv``.

        Returns:
            What was filled and with which gain, and what was left and why; printed, it is a table.

        Raises:
            InputError: nothing to fill, a lazy layer, a hyperparameter that is still a range, no batch or no residual
                branches for a technique that needs them. Then nothing is changed.

        >>> from torch import nn
        >>> from thalweg import init
        >>> print(init.he_normal().apply(nn.Sequential(nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 1)), key=0))
        weight    shape     deviation  gain
        0.weight  (20, 50)  0.2004     1.414, of ReLU
        2.weight  (1, 20)   0.2224     1, nothing follows
        """
        from thalweg.init._apply import apply

        return apply(self, model, key, batch)

    def draw(
        self, shape: Sequence[int], key: Key | int, *, fan_in: float | None = None, fan_out: float | None = None
    ) -> Tensor:
        """Return values for one weight, float64.

        Args:
            shape: outputs, inputs, and a convolution's window.
            key: a `thalweg.Key`, or a seed.
            fan_in: how many inputs an output sums over; inputs times window, if not given.
            fan_out: how many outputs an input goes to; outputs times window, if not given.

        Raises:
            InputError: a shape of one axis, or a hyperparameter that is still a range.

        >>> from thalweg import init
        >>> init.identity().draw((2, 3), key=0)
        tensor([[1., 0., 0.],
                [0., 1., 0.]], dtype=torch.float64)
        """
        from thalweg.init._apply import draw

        return draw(self, shape, key, fan_in, fan_out)


def init(
    *,
    source: str,
    noise: tuple[str, ...] = ("normal",),
    fills: tuple[str, ...] = WEIGHTS,
    usual: float = 1.0,
    rescaled: Callable[..., Any] | None = None,
    branched: bool = False,
    given: tuple[str, ...] = (),
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], InitTechnique]:
    """Declare the decorated formula an initialisation.

    The formula takes ``z``, and what other noise is declared; by keyword ``fan_in`` and ``fan_out`` if it needs them,
    and its hyperparameters with their defaults, of which ``gain=None`` stands for that of what follows. It returns
    the values.
    """

    def declare(formula: Callable[..., Any]) -> InitTechnique:
        return InitTechnique(
            kind="init", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            given=("fan_in", "fan_out", *given), noise=noise, fills=fills, usual=usual, rescaled=rescaled,
            branched=branched,
        )  # fmt: skip

    return declare
