"""A model's residual branches: what is added to what went past it."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

import torch
from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from thalweg.errors import InputError
from thalweg.graph import Part, parts

__all__ = ["Branches", "branches"]


@dataclass
class Branches:
    """What was found.

    Attributes:
        count: how many branches there are.
        depths: of each layer inside a branch, how many layers that branch has.
        last: the last layers of branches, and those whose output is the model's.
    """

    count: int = 0
    depths: dict[str, int] = field(default_factory=dict)
    last: set[str] = field(default_factory=set)


def branches(model: nn.Module) -> Branches:
    """Return a model's residual branches.

    A branch is what is added to another path from the same place that has fewer layers: none, or one that brings
    its input into the right shape. Of branches inside branches, a layer belongs to the innermost.

    Raises:
        InputError: there is none, as far as the model can be read.
    """
    found = Branches()
    first = {id(module): name for name, module in model.named_modules()}
    for part in parts(model):
        _find(part, _layers(part, model, first), found)
    if not found.count:
        raise InputError(
            f"fixup found no residual branches in {type(model).__name__}: nothing is added to what went past it, as "
            "far as the model can be traced with torch.fx"
        )
    return found


def _layers(part: Part, model: nn.Module, first: dict[int, str]) -> dict[fx.Node, str]:
    found = {}
    for node in part.graph.nodes:
        path = part.module(node)
        if path is not None and isinstance(layer := model.get_submodule(path), nn.Linear | _ConvNd):
            found[node] = first[id(layer)]
    return found


def _find(part: Part, layers: dict[fx.Node, str], found: Branches) -> None:
    before: dict[fx.Node, set[fx.Node]] = {}  # what leads to a node, and it
    taken: set[fx.Node] = set()
    for node in part.graph.nodes:
        before[node] = set().union(
            *(before[x] for x in node.all_input_nodes), () if node.op == "get_attr" else (node,)
        )
        if not _adds(node):
            continue
        one, other = (before[x] for x in node.args[:2] if isinstance(x, fx.Node))
        if not one & other:
            continue
        paths = [[x for x in layers if x in mine and x not in taken] for mine in (one - other, other - one)]
        past, branch = sorted(paths, key=len)
        if len(past) <= 1 and len(past) < len(branch):
            found.count += 1
            taken.update(branch)
            found.depths |= {layers[x]: len(branch) for x in branch}
            found.last |= {layers[x] for x in branch if not any(x in before[y] for y in branch if y is not x)}
    if part.name == "":
        (end,) = (node for node in part.graph.nodes if node.op == "output")
        outside = [x for x in layers if x in before[end] and x not in taken]
        after = {x: [y for y in layers if y is not x and x in before[y]] for x in outside}
        found.last |= {layers[x] for x in outside if not after[x]}


def _adds(node: fx.Node) -> bool:
    adds = node.target in (operator.add, operator.iadd, torch.add) or (
        node.op == "call_method" and node.target in ("add", "add_")
    )
    return adds and len(node.args) > 1 and all(isinstance(x, fx.Node) for x in node.args[:2])
