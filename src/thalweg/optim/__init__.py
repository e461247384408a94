"""Optimizers: ``optim.adam`` is the ingredient, ``optim.Adam`` the ``torch.optim.Optimizer``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from thalweg.optim._absent import absent
from thalweg.optim._adabelief import adabelief
from thalweg.optim._adadelta import adadelta
from thalweg.optim._adafactor import adafactor
from thalweg.optim._adafactor_unfactored import adafactor_unfactored
from thalweg.optim._adagrad import adagrad
from thalweg.optim._adam import adam
from thalweg.optim._adam_l2 import adam_l2
from thalweg.optim._adam_uncorrected import adam_uncorrected
from thalweg.optim._adamax import adamax
from thalweg.optim._adamw import adamw
from thalweg.optim._adan import adan
from thalweg.optim._amsgrad import amsgrad
from thalweg.optim._amsgradw import amsgradw
from thalweg.optim._lamb import lamb
from thalweg.optim._lars import lars
from thalweg.optim._lion import lion
from thalweg.optim._momentum import momentum
from thalweg.optim._momentum_dampened import momentum_dampened
from thalweg.optim._muon import muon
from thalweg.optim._muon_matched import muon_matched
from thalweg.optim._nadam import nadam
from thalweg.optim._nadamw import nadamw
from thalweg.optim._nesterov import nesterov
from thalweg.optim._prodigy import prodigy
from thalweg.optim._radam import radam
from thalweg.optim._radamw import radamw
from thalweg.optim._rmsprop import rmsprop
from thalweg.optim._rmsprop_centered import rmsprop_centered
from thalweg.optim._rmsprop_centered_momentum import rmsprop_centered_momentum
from thalweg.optim._rmsprop_momentum import rmsprop_momentum
from thalweg.optim._schedule_free_adamw import schedule_free_adamw
from thalweg.optim._schedule_free_sgd import schedule_free_sgd
from thalweg.optim._sgd import sgd
from thalweg.optim._soap import soap
from thalweg.optim._technique import Optimizer
from thalweg.optim._yogi import yogi

CATALOGUE: dict[str, Optimizer] = {
    technique.name: technique
    for technique in (
        sgd, momentum, momentum_dampened, nesterov, adagrad, adadelta, rmsprop, rmsprop_momentum, rmsprop_centered,
        rmsprop_centered_momentum, adam_uncorrected, adam, adam_l2, adamax, amsgrad, yogi, adamw, amsgradw, nadam,
        nadamw, radam, radamw, adabelief, adan, lion, lars, lamb, adafactor_unfactored, adafactor, muon, muon_matched,
        soap, schedule_free_sgd, schedule_free_adamw, prodigy,
    )
}  # fmt: skip
"""Every optimizer by name, in the order in which one grew out of another."""

__all__ = [
    "CATALOGUE", "LAMB", "LARS", "SGD", "SOAP", "AdaBelief", "Adadelta", "Adafactor", "AdafactorUnfactored",
    "Adagrad", "Adam", "AdamUncorrected", "AdamW", "Adamax", "Adan", "Lion", "Muon", "NAdam", "Optimizer", "Prodigy",
    "RAdam", "RMSprop", "ScheduleFreeAdamW", "ScheduleFreeSGD", "Yogi", "adabelief", "adadelta", "adafactor",
    "adafactor_unfactored", "adagrad", "adam", "adam_l2", "adam_uncorrected", "adamax", "adamw", "adan", "amsgrad",
    "amsgradw", "groups", "lamb", "lars", "lion", "momentum", "momentum_dampened", "muon", "muon_matched", "nadam",
    "nadamw", "nesterov", "prodigy", "radam", "radamw", "rmsprop", "rmsprop_centered",
    "rmsprop_centered_momentum", "rmsprop_momentum", "schedule_free_adamw", "schedule_free_sgd", "sgd", "soap",
    "yogi",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load the classes, and torch with them, when one is first asked for."""
    if name not in __all__:
        said = absent(name)
        raise AttributeError(f"module 'thalweg.optim' has no attribute {name!r}{said and ': '}{said}")
    home = "_groups" if name == "groups" else "_classes"
    return getattr(import_module(f"thalweg.optim.{home}"), name)
