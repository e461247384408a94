"""What a function of tensors does, operation by operation, as text: under which its compiled code is kept.

To trace it into a graph takes a second of imports; to note what torch is asked for takes no longer than to do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["recorded"]


def recorded(function: Callable[..., Any], example: Sequence[Tensor]) -> tuple[str, int]:
    """Return what a function does with tensors like these, as a hash, and how many operations that are.

    Functions of one hash do the same operations in the same order, of the same of their inputs and of the same
    constants, and return the same of what comes out. They may differ in what they do with other shapes.

    Raises:
        Exception: whatever the function raised.

    >>> import torch
    >>> x = [torch.ones(2)]
    >>> recorded(lambda x: x + 1, x) == recorded(lambda y: y.add(1), x) != recorded(lambda x: x + 2, x)
    True
    """
    with _Recorder(example) as recorder:
        found = function(*example)
    recorder.say("return", found)
    return recorder.whole.hexdigest(), recorder.count


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch says none of its own
    """Takes note of what torch does below autograd and vmap.

    Attributes:
        whole: a hash of all of it.
        count: of operations.
        met: how many tensors there were.
    """

    def __init__(self, example: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.whole, self.count, self.met = hashlib.sha256(), 0, 0
        self.numbers: Any = WeakTensorKeyDictionary()
        for x in example:
            self._introduce(x)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return that Dynamo need not be imported, which takes a second, to be told to keep out."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        given = kwargs or {}
        self.say(str(func), [*args, *sorted(given.items())])
        found = func(*args, **given)
        for x in pytree.tree_leaves(found):
            if isinstance(x, Tensor):
                self._introduce(x)
        self.count += 1
        return found

    def say(self, what: str, values: Any) -> None:
        """Note something, and what it is done with."""
        leaves, spec = pytree.tree_flatten(values)
        said = [self._number(x) if isinstance(x, Tensor) else repr(x) for x in leaves]
        self.whole.update(repr((what, said, str(spec))).encode())

    def _number(self, x: Tensor) -> int:
        """Return a tensor's number; of a constant, which none is known of yet, with its content."""
        if x not in self.numbers:
            self._introduce(x)
            with no_dispatch():
                self.whole.update(x.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return int(self.numbers[x])

    def _introduce(self, x: Tensor) -> None:
        if x not in self.numbers:
            self.numbers[x] = self.met
            self.met += 1
            about = (self.numbers[x], x.dtype, x.device.type, tuple(x.shape), x.stride())
            self.whole.update(repr(about).encode())
