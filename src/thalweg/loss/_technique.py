"""What a loss is: a formula from a model's output and the targets to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError
from thalweg.technique import Distribution, Ingredient, Technique, by_name

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Loss", "LossTechnique", "kind_of", "loss"]


@dataclass(frozen=True, repr=False)
class LossTechnique(Technique):
    """A formula from ``(output, targets)`` to a mean over the batch, shape ``()``.

    Attributes:
        targets: which it is for: ``classes``, whole numbers that count from 0, with an output ``(N, classes, …)`` for
            targets ``(N, …)``, of which those of −100 are left out; ``numbers``, in the shape of the output.
    """

    targets: tuple[str, ...] = ()

    @property
    def ingredient(self) -> type[Ingredient]:
        """`Loss`."""
        return Loss

    def __call__(self, *positional: Any, **values: Any) -> Loss:
        """Return the ingredient; hyperparameters may stand in their place, as in ``huber(0.5)``."""
        return Loss(self, by_name(self, positional, values))


class Loss(Ingredient):
    """A loss with its hyperparameters; call it as ``F.cross_entropy``."""

    technique: LossTechnique

    def __call__(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, shape ``()``, in float32 at least.

        Args:
            output: the model's.
            targets: classes or numbers; see `LossTechnique`. An axis of length 1 that one of the two has more, as
                ``(N, 1)`` and ``(N,)``, is no difference.

        Raises:
            InputError: shapes that do not fit together, targets that it is not for, a class of which the output says
                nothing, or a hyperparameter that is still a range.

        >>> import torch
        >>> from thalweg import loss
        >>> loss.hinge()(torch.tensor([[3.0, 2.5, -1.0]]), torch.tensor([0]))
        tensor(0.5000)
        >>> loss.huber(1.0)(torch.tensor([0.5, 3.0]), torch.zeros(2))
        tensor(1.3125)
        """
        if ranges := [name for name, value in self.values if isinstance(value, Distribution)]:
            raise InputError(f"{ranges[0]} of {self.name} is a range to search; give it a value")
        values = {**self.technique.hyperparameters, **dict(self.values)}
        from thalweg.loss._fitting import fitted, outside

        output, targets = fitted(self.name, self.technique.targets, output, targets)
        try:
            found: Tensor = self.technique.formula(output, targets, **values)
        except (IndexError, RuntimeError) as error:
            raise (outside(self.name, output, targets) or error) from error
        return found

    def check(self, targets: Tensor, task: str) -> None:
        """Refuse targets that the loss is not for.

        Args:
            targets: of a task.
            task: its name.

        Raises:
            InputError: with the losses that would do.

        >>> import torch
        >>> from thalweg import loss
        >>> loss.hinge().check(torch.tensor([0.5, 2.0]), "diabetes")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        thalweg.errors.InputError: the loss hinge takes classes, and the targets of task diabetes are numbers; ...
        """
        kind = kind_of(targets)
        if kind not in self.technique.targets:
            from thalweg.loss import CATALOGUE

            others = ", ".join(name for name, other in CATALOGUE.items() if kind in other.targets)
            raise InputError(
                f"the loss {self.name} takes {' or '.join(self.technique.targets)}, and the targets of task {task} "
                f"are {kind}; what takes them is {others}"
            )


def kind_of(targets: Tensor) -> str:
    """Return ``"numbers"`` for targets with fractions, else ``"classes"``."""
    return "numbers" if targets.is_floating_point() else "classes"


def loss(
    *,
    source: str,
    targets: tuple[str, ...],
    space: Mapping[str, Distribution] | None = None,
    limits: Mapping[str, str] | None = None,
    generalises: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], LossTechnique]:
    """Declare the decorated formula a loss; see `LossTechnique` for what it takes and returns."""

    def declare(formula: Callable[..., Any]) -> LossTechnique:
        return LossTechnique(
            kind="loss", formula=formula, source=source, space=dict(space or {}), limits=dict(limits or {}),
            generalises=generalises, targets=targets,
        )  # fmt: skip

    return declare
