"""Pruned weights that stay 0, whatever trains or averages the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from thalweg.errors import InputError
from thalweg.prune._weights import check_state, checked, masked

__all__ = ["Held", "held", "rewind", "unhooked"]


def held(model: nn.Module, masks: Mapping[str, Tensor]) -> Held:
    """Set a model's pruned weights to 0 and keep them there, in anyone's own training loop.

    Three hooks see to it. Gradients of pruned weights are 0, so that clipping by norm, and optimizers that look at
    the size of a gradient, see the others alone. After each step of any ``torch.optim.Optimizer`` pruned weights are
    set to 0 again: momentum from before, weight decay, lookahead and anything else a step does move them. And before
    a forward pass they are 0 if something wrote them since: a state dict that was loaded, averaged weights that were
    swapped in, an optimizer that has other weights for evaluation. Optimizers' own state is left alone. The weights
    are parameters under their own names, as before, so that checkpoints are the model's.

    A copy of the model, as averages make one, is masked before each of its forward passes; `Held.apply` does it at
    once. A parameter that is put in another's place (``load_state_dict(…, assign=True)``) is not held: hold it anew.

    Args:
        model: any module; changed in place.
        masks: bool tensors by the parameters' names, True where a weight stays.

    Returns:
        A handle: ``remove()`` ends it, or the end of a ``with``.

    Raises:
        InputError: a mask of another shape or type, or for a parameter that the model has not.

    >>> from thalweg import optim, prune
    >>> layer = nn.Linear(4, 1, bias=False)
    >>> masks = {"weight": torch.tensor([[True, False, True, False]])}
    >>> optimizer = optim.AdamW(layer.parameters(), lr=0.1)
    >>> with prune.held(layer, masks):
    ...     for _ in range(3):
    ...         layer(torch.ones(1, 4)).sum().backward()
    ...         _ = optimizer.step()
    >>> layer.weight[:, [1, 3]]
    tensor([[0., 0.]], grad_fn=<IndexBackward0>)
    """
    return Held(model, masks)


class Held:
    """Masks that a model's weights keep to; see `held`.

    Attributes:
        masks: by name.
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Tensor]) -> None:
        found = checked(model, masks, "held")
        self.masks = {name: mask.clone() for name, (_, mask) in found.items()}
        self._by_id = {id(p): (p, self.masks[name]) for name, (p, _) in found.items()}
        self.apply(model)
        for p, mask in self._by_id.values():
            if p.grad is not None and not p.grad.is_sparse:
                p.grad = masked(p.grad, mask)
        gradients = [p.register_hook(_Masked(mask)) for p, mask in self._by_id.values() if p.requires_grad]
        owners: dict[str, dict[str, tuple[Tensor, Tensor]]] = {"": {}}
        for name, (p, _) in found.items():
            owner, _dot, own = name.rpartition(".")
            owners[""][name] = owners.setdefault(owner, {})[own] = (p, self.masks[name])
        # A parameter may be read by whoever has it, so the whole model is seen to as well as each owner.
        passes = [
            model.get_submodule(owner).register_forward_pre_hook(_BeforePass(mine, self))
            for owner, mine in owners.items()
        ]
        self._hooks = [*gradients, *passes]
        _ALL.add(self)
        _hear_of_steps()

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Set the pruned weights of the model, or of a copy or average of it, to 0."""
        for p, mask in checked(model, self.masks, "held").values():
            p.masked_fill_(~mask.to(p.device), 0.0)

    @torch.no_grad()
    def _after(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if id(p) in self._by_id:
                    p.masked_fill_(~self._by_id[id(p)][1].to(p.device), 0.0)

    def remove(self) -> None:
        """Let the weights go, which stay 0 until something moves them."""
        for p, mask in self._by_id.values():
            with torch.no_grad():
                p.masked_fill_(~mask.to(p.device), 0.0)
        _ALL.discard(self)
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


_ALL: WeakSet[Held] = WeakSet()


@cache
def _hear_of_steps() -> None:
    """Be told of the steps of all optimizers, from the first call on.

    There is one hook, which stays: garbage is collected at any time, also while torch goes through its hooks, and
    none may go then.
    """
    register_optimizer_step_post_hook(_after_step)


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    for one in list(_ALL):
        one._after(optimizer)  # noqa: SLF001


def unhooked(model: nn.Module) -> nn.Module:
    """Return a copied model without what `held` had put on the first."""
    for module in model.modules():
        for place, hook in list(module._forward_pre_hooks.items()):  # noqa: SLF001
            if isinstance(hook, _BeforePass):
                del module._forward_pre_hooks[place]  # noqa: SLF001
    return model


class _Masked:
    """A gradient's hook."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def __call__(self, g: Tensor) -> Tensor:
        return g if g.is_sparse else masked(g, self.mask)


class _BeforePass:
    """A module's hook before its forward: pruned weights are 0, if something may have written them.

    In training a weight's version tells. In evaluation nothing is taken on trust: code that writes to ``.data``, as
    averages of other libraries do, leaves no trace. What ``functional_call`` puts in place of a parameter is its
    caller's, and left alone.
    """

    def __init__(self, held: Mapping[str, tuple[Tensor, Tensor]], keeper: Held | None = None) -> None:
        self.held = dict(held)
        self.seen: dict[str, int] = {}
        self.keeper = keeper  # a model's masks live as long as the model

    def __call__(self, module: nn.Module, _: Any) -> None:
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return
        for name, (p, mask) in self.held.items():
            owner, _dot, own = name.rpartition(".")
            if module.get_submodule(owner)._parameters[own] is not p:  # noqa: SLF001
                continue
            if not module.training or self.seen.get(name) != p._version:  # noqa: SLF001
                p.data.masked_fill_(~mask.to(p.device), 0.0)
                self.seen[name] = p._version  # noqa: SLF001

    def __getstate__(self) -> dict[str, Any]:
        return {"held": self.held, "seen": {}, "keeper": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> _BeforePass:
        return _BeforePass({name: (copy.deepcopy(p, memo), mask) for name, (p, mask) in self.held.items()})


@torch.no_grad()
def rewind(model: nn.Module, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Give a model earlier weights back, as of before training or of an early step, and set pruned ones to 0.

    Args:
        model: changed in place.
        weights: its state dict of then; copies.
        masks: of the ticket.

    Raises:
        InputError: weights that are the model's own tensors, and so have been trained with it; a state dict or mask
            that is not the model's.

    Source: Frankle & Carbin 2019; for an early step, Frankle, Dziugaite, Roy & Carbin 2019, Stabilizing the Lottery
    Ticket Hypothesis.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> early = {"weight": torch.tensor([[1.0, 2.0]])}
    >>> rewind(layer, early, {"weight": torch.tensor([[True, False]])})
    >>> layer.weight.data
    tensor([[1., 0.]])
    """
    chosen = checked(model, masks, "rewind")
    own = {x.data_ptr() for x in (*model.parameters(), *model.buffers()) if x.numel()}
    for name, value in weights.items():
        if isinstance(value, Tensor) and value.numel() and value.data_ptr() in own:
            raise InputError(
                f"rewind got the model's own {name}, which is trained with it; keep copies of the early weights, "
                "such as copy.deepcopy(model.state_dict())"
            )
    check_state(model.state_dict(), weights, "rewind", "early")
    model.load_state_dict(dict(weights))
    for p, mask in chosen.values():
        p.masked_fill_(~mask.to(p.device), 0.0)
