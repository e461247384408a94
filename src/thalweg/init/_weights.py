"""A model's weights: which there are, of what kind, and how many numbers each of their outputs sums over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError

__all__ = ["NORMS", "Weight", "Weights", "weights"]

NORMS: tuple[type[nn.Module], ...] = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Layers whose parameters are no weights: they scale and shift."""

Matrices = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True, eq=False)
class Weight:
    """One weight.

    Attributes:
        name: the parameter's.
        layer: the module's that has it.
        kind: see `InitTechnique.fills`.
        parameter: what is to be filled.
        fan_in: how many inputs an output sums over.
        fan_out: how many outputs an input goes to.
        matrices: from a tensor of its shape to views that are a map each, as gates and groups have, outputs first.
        alone: whether no activation follows of which the gain would be: then it is 1.
        blank: a row that stays 0: an embedding's padding.
    """

    name: str
    layer: str
    kind: str
    parameter: nn.Parameter
    fan_in: float
    fan_out: float
    matrices: Matrices
    alone: bool = False
    blank: int | None = None


@dataclass
class Weights:
    """What a model holds: weights, biases by their layer's name, and what is neither, in sentences."""

    weights: list[Weight] = field(default_factory=list)
    biases: dict[str, list[nn.Parameter]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def weights(model: nn.Module) -> Weights:
    """Return a model's weights, each once; norms' parameters are passed over.

    Raises:
        InputError: a lazy layer.
    """
    found = Weights()
    names = {id(p): name for name, p in model.named_parameters()}  # each under its first name
    within = {id(child) for m in model.modules() if isinstance(m, nn.MultiheadAttention) for child in m.children()}
    places: dict[int, int] = {}
    for path, module in model.named_modules():
        own = {name: p for name, p in module._parameters.items() if p is not None}  # noqa: SLF001
        if isinstance(module, NORMS):
            continue
        for name, p in own.items():
            if is_lazy(p):
                raise InputError(
                    f"{_join(path, name)} has no shape yet; call the model once before it is initialised"
                )
        read = {weight.name: weight for weight in _of(module, path, id(module) in within)}
        for name, p in own.items():
            full = _join(path, name)
            if full in read and p.requires_grad:
                _take(found, places, replace(read[full], name=names[id(p)]), full)
            elif _is_bias(module, name) and p.requires_grad:
                found.biases.setdefault(path, []).append(p)
            elif not p.requires_grad:
                found.left.append(f"{full}: it is frozen")
            else:
                found.left.append(f"{full}: a parameter of {type(module).__name__}'s own")
    return found


def _take(found: Weights, places: dict[int, int], weight: Weight, full: str) -> None:
    """Note a weight, once: of one that is an embedding's too, what the other layer makes of it counts."""
    place = places.get(id(weight.parameter))
    if place is None:
        places[id(weight.parameter)] = len(found.weights)
        found.weights.append(weight)
        return
    if found.weights[place].kind == "embedding" != weight.kind:
        found.weights[place] = replace(weight, blank=found.weights[place].blank)
    found.left.append(f"{full}: it is {weight.name}, and has its values")


def _of(module: nn.Module, path: str, within: bool) -> Iterator[Weight]:
    """Yield the weights that a module of torch's holds."""
    own = {name: p for name, p in module._parameters.items() if p is not None}  # noqa: SLF001
    weight = own.get("weight")  # missing where it is computed from others
    match module:
        case nn.Linear() | nn.Bilinear() | _ConvNd() if weight is not None:
            kind = "convolution" if isinstance(module, _ConvNd) else "linear"
            fans, matrices = _layer(module)
            yield Weight(_join(path, "weight"), path, kind, weight, *fans, matrices, alone=within)
        case nn.Embedding() | nn.EmbeddingBag() if weight is not None:
            # A row is looked up, so that an output is one number of it.
            yield Weight(
                _join(path, "weight"), path, "embedding", weight, 1, weight.shape[1], _whole, alone=True,
                blank=module.padding_idx,
            )  # fmt: skip
        case nn.RNNBase() | nn.RNNCellBase():
            gates = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3}
            kind = getattr(module, "mode", type(module).__name__)
            for name, p in own.items():
                if name.startswith("weight"):
                    count = 1 if name.startswith("weight_hr") else gates.get(kind, 1)
                    role = "hidden" if name.startswith("weight_hh") else "recurrent"
                    yield _stacked(_join(path, name), path, role, p, count)
        case nn.MultiheadAttention():
            for name, p in own.items():
                if name.endswith("proj_weight"):
                    yield _stacked(_join(path, name), path, "attention", p, 3 if name == "in_proj_weight" else 1)


def _stacked(name: str, path: str, kind: str, p: nn.Parameter, count: int) -> Weight:
    """Return a weight that is several matrices, one above the other."""
    return Weight(
        name, path, kind, p, p.shape[1], p.shape[0] / count, lambda x: list(x.chunk(count)), alone=True
    )  # fmt: skip


def _layer(module: nn.Module) -> tuple[tuple[float, float], Matrices]:
    """Return fan in, fan out and matrices of a linear layer or convolution.

    A convolution's window counts, and a group's outputs go to it alone. Strides make a transposed one's outputs sum
    over so many inputs fewer; otherwise they do not count, as in the papers.
    """
    if not isinstance(module, _ConvNd):
        p = module.weight
        assert isinstance(p, Tensor)
        return (p[0].numel(), p.shape[0]), _whole
    window, groups = math.prod(module.kernel_size), module.groups
    inputs, outputs = module.in_channels // groups, module.out_channels // groups
    if isinstance(module, _ConvTransposeNd):
        return (inputs * window / math.prod(module.stride), outputs * window), lambda x: [
            part.transpose(0, 1) for part in x.chunk(groups)
        ]
    return (inputs * window, outputs * window), lambda x: list(x.chunk(groups))


def _whole(x: Tensor) -> list[Tensor]:
    return [x]


def _is_bias(module: nn.Module, name: str) -> bool:
    """Return whether a parameter of a module that has weights is added to what they give."""
    layers = (nn.Linear, nn.Bilinear, _ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
    return isinstance(module, layers) and (
        name in ("bias", "in_proj_bias") or name.startswith(("bias_ih", "bias_hh"))
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
