"""Putting techniques into a model that knows nothing of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from thalweg.errors import InputError
from thalweg.graph import check_open
from thalweg.surgery._edits import Edit, made
from thalweg.surgery._layers import takes
from thalweg.surgery._seen import ACTIVATIONS, LAYERS, NORMS, SQUASHING, Call, Seen, looked_at
from thalweg.technique import Ingredient

__all__ = ["Change", "Operation", "operate"]


_AROUND: dict[str, tuple[type[nn.Module], ...]] = {"rnn": (nn.LSTM, nn.GRU), "embedding": (nn.Embedding,)}
"""Dropouts that are for one kind of layer, and that kind."""


@dataclass(frozen=True)
class Change:
    """One thing that was changed: where, what stood there, and what stands there now."""

    where: str
    before: str
    after: str


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


def operate(
    model: nn.Module,
    inputs: Any,
    *,
    activation: Ingredient | None = None,
    norm: Ingredient | None = None,
    dropout: Ingredient | None = None,
) -> Operation:
    """Return a copy of a model with other activations, norms or dropout.

    *Activations* are replaced wherever the model has one: modules, and functions that a forward calls. Gates, and
    what brings the output into a range, stay: a ``tanh`` or ``sigmoid`` that does not follow a layer or norm, or
    whose result something is multiplied by, or that the model returns.

    *Norms* that are there are replaced by the new kind, at their place; and each linear or convolution layer that
    leads to an activation without one gets one. ``norm.removed()`` takes them out.

    *Dropout* is put before the linear layers that come last: the one that the model returns, and those before it with
    no convolution or other layer after them, but not before the model's very first layer.

    Layers keep the names of their parameters. The copy saves, loads, copies and exports like any module.

    Args:
        model: untouched.
        inputs: a few examples, at least two: a tensor, or a tuple or dict of them, as the model takes them.
        activation, norm, dropout: ingredients of `thalweg.activation`, `thalweg.norm` and `thalweg.dropout`.

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
    parts = {role: part for role, part in (("activation", activation), ("norm", norm), ("dropout", dropout)) if part}
    copied = _copied(model, next(iter(parts), "surgery"))
    surgeon = _Surgeon(copied, inputs)
    for role, part in parts.items():
        getattr(surgeon, role)(part)
    changed = made(copied, surgeon.edits, parts)
    try:
        looked_at(changed, lambda: _called(changed, inputs))
    except Exception as error:
        raise InputError(f"after surgery the model does not take its inputs any more: {error}") from error
    return Operation(changed, tuple(surgeon.changes), tuple(surgeon.left), tuple(surgeon.edits), parts)


