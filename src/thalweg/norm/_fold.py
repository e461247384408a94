"""Batch norms folded into the layers before them: the same outputs in evaluation, with fewer operations."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError
from thalweg.graph import parts, users

__all__ = ["Folding", "fold", "folding"]


@dataclass(frozen=True)
class Folding:
    """Which batch norms of a model can be folded.

    Attributes:
        pairs: the layer and the batch norm that is folded into it, by name, in the model's order.
        left: the batch norms that cannot be, by name, and why.
    """

    pairs: tuple[tuple[str, str], ...]
    left: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{norm} into {layer}" for layer, norm in self.pairs]
        return "\n".join([*lines, *(f"{norm} is left: {why}" for norm, why in self.left)])


def fold(model: nn.Module) -> nn.Module:
    """Return a copy for evaluation, with each batch norm folded into the layer whose output alone it gets.

    The batch norm becomes ``nn.Identity``, so every other parameter keeps its name; the layer gets a bias if it had
    none. The copy is in evaluation mode, which is all that it is for. The output of a linear layer is taken to be
    ``(N, features)``, the shape in which a batch norm behind it normalises its features.

    Args:
        model: untouched. What follows what is found by tracing it with torch.fx; where its forward cannot be traced,
            in those of its parts that can, such as an ``nn.Sequential``, which are taken to be called as a whole.

    Raises:
        InputError: no batch norm can be folded; the sentence says why.

    Warns:
        UserWarning: batch norms that are left, by name and with the reason; `folding` says so beforehand.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import norm
    >>> norm.fold(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()))
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    found = folding(model)
    left = "; ".join(f"{name}: {why}" for name, why in found.left)
    if not found.pairs:
        raise InputError(f"no batch norm can be folded ({left})" if left else "the model has no batch norm to fold")
    if left:
        warnings.warn(f"batch norms that are not folded: {left}", stacklevel=2)
    folded = copy.deepcopy(model).eval()
    for layer_name, norm_name in found.pairs:
        layer, norm = folded.get_submodule(layer_name), folded.get_submodule(norm_name)
        assert isinstance(norm, _BatchNorm)
        _fold(layer, norm)
        identity = nn.Identity().eval()
        for parent in list(folded.modules()):
            for name, child in parent._modules.items():  # noqa: SLF001  where it stands twice, too
                if child is norm:
                    setattr(parent, name, identity)
    return folded


@torch.no_grad()
def _fold(layer: nn.Module, norm: _BatchNorm) -> None:
    """Give a layer the weights and bias of itself and the batch norm behind it; computed in float64."""
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, nn.Parameter)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    before = bias.double() if isinstance(bias, nn.Parameter) else torch.zeros_like(scale)
    shift = (before - norm.running_mean.double()) * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    wide = weight.double()
    if isinstance(layer, _ConvTransposeNd):  # (in, out / groups, …): outputs are counted group by group
        parted = wide.unflatten(0, (layer.groups, -1))
        by = scale.view(layer.groups, 1, -1, *[1] * (wide.dim() - 2))
        wide = (parted * by).flatten(0, 1)
    else:
        wide = wide * scale.view(-1, *[1] * (wide.dim() - 1))
    learnt = weight.requires_grad
    layer.weight = nn.Parameter(wide.to(weight.dtype), requires_grad=learnt)
    layer.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=learnt)


def folding(model: nn.Module) -> Folding:
    """Return which batch norms of a model `fold` folds, and why it leaves the others; the model is untouched.

    >>> from torch import nn
    >>> from thalweg import norm
    >>> print(norm.folding(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.BatchNorm1d(8))))
    1 into 0
    3 is left: it does not follow a linear or convolution layer
    """
    calls = _calls(model)
    shared = _shared(model)
    pairs, left = [], []
    for name, norm in model.named_modules():
        if isinstance(norm, _BatchNorm):
            layer, why = _layer_of(model, name, norm, calls, shared)
            if why:
                left.append((name or "the model", why))
            else:
                pairs.append((layer, name))
    return Folding(tuple(pairs), tuple(left))


@dataclass
class _Calls:
    """By module: the layers whose outputs it is called with, and the modules that get its output, "" for others."""

    sources: dict[str, set[str]] = field(default_factory=dict)
    users: dict[str, set[str]] = field(default_factory=dict)


def _calls(model: nn.Module) -> _Calls:
    calls = _Calls()
    names = {id(module): name for name, module in model.named_modules()}
    for part in parts(model):
        called: dict[fx.Node, str] = {}
        for node in part.graph.nodes:
            path = part.module(node)
            if path is not None:
                called[node] = names[id(model.get_submodule(path))]  # under its first name
        for node, name in called.items():
            source = node.args[0] if node.args else None
            calls.sources.setdefault(name, set()).add(called.get(source, "") if isinstance(source, fx.Node) else "")
            takers = users(node)
            named = {called.get(user, "") for user in takers}
            calls.users.setdefault(name, set()).update(named if len(takers) == 1 else {*named, ""})
    return calls


def _shared(model: nn.Module) -> set[int]:
    """Return the modules that stand in several places, and the parameters that several modules have."""
    places = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    places += Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    return {thing for thing, count in places.items() if count > 1}


def _layer_of(model: nn.Module, name: str, norm: _BatchNorm, calls: _Calls, shared: set[int]) -> tuple[str, str]:
    """Return the layer that a batch norm can be folded into, or why there is none."""
    if norm.running_mean is None or norm.running_var is None:
        return "", "it keeps no statistics, and normalises by the batch in evaluation too"
    if name not in calls.sources:
        return "", "what it is called with cannot be told by tracing the model"
    sources = calls.sources[name]
    if len(sources) > 1:
        return "", "it is called in several places"
    (source,) = sources
    layer = model.get_submodule(source) if source else None
    if not isinstance(layer, nn.Linear | _ConvNd):
        return "", "it does not follow a linear or convolution layer"
    if calls.users[source] != {name}:
        return "", f"what {source} puts out is used elsewhere too"
    own = layer._parameters.get("weight"), layer._parameters.get("bias")  # noqa: SLF001
    if own[0] is None or "bias" not in layer._parameters:  # noqa: SLF001
        return "", f"the weight of {source} is computed from others"
    if any(is_lazy(p) for p in (*layer.parameters(), *norm.parameters(), *norm.buffers())):
        return "", f"{source} or it is lazy and has no shape yet"
    if any(id(x) in shared for x in (layer, norm)):
        return "", f"{source} or it stands in several places"
    if any(isinstance(p, Tensor) and id(p) in shared for p in own):
        return "", f"{source} shares its weights with another layer"
    if any(_has_hooks(module) for module in (layer, norm)):
        return "", f"{source} or it has a hook, which would see something else"
    features = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if norm.num_features != features:
        return "", f"it has {norm.num_features} features, and {source} puts out {features}"
    return source, ""


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)  # noqa: SLF001
