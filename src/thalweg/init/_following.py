"""Which activation a layer's output goes to, as far as the model can be read without running it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules import pooling
from torch.nn.modules.conv import _ConvNd

from thalweg.activation._gain import MODULES, gain
from thalweg.graph import Part, parts, users
from thalweg.init._weights import NORMS

__all__ = ["activation_of", "following", "hands_on"]

_FUNCTIONS: dict[Callable[..., Any], type[nn.Module]] = {
    F.relu: nn.ReLU, F.relu_: nn.ReLU, torch.relu: nn.ReLU, torch.relu_: nn.ReLU, F.relu6: nn.ReLU6,
    F.leaky_relu: nn.LeakyReLU, F.leaky_relu_: nn.LeakyReLU, F.elu: nn.ELU, F.elu_: nn.ELU, F.selu: nn.SELU,
    F.celu: nn.CELU, F.gelu: nn.GELU, F.silu: nn.SiLU, F.mish: nn.Mish, F.hardswish: nn.Hardswish,
    F.hardtanh: nn.Hardtanh, F.softplus: nn.Softplus, F.softsign: nn.Softsign, F.tanh: nn.Tanh, torch.tanh: nn.Tanh,
    F.sigmoid: nn.Sigmoid, torch.sigmoid: nn.Sigmoid, F.hardsigmoid: nn.Hardsigmoid, F.logsigmoid: nn.LogSigmoid,
}  # fmt: skip
_METHODS = {"relu": nn.ReLU, "relu_": nn.ReLU, "tanh": nn.Tanh, "tanh_": nn.Tanh, "sigmoid": nn.Sigmoid}

_HANDING_ON = (
    *NORMS, nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
    nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Upsample, nn.PixelShuffle, nn.ChannelShuffle, nn.ZeroPad1d,
    nn.ZeroPad2d, nn.ZeroPad3d, pooling._MaxPoolNd, pooling._AvgPoolNd, pooling._AdaptiveMaxPoolNd,  # noqa: SLF001
    pooling._AdaptiveAvgPoolNd, pooling._LPPoolNd,  # noqa: SLF001
)  # fmt: skip
"""Modules whose output is as their input, but for its size, its shape, or what is left out."""

_HANDING_ON_FUNCTIONS = {
    torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze, torch.unsqueeze, torch.mean,
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.max_pool1d, F.max_pool2d, F.max_pool3d,
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d, torch.max_pool1d, torch.max_pool2d,
    F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.rms_norm, F.pad, F.interpolate,
}  # fmt: skip
_HANDING_ON_METHODS = {
    "flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "mean", "float", "to",
    "unflatten", "type_as",
}  # fmt: skip

_UNKNOWN = (0.0, "")


def following(model: nn.Module) -> dict[str, tuple[float, str]]:
    """Return, for each layer by its first name, the gain of what follows it, and in a few words what that is.

    A layer whose output goes several ways is there if all ways say the same; a layer of which it cannot be told is
    not there.
    """
    first = {id(module): name for name, module in model.named_modules()}
    found: dict[str, set[tuple[float, str]]] = {}
    for part in parts(model):
        for node in part.graph.nodes:
            path = part.module(node)
            if path is not None and isinstance(layer := model.get_submodule(path), nn.Linear | nn.Bilinear | _ConvNd):
                found.setdefault(first[id(layer)], set()).update(_ends(node, part, model))
    single = {name: next(iter(ends)) for name, ends in found.items() if len(ends) == 1}
    return {name: end for name, end in single.items() if end != _UNKNOWN}


def _ends(node: fx.Node, part: Part, model: nn.Module) -> set[tuple[float, str]]:
    ends: set[tuple[float, str]] = set()
    waiting, seen = users(node), set()
    while waiting:
        user = waiting.pop()
        if user in seen:
            continue
        seen.add(user)
        if hands_on(user, part, model):
            waiting += users(user)
        else:
            ends.add(_end(user, part, model))
    return ends


def _end(user: fx.Node, part: Part, model: nn.Module) -> tuple[float, str]:
    if user.op == "output":
        return (1.0, "nothing follows") if part.name == "" else _UNKNOWN
    activation = activation_of(user, part, model)
    if activation is not None:
        return gain(activation), f"of {type(activation).__name__}"
    path = part.module(user)
    layers = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.MultiheadAttention)
    if path is not None and isinstance(model.get_submodule(path), layers):
        return 1.0, "no activation follows"
    return _UNKNOWN


def activation_of(node: fx.Node, part: Part, model: nn.Module) -> nn.Module | None:
    """Return the activation that a node calls, as a module; None if it calls something else."""
    if node.op == "call_module":
        module = model.get_submodule(part.module(node) or "")
        return module if isinstance(module, MODULES) else None
    kind = _FUNCTIONS.get(node.target) if node.op == "call_function" and callable(node.target) else None
    if node.op == "call_method":
        kind = _METHODS.get(str(node.target))
    if kind is None or any(isinstance(x, fx.Node) for x in (*node.args[1:], *node.kwargs.values())):
        return None
    return kind(*node.args[1:], **{name: x for name, x in node.kwargs.items() if name != "input"})


def hands_on(node: fx.Node, part: Part, model: nn.Module) -> bool:
    """Return whether a node gives what it gets, but for its size, its shape, or what is left out."""
    if node.op == "call_module":
        return isinstance(model.get_submodule(part.module(node) or ""), _HANDING_ON)
    if node.op == "call_method":
        return node.target in _HANDING_ON_METHODS
    if node.target is operator.getitem:
        return not isinstance(node.args[1], int | str)  # one of several outputs, or a part of a tensor
    return node.op == "call_function" and node.target in _HANDING_ON_FUNCTIONS
