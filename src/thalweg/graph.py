"""A model's graph, as far as it can be read off: which module calls which, with torch.fx, without running it.

A forward whose course depends on its inputs cannot be read. Then the parts of it that can are read each for itself:
an ``nn.Sequential`` always can be, where what it holds can.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from thalweg.errors import InputError
from thalweg.key import Key

__all__ = ["Part", "check_open", "parts", "users"]


_LAYERS = {
    F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """A module whose forward could be read.

    Attributes:
        name: its path in the model; ``""`` for the model itself.
        graph: what its forward does. Torch's own layers, and modules that could not be read, are one node each.
    """

    name: str
    graph: fx.Graph

    def module(self, node: fx.Node) -> str | None:
        """Return the path in the model of the module that a node calls, or whose weight a function is called with.

        The latter is how a layer's forward looks from inside, where it is not torch's own alone.
        """
        target = str(node.target)
        if node.op == "call_function" and node.target in _LAYERS:
            weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
            if not isinstance(weight, fx.Node) or weight.op != "get_attr":
                return None
            target, _, attribute = str(weight.target).rpartition(".")
            if attribute != "weight":
                return None
        elif node.op != "call_module":
            return None
        return ".".join(name for name in (self.name, target) if name)


def users(node: fx.Node) -> list[fx.Node]:
    """Return what takes a node's numbers; what asks for its shape, type or device alone does not."""
    asks = ("size", "dim", "numel", "ndimension", "stride", "type", "is_floating_point")
    return [
        user
        for user in node.users
        if not (user.op == "call_method" and user.target in asks) and user.target is not getattr
    ]


def parts(model: nn.Module) -> list[Part]:
    """Return the largest parts of a model that can be read: itself alone, where it can be as a whole.

    Nothing of the model is changed, and no generator moved, even by a forward that writes or draws.

    >>> from torch import nn
    >>> [part] = parts(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> [node.target for node in part.graph.nodes if node.op == "call_module"]
    ['0', '1']
    """
    weights: dict[int, Any] = {id(p): p for p in model.parameters()}
    try:
        apart = copy.deepcopy(model, weights)  # the weights themselves are read, and need no copy
    except Exception:  # a module that cannot be copied could be changed by being read
        return []
    found: dict[nn.Module, fx.Graph] = {}
    with warnings.catch_warnings(), Key(0).seeded(), torch.no_grad():
        warnings.simplefilter("ignore")
        _read(apart, found, set(), model=apart)
    return list(_largest(apart, "", found, set()))


_COMPUTED: dict[type, str] = {
    WeightNorm: "take torch.nn.utils.parametrizations.weight_norm in place of torch.nn.utils.weight_norm",
    SpectralNorm: "take torch.nn.utils.parametrizations.spectral_norm in place of torch.nn.utils.spectral_norm",
    BasePruningMethod: "call torch.nn.utils.prune.remove first",
}
"""What computes a weight before each pass and leaves it in its layer, and what is to be done about it."""


def check_open(model: nn.Module, asks: str) -> None:
    """Refuse a model that cannot be looked into, or copied, because of what torch did to a part of it.

    Args:
        model: any module.
        asks: what wants it, for the sentence.

    Raises:
        InputError: a part is scripted, or a layer holds a weight that was computed; it is named.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     net = nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)))
    >>> check_open(net, "norm")
    Traceback (most recent call last):
    thalweg.errors.InputError: norm: 0.weight is computed before each pass, and cannot be copied; take \
torch.nn.utils.parametrizations.weight_norm in place of torch.nn.utils.weight_norm
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{asks}: {name or 'the model'} is a torch.jit.ScriptModule, which can be neither looked into nor "
                "changed; give the module that it was made of"
            )
        for hook in module._forward_pre_hooks.values():  # noqa: SLF001
            weight = next((f"{name}.{key}" for key, x in vars(module).items() if _carries_gradients(x)), None)
            cure = next((cure for kind, cure in _COMPUTED.items() if isinstance(hook, kind)), None)
            if weight and cure:
                raise InputError(
                    f"{asks}: {weight.removeprefix('.')} is computed before each pass, and cannot be copied; {cure}"
                )


def _carries_gradients(x: Any) -> bool:
    return isinstance(x, Tensor) and not x.is_leaf


class _Reader(fx.Tracer):
    def __init__(self, closed: set[nn.Module]) -> None:
        super().__init__()
        self.closed = closed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return m in self.closed or _is_layer(m)


def _is_layer(module: nn.Module) -> bool:
    """Return whether a module is one node: a layer with torch's own forward, or one whose inside torch hides."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    torchs = type(module).forward.__module__.startswith("torch.nn.") and "forward" not in vars(module)
    inside = next(module.children(), None) is not None and not parametrize.is_parametrized(module)
    hides = isinstance(module, nn.MultiheadAttention | nn.RNNBase)
    return torchs and not isinstance(module, nn.Sequential) and (hides or not inside)


def _read(
    module: nn.Module, found: dict[nn.Module, fx.Graph], closed: set[nn.Module], model: nn.Module | None = None
) -> None:
    """Read what is inside a module, and then the module, taking for one node what could not be read."""
    if module in found or module in closed or (_is_layer(module) and module is not model):
        return
    for child in module.children():
        _read(child, found, closed)
    try:
        found[module] = _Reader(closed).trace(module)
    except Exception:  # whatever a forward raises when it is shown what is no tensor
        closed.add(module)


def _largest(module: nn.Module, name: str, found: dict[nn.Module, fx.Graph], seen: set[nn.Module]) -> Iterator[Part]:
    if module in seen:
        return
    seen.add(module)
    if module in found:
        yield Part(name, found[module])
        # What could not be read is a node of the part; there may be something readable inside.
        inside = {str(node.target) for node in found[module].nodes if node.op == "call_module"}
        holes = [(path, module.get_submodule(path)) for path in sorted(inside)]
        below = [(path, child) for path, child in holes if child not in found and not _is_layer(child)]
    else:
        below = list(module.named_children())
    for path, child in below:
        if child in found or not _is_layer(child):
            yield from _largest(child, f"{name}.{path}" if name else path, found, seen)
