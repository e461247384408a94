"""A formula as a ``torch.optim.Optimizer``: groups, state and steps; which formula, a subclass says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from thalweg.errors import InputError, unknown
from thalweg.optim._executors import eager
from thalweg.optim._technique import Optimizer

__all__ = ["FormulaOptimizer", "Params", "refuse"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

MODES: dict[str, Any] = {
    "maximize": False, "foreach": None, "fused": None, "capturable": False, "differentiable": False,
}  # fmt: skip
"""torch's arguments on how to step. ``foreach`` and ``fused`` ask for speed alone, and change nothing here."""


def refuse(group: Mapping[str, Any], owner: str, *names: str) -> None:
    """Refuse a group that turns on one of ``names``: no formula covers it."""
    for name in names:
        if group.get(name):
            raise InputError(f"no formula covers {owner} with {name}={group[name]!r}")


class FormulaOptimizer(torch.optim.Optimizer):
    """Steps each parameter by the formula that its group selects."""

    kept_as: ClassVar[Mapping[str, str]] = {}
    """The formula's names of state and scalars, and the keys under which torch keeps them."""

    def __init__(self, params: Params, modes: Mapping[str, Any], **defaults: Any) -> None:
        for name, value in modes.items():
            if name not in MODES:
                raise unknown(f"argument of {type(self).__name__}", name, [*defaults, *MODES])
            if value and name in ("capturable", "differentiable"):
                raise InputError(f"{type(self).__name__} has no {name} form; leave {name} out")
        super().__init__(params, {**defaults, **MODES, **modes})
        for group in self.param_groups:
            self._chosen(group)

    def select(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, Any]]:
        """Return the formula for a group and its hyperparameters under the formula's names.

        Raises:
            InputError: no formula covers what the group asks for.
        """
        raise NotImplementedError  # every class below says which

    def _chosen(self, group: Mapping[str, Any]) -> tuple[Optimizer, dict[str, float]]:
        technique, values = self.select(group)
        numbers = {name: float(value) for name, value in values.items()}
        technique(**numbers)  # refuses what a hyperparameter cannot be
        return technique, numbers

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with hyperparameters of their own; nothing is added when the group is refused."""
        super().add_param_group(param_group)
        if hasattr(self, "state"):
            try:
                self._chosen(self.param_groups[-1])
            except InputError:
                self.param_groups.pop()
                raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what the closure returns.

        Args:
            closure: evaluates the model again and returns the loss.

        Raises:
            InputError: a gradient is sparse or complex; nothing has been changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and (p.grad.is_sparse or p.is_complex()):
                    what = "sparse gradients" if p.grad.is_sparse else "complex parameters"
                    raise InputError(f"{type(self).__name__} does not take {what}")
        for group in self.param_groups:
            technique, values = self._chosen(group)
            coupled = 0.0 if "weight_decay" in values else float(group.get("weight_decay", 0.0))
            for p in group["params"]:
                if p.grad is not None:
                    g = -p.grad if group["maximize"] else p.grad
                    self._update(technique, values, p, g + coupled * p if coupled else g)
        return loss

    def _update(self, technique: Optimizer, values: Mapping[str, float], p: Tensor, g: Tensor) -> None:
        kept = self.state[p]
        if "step" not in kept:
            kept["step"] = torch.tensor(0.0)
        kept["step"] += 1
        for name in technique.state:
            if self.kept_as[name] not in kept:
                kept[self.kept_as[name]] = torch.full_like(p, technique.start.get(name, 0.0))
        scalars = [float(kept.get(self.kept_as[n], technique.start.get(n, 0.0))) for n in technique.scalars]
        state = [kept[self.kept_as[name]] for name in technique.state]
        after = eager.update(technique, p, g, state, scalars, t=int(kept["step"]), hyperparameters=values)
        for name, value in zip(technique.scalars, after, strict=True):
            kept[self.kept_as[name]] = torch.tensor(value, dtype=torch.float64)
