"""The attribute ``data`` of tensors, which vmap does not let anyone see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch

__all__ = ["DATA"]


def _get(x: Tensor) -> Any:
    return x.detach() if functorch.is_functorch_wrapped_tensor(x) else NotImplemented


def _set(x: Tensor, value: Tensor) -> Any:
    if not functorch.is_functorch_wrapped_tensor(x):
        return NotImplemented
    with torch.no_grad():
        return x.detach().copy_(value)


DATA: dict[Callable[..., Any], Callable[..., Any]] = {
    Tensor.data.__get__: _get,  # type: ignore[attr-defined]
    Tensor.data.__set__: _set,  # type: ignore[attr-defined]
}
"""From what reads and writes the attribute to what does the same to the tensor itself."""
