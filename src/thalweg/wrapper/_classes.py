"""Wrappers as ``torch.optim.Optimizer`` around any other, for anyone's own training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from thalweg.errors import InputError, spelt
from thalweg.optim._executors.whole import joined, parted
from thalweg.wrapper._lookahead import lookahead
from thalweg.wrapper._sam import sam
from thalweg.wrapper._technique import WrapperTechnique

__all__ = ["SAM", "Lookahead"]


class _Wrapper(Optimizer):
    """An optimizer around another, with whom it shares groups and state: schedulers work on either."""

    def __init__(self, optimizer: Optimizer, technique: WrapperTechnique, values: dict[str, Any]) -> None:
        if not isinstance(optimizer, Optimizer):
            name = type(self).__name__
            raise InputError(f"{name} takes an optimizer, such as {name}(optim.Adam(params)), not {optimizer!r}")
        self.optimizer = optimizer
        self.technique = technique
        self.values = technique.how(dict(technique(**values).resolved()))
        self.__setstate__({})  # makes the hooks that Optimizer has; groups and state are the other's

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The wrapped optimizer's groups."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The wrapped optimizer's state."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The wrapped optimizer's defaults."""
        return self.optimizer.defaults

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_optimizer_")}

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{type(self).__name__}({self.optimizer!r}, {values})"

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters to the wrapped optimizer."""
        self.optimizer.add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the wrapped optimizer's state dict, with what the wrapper keeps beside it."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; one of the wrapped optimizer alone will do."""
        self.optimizer.load_state_dict(state_dict)

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]


@spelt
class Lookahead(_Wrapper):
    """Every ``k`` steps of an optimizer, slow weights go the share ``alpha`` of the way, and it goes on from there.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        k: steps between.
        alpha: the share of the way, above 0 up to 1.

    Raises:
        InputError: no optimizer, or a hyperparameter that cannot be.

    Source: Zhang et al. 2019, Algorithm 1; see `thalweg.wrapper.lookahead`.

    >>> import torch
    >>> from thalweg import optim, wrapper
    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = wrapper.Lookahead(optim.SGD([w], lr=0.1), k=2)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     w.sum().backward()
    ...     _ = optimizer.step()
    >>> round(w.item(), 6)  # half of the way from 1 to 0.8
    0.9
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__(optimizer, lookahead, {"k": k, "alpha": alpha})
        self.k = k
        self.steps = 0
        self.slow: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step; see the class. Returns what the closure returns."""
        for p in self._parameters():
            if p not in self.slow:
                self.slow[p] = p.detach().clone()
        with torch.enable_grad():
            loss = self.optimizer.step(closure)
        self.steps += 1
        if self.steps % self.k == 0:
            for p in self._parameters():
                slow = self.slow[p]
                slow.copy_(self.technique.formula(slow, p, **self.values))
                p.copy_(slow)
        return loss

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Let the parameters be the slow weights, which are those to evaluate, inside a ``with``."""
        with torch.no_grad():
            kept = {p: p.clone() for p in self.slow}
            for p, slow in self.slow.items():
                p.copy_(slow)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, value in kept.items():
                    p.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the wrapped optimizer's state dict, with ``lookahead``: steps and slow weights, by place."""
        slow = {i: self.slow[p] for i, p in enumerate(self._parameters()) if p in self.slow}
        return {**super().state_dict(), "lookahead": {"steps": self.steps, "slow": slow}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state; from one of the wrapped optimizer alone, slow weights begin at the weights."""
        rest = dict(state_dict)
        mine = rest.pop("lookahead", {"steps": 0, "slow": {}})
        super().load_state_dict(rest)
        places = self._parameters()
        self.steps = mine["steps"]
        self.slow = {places[i]: slow.detach().clone().to(places[i]) for i, slow in mine["slow"].items()}


@spelt
class SAM(_Wrapper):
    """Each step of an optimizer takes the gradient from where the loss is about worst within the distance ``rho``.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        rho: the distance, from 0 up.

    Raises:
        InputError: no optimizer, or a hyperparameter that cannot be.

    Source: Foret et al. 2021, Algorithm 1; see `thalweg.wrapper.sam`.

    >>> import torch
    >>> from thalweg import optim, wrapper
    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = wrapper.SAM(optim.SGD([w], lr=0.1), rho=0.5)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (w * w).sum()
    ...     loss.backward()
    ...     return loss.item()
    >>> optimizer.step(closure)
    1.0
    >>> round(w.item(), 6)  # the gradient at 1.5 is 3
    0.7
    """

    def __init__(self, optimizer: Optimizer, rho: float = 0.05) -> None:
        super().__init__(optimizer, sam, {"rho": rho})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step.

        Args:
            closure: forgets the gradients, computes the loss, calls ``backward()`` and returns the loss. It is called
                twice, the second time with torch's generators as before the first, so that dropout drops the same.

        Returns:
            The loss at the weights, as the closure gave it first.

        Raises:
            InputError: no closure, or the optimizer maximises.
        """
        if closure is None:
            raise InputError(
                "SAM takes two gradients a step, so step() needs a closure that forgets the gradients, computes the "
                "loss, calls backward() and returns the loss"
            )
        if any(group.get("maximize") for group in self.param_groups):
            raise InputError("SAM minimises; instead of maximize=True, negate the loss")
        cuda = [p.device for p in self._parameters() if p.is_cuda]
        with torch.random.fork_rng(devices=sorted(set(cuda), key=str)), torch.enable_grad():
            loss = closure()
        live = [p for p in self._parameters() if p.grad is not None]
        kept = [p.clone() for p in live]
        if live:
            gradients = [p.grad.to_dense() for p in live if p.grad is not None]
            there = self.technique.formula(joined(live), joined(gradients), **self.values)
            for p, value in zip(live, parted(there, live), strict=True):
                p.copy_(value)
        try:
            with statistics_stay(), torch.enable_grad():
                closure()
        finally:
            for p, value in zip(live, kept, strict=True):
                p.copy_(value)
        self.optimizer.step()
        return loss


@contextmanager
def statistics_stay() -> Iterator[None]:
    """Let batch norms in training use their batch inside a ``with``, and leave their running statistics."""
    held: list[_BatchNorm] = []

    def hold(module: nn.Module, _: Any) -> None:
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats:
            module.track_running_stats = False
            held.append(module)

    handle = register_module_forward_pre_hook(hold)
    try:
        yield
    finally:
        handle.remove()
        for module in held:
            module.track_running_stats = True
