"""thalweg: which training recipe for my model and my data, and how sure can I be?

Everything named here is loaded when it is first used, so that ``import thalweg`` is quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError, unknown

if TYPE_CHECKING:
    from thalweg import (
        activation,
        augment,
        average,
        dropout,
        gradient,
        init,
        inspect,
        loss,
        norm,
        optim,
        penalty,
        prune,
        schedule,
        stop,
        surgery,
        wrapper,
    )  # fmt: skip
    from thalweg.key import Key
    from thalweg.recipe import Recipe
    from thalweg.study import Study, compare, export, lottery
    from thalweg.study.ablate import ablate
    from thalweg.task import (
        Metric,
        Task,
        absolute_error,
        accuracy,
        balanced_accuracy,
        load_task,
        split,
        squared_error,
        standardize,
    )
    from thalweg.technique import Choice, LogUniform, Uniform

__version__ = "0.1.0"

# By default, the last bits of MKL's products depend on where their memory is aligned, and so on a run's place in its
# population. MKL reads this at its first call; it costs nothing that could be measured.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

_HOMES = {
    "key": ["Key"],
    "recipe": ["Recipe"],
    "study": ["Study", "ablate", "compare", "export", "lottery"],
    "task": [
        "Metric", "Task", "absolute_error", "accuracy", "balanced_accuracy", "load_task", "split", "squared_error",
        "standardize",
    ],
    "technique": ["Choice", "LogUniform", "Uniform"],
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

_PARTS = (
    "activation", "augment", "average", "dropout", "gradient", "init", "inspect", "loss", "norm", "optim", "penalty",
    "prune", "schedule", "stop", "surgery", "wrapper",
)  # fmt: skip

__all__ = [
    "Choice", "InputError", "Key", "LogUniform", "Metric", "Recipe", "Study", "Task", "Uniform", "ablate",
    "absolute_error", "accuracy", "activation", "augment", "average", "balanced_accuracy", "compare", "dropout",
    "export", "gradient", "init", "inspect", "load_task", "loss", "lottery", "norm", "optim", "penalty", "prune",
    "schedule", "split", "squared_error", "standardize", "stop", "surgery", "unknown", "wrapper",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"thalweg.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'thalweg' has no attribute {name!r}")
    return getattr(import_module(f"thalweg.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
