"""Parameter groups as networks are usually trained: no decay for biases and norms, lower rates for early layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.errors import InputError, spelt

__all__ = ["groups", "not_decayed"]

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""torch's norms: `_NormBase` is that of batch and instance norm, lazy and synchronised ones too."""

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@spelt
def groups(
    model: nn.Module,
    *,
    weight_decay: float | None = None,
    lr: float | None = None,
    layer_decay: float | None = None,
    decay_embeddings: bool = True,
) -> list[dict[str, Any]]:
    """Return a model's trainable parameters in groups for an optimizer.

    A parameter is not decayed (``weight_decay=0.0``) if it belongs to one of torch's norms, has fewer than two axes,
    as biases and the norms of other libraries have, or is named in an attribute ``not_weights`` of its module, such
    as ``not_weights = ("pos",)``. A tied parameter is in one group: it is not decayed if it is not to be in one of
    its places, and its layer is where it comes first. Frozen parameters are in none.

    With ``layer_decay`` a parameter's rate is ``lr * layer_decay ** (top - depth)``, where depth follows the order in
    which the model registers its modules. A block is a child of a ``ModuleList`` or ``Sequential`` whose children
    with parameters, two or more, are of one class that is made of other modules: a transformer's layers, a ResNet's
    stages; blocks within blocks do not count. What comes before the first block, such as embeddings, has depth 0;
    the i-th block and what stands between it and the next have depth i; what comes after the last, such as the head,
    has the top depth, one more, and so the full rate. In a model without blocks each module that holds parameters
    itself is a layer, the first at depth 0 and the last at the top.

    Args:
        model: any module.
        weight_decay: of what is decayed; the optimizer's own if not given.
        lr: of all, or of the top layer; the optimizer's own if not given.
        layer_decay: by how much the rate falls from one layer to the one before, above 0 and up to 1.
        decay_embeddings: whether ``nn.Embedding`` and ``nn.EmbeddingBag`` are decayed.

    Raises:
        InputError: an argument that cannot be, ``layer_decay`` without ``lr``, or nothing to train.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    >>> [(group["name"], len(group["params"])) for group in groups(net, weight_decay=0.1)]
    [('decay', 2), ('no decay', 4)]
    >>> for group in groups(net, lr=1.0, layer_decay=0.5):
    ...     print(group["name"], group["lr"])
    layer 0, decay 0.25
    layer 0, no decay 0.25
    layer 1, no decay 0.5
    layer 2, decay 1.0
    layer 2, no decay 1.0
    """
    _check(model, weight_decay, lr, layer_decay)
    depths = _depths(model) if layer_decay is not None else {}
    top = max(depths.values(), default=0)
    kept_whole = not_decayed(model, decay_embeddings)
    found: dict[tuple[int, bool], dict[str, Any]] = {}
    for p in model.parameters():
        if not p.requires_grad:
            continue
        depth, decayed = depths.get(id(p), 0), id(p) not in kept_whole
        group = found.setdefault((depth, not decayed), {"params": []})
        if not group["params"]:
            kind = "decay" if decayed else "no decay"
            group["name"] = kind if layer_decay is None else f"layer {depth}, {kind}"
            if not decayed or weight_decay is not None:
                group["weight_decay"] = weight_decay if decayed else 0.0
            if lr is not None:
                group["lr"] = lr if layer_decay is None else lr * layer_decay ** (top - depth)
        group["params"].append(p)
    if not found:
        raise InputError(f"{type(model).__name__} has no parameters to train")
    return [found[place] for place in sorted(found)]


def _check(model: nn.Module, weight_decay: float | None, lr: float | None, layer_decay: float | None) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"groups takes a model, a torch.nn.Module, not {type(model).__name__}")
    for name, value in (("weight_decay", weight_decay), ("lr", lr)):
        if value is not None and not 0 <= value < math.inf:
            raise InputError(f"{name} of groups takes a number from 0 up, not {value!r}")
    if layer_decay is not None:
        if not 0 < layer_decay <= 1:
            raise InputError(f"layer_decay of groups takes a number above 0 and up to 1, not {layer_decay!r}")
        if lr is None:
            raise InputError("layer_decay of groups lowers a rate; give that of the top layer as lr")


def not_decayed(model: nn.Module, decay_embeddings: bool = True) -> set[int]:
    """Return which parameters `groups` keeps out of the decay, by their ``id``."""
    kinds: tuple[type, ...] = _NORMS if decay_embeddings else (*_NORMS, *_EMBEDDINGS)
    found = {id(p) for p in model.parameters() if p.dim() < 2}
    found |= {id(p) for m in model.modules() if isinstance(m, kinds) for p in m.parameters(recurse=False)}
    return found | {id(getattr(m, name)) for m in model.modules() for name in getattr(m, "not_weights", ())}


def _depths(model: nn.Module) -> dict[int, int]:
    """Return each parameter's depth, by its ``id``."""
    found: dict[int, int] = {}
    walked = list(_walk(model))
    blocks = sum(begins for _, begins in walked)
    if not blocks:
        layers = [list(m.parameters(recurse=False)) for m in model.modules()]
        for depth, layer in enumerate(layer for layer in layers if layer):
            for p in layer:
                found.setdefault(id(p), depth)
        return found
    block = 0
    for part, begins in walked:
        block += begins
        depth = block if begins or block < blocks else blocks + 1
        found |= {id(p): depth for p in part if id(p) not in found}
    return found


def _walk(module: nn.Module) -> Iterator[tuple[Sequence[Tensor], bool]]:
    """Give a model's parameters in order, and whether they are those of a block."""
    yield list(module.parameters(recurse=False)), False
    children = list(module.children())
    if isinstance(module, nn.ModuleList | nn.Sequential) and _are_blocks(children):
        for child in children:
            has = list(child.parameters())
            yield has, bool(has)
    else:
        for child in children:
            yield from _walk(child)


def _are_blocks(children: list[nn.Module]) -> bool:
    holding = [child for child in children if any(True for _ in child.parameters())]
    return (
        len(holding) > 1 and len({type(child) for child in holding}) == 1 and any(True for _ in holding[0].children())
    )
