"""What a study's records hold, row by row; see ``schema.sql`` for how each is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BaselineRecord", "Curve", "Entry", "RecipeRow", "RunRecord"]


@dataclass(frozen=True)
class RecipeRow:
    """A compared recipe: its name in the study and its declaration (TOML, ranges included)."""

    name: str
    declared: str


@dataclass(frozen=True)
class Entry:
    """Why a run was made: the arm, whose recipe, which setting, which of the arm's seeds."""

    arm: str
    recipe: str
    setting: int
    repeat: int
    run: str


@dataclass(frozen=True)
class Curve:
    """A run's course, one element an epoch, shape ``(epochs + 1,)``; NaN where nothing was measured."""

    epoch: np.ndarray
    step: np.ndarray
    train_loss: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class RunRecord:
    """What one run left behind; see ``schema.sql`` for each field.

    ``outcomes`` holds the metric of every test example, float32, shape ``(examples,)``; for a metric that
    has one value for a whole split it has one element. ``curve`` and ``outcomes`` are None where a run
    failed, and where they were not asked for on reading.
    """

    identity: str
    recipe: str
    seed: int
    status: str
    reason: str
    executor: str
    steps: int
    cpu_seconds: float
    state_bytes: float
    train: float
    valid: float
    test: float
    curve: Curve | None = None
    outcomes: np.ndarray | None = None


@dataclass(frozen=True)
class BaselineRecord:
    """What one fit of a classical model left behind; see ``schema.sql`` for each field.

    ``outcomes`` is as in `RunRecord`; None, and the scores NaN, where the model could not be fitted.
    """

    name: str
    setting: int
    repeat: int
    declared: str
    reason: str
    cpu_seconds: float
    train: float
    valid: float
    test: float
    outcomes: np.ndarray | None = None
