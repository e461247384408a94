"""Optimizers: ``optim.adam`` is the ingredient, ``optim.Adam`` the ``torch.optim.Optimizer``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thalweg.optim._adadelta import adadelta
from thalweg.optim._adagrad import adagrad
from thalweg.optim._adam import adam
from thalweg.optim._adam_l2 import adam_l2
from thalweg.optim._adam_uncorrected import adam_uncorrected
from thalweg.optim._adamw import adamw
from thalweg.optim._amsgrad import amsgrad
from thalweg.optim._momentum import momentum
from thalweg.optim._nadam import nadam
from thalweg.optim._nesterov import nesterov
from thalweg.optim._rmsprop import rmsprop
from thalweg.optim._sgd import sgd
from thalweg.optim._technique import Optimizer
from thalweg.optim._yogi import yogi

CATALOGUE: dict[str, Optimizer] = {
    technique.name: technique
    for technique in (
        sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam_uncorrected, adam, adam_l2, amsgrad, yogi,
        adamw, nadam,
    )
}  # fmt: skip
"""Every optimizer by name, in the order in which one grew out of another."""

__all__ = [
    "CATALOGUE", "SGD", "Adadelta", "Adagrad", "Adam", "AdamUncorrected", "AdamW", "NAdam", "Optimizer",
    "RMSprop", "Yogi", "adadelta", "adagrad", "adam", "adam_l2", "adam_uncorrected", "adamw", "amsgrad",
    "momentum", "nadam", "nesterov", "rmsprop", "sgd", "yogi",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load the classes, and torch with them, when one is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'thalweg.optim' has no attribute {name!r}")
    return getattr(import_module("thalweg.optim._classes"), name)
