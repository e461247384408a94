"""Activations: ``activation.leaky_relu(slope=0.2).module()`` is torch's own module.

In recipes, the role ``activation``: in place of the activations that the model has.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.activation._elu import elu
from thalweg.activation._gelu import gelu
from thalweg.activation._leaky_relu import leaky_relu
from thalweg.activation._relu import relu
from thalweg.activation._sigmoid import sigmoid
from thalweg.activation._silu import silu
from thalweg.activation._softplus import softplus
from thalweg.activation._tanh import tanh
from thalweg.activation._technique import Activation, ActivationTechnique

if TYPE_CHECKING:
    from thalweg.activation._gain import gain

CATALOGUE: dict[str, ActivationTechnique] = {
    technique.name: technique for technique in (sigmoid, tanh, relu, softplus, leaky_relu, elu, gelu, silu)
}
"""Every activation by name."""

__all__ = [
    "CATALOGUE", "Activation", "ActivationTechnique", "elu", "gain", "gelu", "leaky_relu", "relu", "sigmoid", "silu",
    "softplus", "tanh",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is first asked for."""
    if name != "gain":
        raise AttributeError(f"module 'thalweg.activation' has no attribute {name!r}")
    return import_module("thalweg.activation._gain").gain
