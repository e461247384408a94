"""The roles of a recipe: what each may be, and what it may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg import (
    activation,
    average,
    dropout,
    gradient,
    init,
    loss,
    norm,
    optim,
    penalty,
    prune,
    schedule,
    stop,
    wrapper,
)  # fmt: skip
from thalweg.errors import InputError, unknown
from thalweg.gradient import Gradient
from thalweg.schedule import Schedule
from thalweg.technique import Choice, Ingredient, Technique

__all__ = ["CATALOGUES", "CHAINS", "NUMBERS", "OPTIONAL", "SHAPING", "UNSAID", "WORDS", "checked", "values_of"]

CATALOGUES: dict[str, Mapping[str, Any]] = {
    "optimizer": optim.CATALOGUE,
    "schedule": schedule.CATALOGUE,
    "gradient": gradient.CATALOGUE,
    "average": average.CATALOGUE,
    "wrapper": wrapper.CATALOGUE,
    "init": init.CATALOGUE,
    "activation": activation.CATALOGUE,
    "norm": norm.CATALOGUE,
    "dropout": dropout.CATALOGUE,
    "penalty": penalty.CATALOGUE,
    "loss": loss.CATALOGUE,
    "stop": stop.CATALOGUE,
    "prune": prune.CATALOGUE,
}
"""The techniques that each role chooses from; the other roles are numbers."""

OPTIONAL = tuple(role for role in CATALOGUES if role not in ("optimizer", "schedule"))
"""Roles that may be empty, and are unless something is said; an empty one leaves no trace in TOML."""

SHAPING = ("activation", "norm", "dropout", "loss")
"""Roles that change what a step computes, so that runs must have them in common to train together; of dropout only
the kind, for its rates are numbers that each run has of its own."""

CHAINS: dict[str, Any] = {"schedule": Schedule, "gradient": Gradient}
NUMBERS = ("batch_size", "epochs", "accumulate")

WORDS: dict[str, tuple[str, ...]] = {
    "precision": ("float32", "bf16"), "freeze": (), "recompute": ("none", "blocks"), "bucket": ("none", "length"),
}  # fmt: skip
"""Roles that are words, and those that each knows; ``freeze`` knows the names of the model's parameters."""

UNSAID = {"accumulate": 1, "precision": "float32", "freeze": "none", "recompute": "none", "bucket": "none"}
"""What leaves no trace in TOML: recipes that say nothing of it keep the identity that they had without the role."""


def checked(role: str, value: Any) -> Any:
    """Return the value of a role, or refuse it."""
    if role in CATALOGUES:
        if value is None and role in OPTIONAL:
            return CHAINS[role]() if role in CHAINS else None
        if isinstance(value, Technique):
            value = value()
        fits = (
            isinstance(value, CHAINS[role])
            if role in CHAINS
            else isinstance(value, Ingredient) and value.technique.kind == role
        )
        if not fits:
            raise InputError(f"{role} takes {_EXAMPLES[role]}, not {value!r}")
    elif role in WORDS:
        return _word(role, value)
    else:
        for number in values_of(value):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise InputError(f"{role} takes a whole number from 1 up, not {number!r}")
    return value


def values_of(number: Any) -> Sequence[Any]:
    """Return what a number may be."""
    return number.values if isinstance(number, Choice) else [number]


def _word(role: str, value: Any) -> str:
    """Return a word that a role knows, or refuse it."""
    known = WORDS[role]
    if not isinstance(value, str):
        what = " or ".join(f'"{word}"' for word in known) or 'names of parameters such as "encoder.*"'
        raise InputError(f"{role} takes {what}, not {value!r}")
    if known and value not in known:
        raise unknown(role, value, known)
    return value if known else " ".join(dict.fromkeys(value.split())) or "none"


_EXAMPLES = {
    "optimizer": "an ingredient such as optim.adam(lr=0.01)",
    "schedule": "a schedule such as schedule.cosine()",
    "gradient": "techniques such as gradient.clip_norm(1.0)",
    "average": "an average such as average.ema(0.99)",
    "wrapper": "a wrapper such as wrapper.sam(0.05)",
    "init": "an initialisation such as init.he_normal()",
    "activation": "an activation such as activation.gelu()",
    "norm": "a norm such as norm.layer()",
    "dropout": "a dropout such as dropout.gaussian(0.2)",
    "penalty": "a penalty such as penalty.l2(1e-4)",
    "loss": "a loss such as loss.huber()",
    "stop": "a way to stop such as stop.patience(5)",
    "prune": "a way to prune such as prune.snip(keep=0.1)",
}
