"""What training makes small: ``loss.hinge()(output, targets)``; in a recipe, in place of the task's own loss."""

from thalweg.loss._absolute_error import absolute_error
from thalweg.loss._cross_entropy import cross_entropy
from thalweg.loss._hinge import hinge
from thalweg.loss._huber import huber
from thalweg.loss._squared_error import squared_error
from thalweg.loss._technique import Loss, LossTechnique, kind_of
from thalweg.loss._trimmed import trimmed

CATALOGUE: dict[str, LossTechnique] = {
    technique.name: technique for technique in (cross_entropy, hinge, squared_error, absolute_error, huber, trimmed)
}
"""Every loss by name."""

__all__ = [
    "CATALOGUE", "Loss", "LossTechnique", "absolute_error", "cross_entropy", "hinge", "huber", "kind_of",
    "squared_error", "trimmed",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__
