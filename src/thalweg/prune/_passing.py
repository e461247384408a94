"""Through which operations a layer's units pass one by one, and where their axis is afterwards."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["ACTIVATIONS", "DROPOUTS", "Passing", "is_batch_size", "passing"]

ACTIVATIONS = (
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu",
    "silu", "mish", "hardswish", "softplus", "softsign", "tanh", "tanh_", "hardtanh", "hardtanh_", "sigmoid",
    "sigmoid_", "hardsigmoid", "prelu", "rrelu", "rrelu_", "logsigmoid", "threshold", "threshold_", "hardshrink",
    "softshrink", "tanhshrink",
)  # fmt: skip
"""Activations by the names that torch's functions have."""

DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")

_ARITHMETIC = (
    "add", "sub", "mul", "truediv", "div", "neg", "abs", "exp", "log", "sqrt", "square", "pow", "clamp", "maximum",
    "minimum", "where", "lt", "le", "gt", "ge", "erf", "sin", "cos", "reciprocal",
)  # fmt: skip
_POOLS = ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
_SAME = ("contiguous", "clone", "detach", "float", "double", "to", "type_as")

_MODULES: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus,
    nn.Softsign, nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.RReLU, nn.LogSigmoid, nn.Threshold,
    nn.Hardshrink, nn.Softshrink, nn.Tanhshrink,
)  # fmt: skip
_HAND_ON = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_POOL_MODULES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip
_AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


@dataclass(frozen=True)
class Passing:
    """How units come out of an operation.

    Attributes:
        axis: which counts them: the ``last``; the ``first`` after the batch; or ``flat``, the first, where each unit
            has as many places next to each other as its map had.
        places: how many axes come after the first, where that counts them.
        what: was done to them: ``computed``, number by number; ``normed``; or ``same``: what was one number all over
            a map still is.
        to_the_border: at its border too.
    """

    axis: str
    places: int = 0
    what: str = "same"
    to_the_border: bool = True


def passing(node: fx.Node, how: Passing, module: nn.Module | None, units: int) -> Passing | str | None:
    """Return how units come out of an operation, or why that cannot be told; None if only the batch's size is asked.

    Args:
        node: the operation.
        how: they go in.
        module: what the operation calls, if it is a module.
        units: how many they are.
    """
    if node.op == "output":
        return "they are the model's output"
    if is_batch_size(node):
        return None
    if module is not None:
        return _through_module(module, str(node.target), how, units)
    name = _name(node)
    if name in ACTIVATIONS or name in _ARITHMETIC:
        return Passing(how.axis, how.places, "computed")
    if name in DROPOUTS or name in _SAME:
        return Passing(how.axis, how.places)
    if name.rstrip("123d") in _POOLS and how.axis == "first":
        return Passing("first", how.places, to_the_border=not name.startswith("avg_pool"))
    if name == "flatten" and _given(node, 1, "start_dim") == 1 and _given(node, 2, "end_dim") in (None, -1):
        return _flat(how)
    if name in ("view", "reshape") and _flattens(node):
        return _flat(how)
    if name == "mean" and how.axis == "first" and _is_over_places(node, how.places):
        return Passing("first", how.places) if _given(node, 2, "keepdim") else Passing("flat")
    return f"they go into {name}"


def _through_module(module: nn.Module, name: str, how: Passing, units: int) -> Passing | str:
    if isinstance(module, _MODULES) or (isinstance(module, nn.PReLU) and module.num_parameters == 1):
        return Passing(how.axis, how.places, "computed")
    if isinstance(module, _HAND_ON):
        return Passing(how.axis, how.places)
    if isinstance(module, (*_POOL_MODULES, *_AVERAGES)) and how.axis == "first":
        return Passing("first", how.places, to_the_border=not (isinstance(module, _AVERAGES) and _pads(module)))
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return _flat(how)
    on_units = how.axis == "first" or (how.axis == "last" and isinstance(module, nn.BatchNorm1d))
    if isinstance(module, _BatchNorm) and on_units and module.num_features == units:
        return Passing(how.axis, how.places, "normed")
    return f"they go into {name} ({type(module).__name__})"


def _name(node: fx.Node) -> str:
    """Return what an operation is called, whether as a function, a method or an operator, in place or not."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    name = name.strip("_")
    return name.removeprefix("i") if getattr(operator, name, None) is node.target and name in _IN_PLACE else name


_IN_PLACE = ("iadd", "isub", "imul", "itruediv")


def _pads(module: Any) -> bool:
    padding = module.padding if isinstance(module.padding, tuple) else (module.padding,)
    return any(padding) and module.count_include_pad


def _flat(how: Passing) -> Passing:
    return Passing("last" if how.axis == "last" else "flat")


def _given(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


def is_batch_size(node: Any) -> bool:
    """Return whether a node is the size of a batch, or a shape of which nothing else is read."""
    if not isinstance(node, fx.Node):
        return False
    if node.op == "call_method" and node.target == "size" and len(node.args) > 1:
        return bool(node.args[1] == 0)
    if node.target is operator.getitem:
        return bool(node.args[1] == 0) and _is_shape(node.args[0])
    return _is_shape(node) and all(user.target is operator.getitem and user.args[1] == 0 for user in node.users)


def _is_shape(node: Any) -> bool:
    if not isinstance(node, fx.Node):
        return False
    if node.op == "call_method" and node.target == "size":
        return len(node.args) == 1
    return node.op == "call_function" and node.target is getattr and node.args[1] == "shape"


def _flattens(node: fx.Node) -> bool:
    """Return whether a view is ``(batch, -1)``; one of a fixed size would not fit what is left of it."""
    given = node.args[1:]
    sizes = given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given
    return len(sizes) == 2 and bool(sizes[1] == -1) and is_batch_size(sizes[0])


def _is_over_places(node: fx.Node, places: int) -> bool:
    """Return whether a mean is over all axes but batch and units."""
    axes = _given(node, 1, "dim")
    axes = axes if isinstance(axes, tuple | list) else [axes]
    if not all(isinstance(axis, int) for axis in axes):
        return False
    return sorted(axis % (places + 2) for axis in axes) == list(range(2, places + 2))
