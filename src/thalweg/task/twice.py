"""Parameters and buffers that a module holds a second time, where exchanging the registered ones does not reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

__all__ = ["StandIns"]


class StandIns(TorchFunctionMode):
    """While active, others stand in for a module's own tensors, wherever in it they are held.

    Args:
        module: whose tensors.
        others: by the names of its parameters and buffers.

    >>> import torch
    >>> class Kept(nn.Linear):
    ...     def __init__(self):
    ...         super().__init__(2, 2)
    ...         self.kept = [self.weight]
    >>> module = Kept()
    >>> with StandIns(module, {"weight": torch.zeros(2, 2)}):
    ...     float((module.kept[0] + 1).sum())
    4.0
    """

    def __init__(self, module: nn.Module, others: Mapping[str, Tensor]) -> None:
        super().__init__()
        named = (*module.named_parameters(), *module.named_buffers())
        self.others = {id(x): others[name] for name, x in named if name in others}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map(self._stands_in, (args, kwargs or {}))
        return function(*args, **kwargs)

    def _stands_in(self, x: Any) -> Any:
        return self.others.get(id(x), x)