class _Surgeon:
    """Looks at a model, and says what is to be done; the model is left as it was."""

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        self.model = model
        self.changes: list[Change] = []
        self.edits: list[Edit] = []
        self.left: list[str] = []
        self.modules = dict(model.named_modules())
        self.seen: Seen = looked_at(model, lambda: _called(model, inputs))

    # -- activations ---------------------------------------------------------------------------------

    def activation(self, ingredient: Ingredient) -> None:
        """Replace every activation."""
        functions: dict[str, set[str]] = {}
        modules: dict[str, str] = {}
        for call in self.seen.calls:
            why = _stays(call)
            owner = self.modules[call.owner]
            if why:
                self.left.append(f"{call.name} in {_where(call.owner)}: {why}")
            elif isinstance(owner, ACTIVATIONS):
                modules[call.owner] = repr(owner)
            else:
                functions.setdefault(call.owner, set()).add(call.name)
        kept = {call.owner for call in self.seen.calls if _stays(call)}
        for name in self._activation_modules() - kept:
            modules.setdefault(name, repr(self.modules[name]))  # those that this pass did not call, too
        if not modules and not functions:
            raise InputError("activation: the model calls no activation that could be replaced")
        for name, before in modules.items():
            self._edit("activation", name, "instead", _module)
            self.changes.append(Change(name, before, ingredient.name))
        for name, names in functions.items():
            owner = self.modules[name]
            if type(owner).__module__.startswith("torch."):
                raise InputError(
                    f"activation: {_where(name)} is torch's {type(owner).__name__}, which calls its activation out "
                    "of sight; give it the activation when it is made"
                )
            self._edit("activation", name, "inside", _module, tuple(sorted(names)))
            self.changes.append(Change(name, ", ".join(f"F.{n}" for n in sorted(names)), ingredient.name))

    def _activation_modules(self) -> set[str]:
        return {
            name
            for name, module in self.modules.items()
            if isinstance(module, ACTIVATIONS) and not isinstance(module, tuple(map(_class, SQUASHING)))
        }

    # -- norms ---------------------------------------------------------------------------------------

    def norm(self, ingredient: Ingredient) -> None:
        """Replace the norms that are there, and put one where a layer leads to an activation without."""
        out = ingredient.name == "removed"
        for name, old in self.modules.items():
            if not isinstance(old, NORMS):
                continue
            if not out and name not in self.seen.shapes:
                self.left.append(f"norm {_where(name)}: this forward pass did not call it")
                continue
            self._edit("norm", name, "instead", _nothing if out else self._norm(ingredient, name))
            self.changes.append(Change(name, type(old).__name__, "nothing" if out else ingredient.name))
        if not out:
            for name in self._hidden():
                self._behind(name, ingredient)
        if not self.changes_of(ingredient, out=out):
            raise InputError(
                "norm: the model has no norm to take out"
                if out
                else "norm: the model has no linear or convolution layer that leads to an activation, and no norm"
            )

    def changes_of(self, ingredient: Ingredient, *, out: bool) -> list[Change]:
        """Return what was done for an ingredient."""
        return [change for change in self.changes if change.after == ("nothing" if out else ingredient.name)]

    def _hidden(self) -> list[str]:
        """Return the layers whose output an activation gets at once."""
        found = [call.follows for call in self.seen.calls if not _stays(call)]
        return list(
            dict.fromkeys(name for name in found if name is not None and isinstance(self.modules[name], LAYERS))
        )

    def _behind(self, name: str, ingredient: Ingredient) -> None:
        layer = self.modules[name]
        if not takes(layer):
            self.left.append(f"{_where(name)}: {type(layer).__name__} is a layer of its own kind")
        elif self.seen.counts[name] > 1 and ingredient.name == "batch":
            raise InputError(
                f"norm: {_where(name)} is called {self.seen.counts[name]} times in a forward pass, and one batch "
                "norm would mix its statistics; take layer norm"
            )
        else:
            self._edit("norm", name, "behind", self._norm(ingredient, name))
            self.changes.append(Change(name, "", ingredient.name))

    def _norm(self, ingredient: Ingredient, name: str) -> Callable[[Ingredient, nn.Module], nn.Module]:
        """Return what makes a norm of what a layer or norm puts out, having made one."""
        module, shape = self.modules[name], self.seen.shapes[name]
        features, dims = _features(module, shape)
        places = dims == 0 and len(shape) > 2
        every = (p for p in (*module.parameters(), *self.model.parameters()) if p.is_floating_point())
        like = None if (first := next(every, None)) is None else first.new_empty(0)

        def make(part: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
            new: nn.Module = part.module(features, dims, places=places, like=like)  # type: ignore[attr-defined]
            return new

        try:
            make(ingredient, module)
        except InputError as error:
            raise InputError(f"norm: {_where(name)}: {error}") from error
        return make

    # -- dropout -------------------------------------------------------------------------------------

    def dropout(self, ingredient: Ingredient) -> None:
        """Put dropout before the last linear layers, or around the layers that it is for."""
        if ingredient.name in _AROUND:
            self._around(ingredient, _AROUND[ingredient.name])
            return
        if ingredient.technique.diverges:  # type: ignore[attr-defined]
            self._distribute(ingredient)
            return
        order = self.seen.order
        tail: list[str] = []
        for name in reversed(order):
            if not isinstance(self.modules[name], nn.Linear) or len(self.seen.shapes[name]) != 2:
                break
            tail.append(name)
        if not tail and order and order[-1] in self.seen.last and isinstance(self.modules[order[-1]], nn.Linear):
            tail = [order[-1]]  # a linear layer at each place of a sequence
        found = [name for name in reversed(tail) if name != order[0]]
        if not found:
            raise InputError("dropout: the model has no linear layer after its first layer to put dropout before")
        for name in found:
            if takes(self.modules[name]):
                self._edit("dropout", name, "before", _module)
                self.changes.append(Change(name, "", f"{ingredient.name} before it"))
            else:
                self.left.append(f"{_where(name)}: {type(self.modules[name]).__name__} is a layer of its own kind")

    def _distribute(self, ingredient: Ingredient) -> None:
        """Make the weights of every linear layer and convolution distributions."""
        held = {edit.where for edit in self.edits if edit.role == "norm" and edit.place == "behind"}
        found = [(name, module) for name, module in self.modules.items() if isinstance(module, nn.Linear | nn.Conv2d)]
        if not found:
            raise InputError(f"dropout: {ingredient.name} is for Linear or Conv2d, of which the model has none")
        for name, module in found:
            if name in held:
                raise InputError(
                    f"dropout: {ingredient.name} takes the place of {_where(name)}, behind which the recipe puts a "
                    "norm; choose one of the two"
                )
            if type(module) in (nn.Linear, nn.Conv2d):
                self._edit("dropout", name, "instead", _of_layer)
                self.changes.append(Change(name, type(module).__name__, ingredient.name))
            else:
                self.left.append(f"{_where(name)}: {type(module).__name__} is a layer of its own kind")

    def _around(self, ingredient: Ingredient, kinds: tuple[type[nn.Module], ...]) -> None:
        """Put a technique that is for one kind of layer around each of them."""
        found = [(name, module) for name, module in self.modules.items() if isinstance(module, kinds)]
        if not found:
            names = " or ".join(cls.__name__ for cls in kinds)
            raise InputError(f"dropout: {ingredient.name} is for {names}, of which the model has none")
        for name, module in found:
            self._edit("dropout", name, "instead", _of_layer)
            self.changes.append(Change(name, type(module).__name__, ingredient.name))

    def _edit(
        self,
        role: str,
        where: str,
        place: str,
        make: Callable[[Ingredient, nn.Module], nn.Module],
        functions: tuple[str, ...] = (),
    ) -> None:
        self.edits.append(Edit(role, where, place, make, functions))


def _copied(model: nn.Module, asks: str) -> nn.Module:
    check_open(model, asks)
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(f"{asks}: {type(model).__name__} cannot be copied: {error}") from error


def _called(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _stays(call: Call) -> str:
    """Return why an activation is none that surgery replaces, or nothing."""
    if call.name not in SQUASHING:
        return "the model returns it" if call.ends else ""
    if call.gates:
        return "it is a gate"
    if call.ends:
        return "the model returns it"
    return "" if call.follows is not None else "it does not follow a layer or norm"


def _class(name: str) -> type[nn.Module]:
    return {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "hardsigmoid": nn.Hardsigmoid, "hardtanh": nn.Hardtanh}[name]


def _where(name: str) -> str:
    return name or "the model"


def _module(ingredient: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
    module: nn.Module = ingredient.module()  # type: ignore[attr-defined]
    return module


def _of_layer(ingredient: Ingredient, old: nn.Module) -> nn.Module:
    module: nn.Module = ingredient.module(old)  # type: ignore[attr-defined]
    return module


def _nothing(ingredient: Ingredient, old: nn.Module) -> nn.Module:  # noqa: ARG001  see `Edit`
    return nn.Identity()


def _features(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many features a layer or norm puts out, and over how many axes behind them."""
    if isinstance(module, nn.Linear | nn.LayerNorm | nn.RMSNorm):
        return shape[-1], 0
    return shape[1], max(0, len(shape) - 2)
