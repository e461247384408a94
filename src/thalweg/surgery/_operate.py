"""Putting techniques into a model that knows nothing of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.errors import InputError, spelt
from thalweg.graph import check_open
from thalweg.surgery._activations import plan_activation
from thalweg.surgery._dropouts import plan_dropout
from thalweg.surgery._edits import Edit, made
from thalweg.surgery._norms import plan_norm
from thalweg.surgery._seen import looked_at
from thalweg.surgery._surgeon import Change, Surgeon
from thalweg.technique import Ingredient, Technique

__all__ = ["Change", "Operation", "operate"]


@dataclass(frozen=True)
class Operation:
    """A model after surgery.

    Attributes:
        model: a copy; the original is untouched.
        changes: what was done, in the order of the model's modules.
        left: what was left as it was, and why, in sentences.
        edits: the same by the names of modules; see `again`.
    """

    model: nn.Module
    changes: tuple[Change, ...]
    left: tuple[str, ...]
    edits: tuple[Edit, ...] = ()
    parts: Mapping[str, Ingredient] = field(default_factory=dict)

    def again(self, model: nn.Module, **parts: Ingredient) -> nn.Module:
        """Do to another model, in place, what was done to this one, and return it; nothing is looked at anew.

        Args:
            model: of the same factory as the one that was looked at.
            parts: ingredients of the same techniques with other hyperparameters, by role.

        Raises:
            InputError: a model of another kind, or one with lazy layers that no batch has passed yet.

        >>> import torch
        >>> from torch import nn
        >>> from thalweg import activation, surgery
        >>> def net():
        ...     return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> operation = surgery.operate(net(), torch.zeros(2, 4), activation=activation.leaky_relu(slope=0.2))
        >>> operation.again(net(), activation=activation.leaky_relu(slope=0.1))[1]
        LeakyReLU(negative_slope=0.1)
        """
        return made(model, self.edits, {**self.parts, **parts})

    def __str__(self) -> str:
        rows = [("module", "before", "after"), *((c.where or "the model", c.before, c.after) for c in self.changes)]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        return "\n".join([*lines, *(f"left: {sentence}" for sentence in self.left)])


@spelt
def operate(
    model: nn.Module,
    inputs: Any,
    *,
    activation: Ingredient | Technique | None = None,
    norm: Ingredient | Technique | None = None,
    dropout: Ingredient | Technique | None = None,
) -> Operation:
    """Return a copy of a model with other activations, norms or dropout.

    *Activations* are replaced wherever the model has one: modules, those written out in arithmetic too, which are
    known by what they compute, and functions that a forward calls. Gates, and
    what brings the output into a range, stay: a ``tanh`` or ``sigmoid`` that does not follow a layer or norm, or
    whose result something is multiplied by, or that the model returns.

    *Norms* that are there are replaced by the new kind, at their place: torch's, and modules that do nothing else
    than call one of torch's as a function. Each linear or convolution layer that leads to an activation without one
    gets one. ``norm.removed()`` takes them out.

    *Dropout* is put before the linear layers that come last: the one that the model returns, and those before it with
    no convolution or other layer after them, but not before the model's very first layer. ``spatial``, of
    channels, is put before each convolution but the first layer. A dropout module that is there already is replaced;
    what the model drops elsewhere stays, and is named.

    Layers keep the names of their parameters. What is put into a part whose parameters are all frozen is frozen with
    it. The copy saves, loads, copies and exports like any module. What is put
    into torch's transformer encoders is there in evaluation, too: they call the modules inside them, where they else
    only read their weights.

    Args:
        model: untouched.
        inputs: a few examples, at least two: a tensor, or a tuple or dict of them, as the model takes them.
        activation, norm, dropout: ingredients of `thalweg.activation`, `thalweg.norm` and `thalweg.dropout`, or
            techniques, with their own hyperparameters.

    Raises:
        InputError: there is nothing to replace, or no place to put it; or something stands in the way: it is named.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import activation, norm, surgery
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> print(surgery.operate(net, torch.zeros(2, 4), activation=activation.tanh(), norm=norm.layer()))
    module  before  after
    1       ReLU()  tanh
    0               layer
    """
    given = {"activation": activation, "norm": norm, "dropout": dropout}
    parts = {role: _ingredient(role, part) for role, part in given.items() if part is not None}
    asks = next(iter(parts), "surgery")
    copied = _copied(model, asks)
    try:
        seen = looked_at(copied, lambda: _called(copied, inputs))
    except Exception as error:
        raise InputError(f"{asks}: {type(model).__name__} does not take these inputs: {error}") from error
    surgeon = Surgeon(copied, seen)
    for role, part in parts.items():
        _PLANS[role](surgeon, part)
    changed = made(copied, surgeon.edits, parts)
    try:
        looked_at(changed, lambda: _called(changed, inputs))
    except Exception as error:
        raise InputError(f"after surgery the model does not take its inputs any more: {error}") from error
    return Operation(changed, tuple(surgeon.changes), tuple(surgeon.left), tuple(surgeon.edits), parts)


_PLANS = {"activation": plan_activation, "norm": plan_norm, "dropout": plan_dropout}


def _ingredient(role: str, part: Any) -> Ingredient:
    """Return an ingredient of a role; a technique is one with its own hyperparameters.

    Raises:
        InputError: it is something else.
    """
    if isinstance(part, Technique) and part.kind == role:
        return part.ingredient(part, {})
    if not isinstance(part, Ingredient) or part.technique.kind != role:
        example = {"activation": "activation.relu()", "norm": "norm.layer()", "dropout": "dropout.dropout()"}[role]
        raise InputError(f"{role} takes {'an' if role[0] == 'a' else 'a'} {role} such as {example}, not {part!r}")
    return part


def _copied(model: nn.Module, asks: str) -> nn.Module:
    check_open(model, asks)
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(f"{asks}: {type(model).__name__} cannot be copied: {error}") from error


def _called(model: nn.Module, inputs: Any) -> Any:
    inputs = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, inputs)  # it may write into them
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
