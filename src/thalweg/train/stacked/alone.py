"""Layers that each of stacked models is given by itself, and tensors that lie in memory as in any company.

To torch, stacked convolutions are the groups of one, and stacked batch norms the channels of one. How it computes
these depends on how many there are and on how they lie in memory, and so do the last bits. By itself each model has
the bits, and takes the time, that it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C import _functorch as functorch
from torch.utils import _pytree as pytree

__all__ = ["ALONE", "as_code", "by_itself", "in_code", "settled"]

_CODE: ContextVar[bool] = ContextVar("whether code is made of what is called", default=False)


@contextmanager
def as_code() -> Iterator[None]:
    """Let what is called inside a ``with`` be as it is compiled: for so many models at once."""
    token = _CODE.set(True)
    try:
        yield
    finally:
        _CODE.reset(token)


def in_code() -> bool:
    """Return whether code is made of what is called."""
    return _CODE.get()


def by_itself(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Any:
    """Return what a function is of each model's arguments by themselves, stacked; ``NotImplemented`` if not stacked.

    What it writes into vectors, as batch norm does into its statistics, is written into each model's.

    Raises:
        RuntimeError: it is to be part of code for several models.
    """
    leaves, spec = pytree.tree_flatten((args, kwargs))
    if in_code() and any(count > 1 for count in _stacks()):
        raise RuntimeError(
            f"{function.__name__} of such tensors has last bits that depend on how many models it is compiled for"
        )
    if not _are_stacked(leaves):
        return NotImplemented

    def called(*given: Any) -> Any:
        args, kwargs = pytree.tree_unflatten(given, spec)
        found = by_itself(function, *args, **kwargs)  # where there are stacks of stacks
        return function(*args, **kwargs) if found is NotImplemented else found

    return _Each.apply(called, *leaves)  # type: ignore[no-untyped-call]


def settled(x: Tensor) -> Tensor:
    """Return a tensor whose rows lie one behind the other where models are stacked, and whose gradient's do."""
    return _Settled.apply(x) if _are_stacked([x]) else x  # type: ignore[no-untyped-call]


def _are_stacked(leaves: list[Any]) -> bool:
    """Return whether vmap stacks any of these now, nothing else is done to them, and no code is made of it."""
    levels = functorch.get_interpreter_stack() or []
    return (
        not in_code()
        and any(isinstance(x, Tensor) and functorch.is_batchedtensor(x) for x in leaves)
        and all(level.key() == functorch.TransformType.Vmap for level in levels)
    )


def _stacks() -> list[int]:
    """Return how many each vmap around this stacks."""
    levels = [
        level for level in functorch.get_interpreter_stack() or [] if level.key() == functorch.TransformType.Vmap
    ]
    return [functorch.CVmapInterpreterPtr(level).batchSize() for level in levels]


class _Each(torch.autograd.Function):
    """A function of each row; as autograd is outside of vmap, it sees what is called inside."""

    @staticmethod
    def forward(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], function: Callable[..., Any], *args: Any) -> tuple[Tensor, int]:
        def rows(x: Any, dim: int | None) -> Any:
            if dim is None:
                return [x] * info.batch_size
            x = x.movedim(dim, 0)
            return (_laid(x) if x.dim() > 2 else x).unbind()

        found = [function(*row) for row in zip(*map(rows, args, dims[1:]), strict=True)]
        return _laid(torch.stack(found)), 0


class _Settled(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:  # noqa: ARG004
        return _laid(x.movedim(dims[0], 0)), 0


class _Laid(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient.contiguous()


def _laid(x: Tensor) -> Tensor:
    """Return a tensor that is contiguous, and whose gradient is."""
    return _Laid.apply(x)  # type: ignore[no-untyped-call, no-any-return]


ALONE: dict[Callable[..., Any], Callable[..., Any]] = {
    function: partial(by_itself, function)
    for function in (F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
}
"""From torch's function to ours, which calls torch's for each model."""
