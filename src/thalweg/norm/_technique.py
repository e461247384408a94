"""What a norm is: a formula from a layer's output to one of known size, and torch's module that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.technique import Distribution, Ingredient, Technique, about, by_name

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Norm", "NormTechnique", "norm"]


@dataclass(frozen=True, repr=False)
class NormTechnique(Technique):
    """A formula from ``x``, shape ``(N, features, …)``, to ``y`` of that shape.

    Attributes:
        modules: the classes of modules that compute it, for features followed by 0, 1, 2 and 3 axes; torch's, or one
            of `thalweg.norm`. ``""`` where there is none.
        over: what its statistics are taken over: ``batch``, ``example``, ``group``, ``space`` or ``nothing``.
        evaluated: the formula of evaluation, if it is another: with the statistics that training kept.
        torchs: arguments of torch's class that make it this technique.
        selects: torch's arguments that select another technique: the value that does, and that technique's name.
    """

    modules: tuple[str, ...] = ()
    over: str = "batch"
    evaluated: Callable[..., Any] | None = None
    torchs: Mapping[str, Any] = field(default_factory=dict, compare=False)
    selects: Mapping[str, tuple[Any, str]] = field(default_factory=dict, compare=False)

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Norm`."""
        return Norm

    def arguments(self) -> dict[str, Any]:
        """Return the hyperparameters, and torch's arguments that select another formula."""
        on = {name: not value for name, (value, _) in self.selects.items() if name not in self.hyperparameters}
        return {**self.hyperparameters, **on}

    def about(self, name: str, default: Any) -> str:
        """Return what an argument takes, and which formula it selects."""
        said = about(self, name, default, "" if name in self.hyperparameters else "True or False")
        if name in self.selects:
            value, other = self.selects[name]
            said += f" {value!r} selects ``{other}``."
        return said

    def __call__(self, *positional: Any, **values: Any) -> Norm:
        """Return the ingredient; hyperparameters may stand in their place, as in ``group(4)``.

        Torch's arguments select the formula: ``batch(momentum=None)`` is ``batch_cumulative()``.
        """
        for argument, (value, name) in self.selects.items():
            if argument in values and values[argument] is value:
                other: NormTechnique = import_module("thalweg.norm").CATALOGUE[name]
                return other(*positional, **{key: x for key, x in values.items() if key not in self.selects})
        plain = {key: x for key, x in values.items() if key not in self.selects or key in self.hyperparameters}
        return Norm(self, by_name(self, positional, plain))


class Norm(Ingredient):
    """A norm with its hyperparameters.

    >>> from thalweg import norm
    >>> norm.batch().module(16, dims=2)
    BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    technique: NormTechnique

    def module(
        self, features: int, dims: int = 0, *, places: bool = False, like: Tensor | None = None, **torchs: Any
    ) -> nn.Module:
        """Return a new module for the output of a layer: torch's own, but for ``rms`` after a convolution.

        Args:
            features: how many the layer has: outputs of a linear layer, channels of a convolution.
            dims: how many axes follow the features: 0 after a linear layer, 1 to 3 after a convolution.
            places: whether other axes stand before the features, ``(N, …, features)``, as after a linear layer at
                each place of a sequence; every place then counts as an example. See `LastAxis`.
            like: a tensor of the device and type that its parameters are to have.
            torchs: more arguments of torch's class, such as ``affine=False``.

        Raises:
            InputError: features that this norm cannot take (see `check`), an argument that torch's class does not
                know, or a hyperparameter that is still a range.
        """
        from thalweg.norm._last import LastAxis
        from thalweg.norm._modules import made

        found = made(self, features, dims, like, torchs)
        return LastAxis(found) if places and self.technique.over in ("batch", "group") else found

    def check(self, features: int, dims: int = 0, batch: int | None = None) -> None:
        """Refuse a layer whose output this norm would wipe out, or could not take.

        Args:
            features, dims: as for `module`.
            batch: how many examples a training batch has, if it is known.

        Raises:
            InputError: a layer of one unit, a batch of one, groups that do not divide the features, places where
                there are none; the sentence says what would do.

        >>> from thalweg import norm
        >>> norm.group(groups=4).check(10)
        Traceback (most recent call last):
        thalweg.errors.InputError: group(groups=4) does not divide 10 features; 1, 2 or 5 groups would
        """
        from thalweg.norm._modules import check

        check(self, features, dims, batch)


def norm(
    *,
    source: str,
    modules: tuple[str, ...],
    over: str,
    evaluated: Callable[..., Any] | None = None,
    torchs: Mapping[str, Any] | None = None,
    selects: Mapping[str, tuple[Any, str]] | None = None,
    given: tuple[str, ...] = (),
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Any]], NormTechnique]:
    """Declare the decorated formula a norm.

    The formula takes ``x``, shape ``(N, features, …)``; if it has them, scale ``gamma`` and shift ``beta``, which
    broadcast against it; what it keeps between batches, if it does; and by keyword its hyperparameters with torch's
    defaults. It returns ``y``, of x's shape, and after it what it keeps.
    """

    def declare(formula: Callable[..., Any]) -> NormTechnique:
        return NormTechnique(
            kind="norm", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            given=given, modules=modules, over=over, evaluated=evaluated, torchs=dict(torchs or {}),
            selects=dict(selects or {}),
        )  # fmt: skip

    return declare
