"""Examples of any accepted form, read once into tensors in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import InputError
from thalweg.task.splits import split, standardize

__all__ = [
    "WORDS", "Inputs", "Split", "apply", "are_classes", "check_alike", "first_line", "leaves", "read",
    "scaled", "split_rows",
]  # fmt: skip

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]


@dataclass(frozen=True)
class Split:
    """Examples in memory: inputs and targets, each with the examples along the first axis.

    ``inputs`` is a tensor ``(N, …)``, or a tuple or dict of such tensors, which a model receives as
    ``model(x)``, ``model(*x)`` or ``model(**x)``.
    """

    inputs: Inputs
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, indices: Tensor | slice) -> Split:
        """Return the examples at ``indices`` (any shape, which replaces the first axis)."""
        return Split(each(self.inputs, lambda x: x[indices]), self.targets[indices])


WORDS = ("train", "valid", "test")


def apply(model: Any, inputs: Any) -> Any:
    """Call a model as its inputs ask for: a tensor, a tuple of arguments, or a dict of keywords."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def first_line(error: BaseException) -> str:
    """Return an error's first line, with its type where the message alone says too little."""
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def each(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    """Return inputs with every tensor changed."""
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, tuple):
        return tuple(change(x) for x in inputs)
    return {name: change(x) for name, x in inputs.items()}


def leaves(inputs: Inputs) -> list[Tensor]:
    """Return the tensors that inputs are made of."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs) if isinstance(inputs, tuple) else list(inputs.values())


def _tensor(value: Any, where: str, dtype: torch.dtype) -> Tensor:
    try:
        tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where} cannot be made a tensor: {first_line(error)}") from error
    if tensor.is_floating_point():
        tensor = tensor.to(dtype)
        bad = (~torch.isfinite(tensor)).reshape(len(tensor), -1).any(1) if tensor.dim() else torch.tensor([False])
        if bad.any():
            raise InputError(f"{where} of example {int(bad.nonzero()[0])} is NaN or infinite; drop it or fill it in")
    return tensor


def read(data: Any, word: str, dtype: torch.dtype) -> Split:
    """Return data of any accepted form as a split in memory."""
    if not (isinstance(data, tuple | list) and len(data) == 2):
        data = _gather(data, word)
    raw, raw_targets = data
    inputs: Inputs
    if isinstance(raw, Mapping):
        inputs = {str(name): _tensor(x, f"{word}: input {name!r}", dtype) for name, x in raw.items()}
    elif isinstance(raw, tuple):
        inputs = tuple(_tensor(x, f"{word}: input {i}", dtype) for i, x in enumerate(raw))
    else:
        inputs = _tensor(raw, f"{word}: the input", dtype)
    targets = _tensor(raw_targets, f"{word}: the target", dtype)
    lengths = {len(x) if x.dim() else 0 for x in (*leaves(inputs), targets)}
    if len(lengths) > 1:
        raise InputError(f"{word}: inputs and targets differ in length ({', '.join(map(str, sorted(lengths)))})")
    if lengths == {0}:
        raise InputError(f"{word} is empty")
    if targets.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        targets = targets.long()
    return Split(inputs, targets)


def _gather(data: Any, word: str) -> tuple[Any, Any]:
    """Read a map-style dataset once, into stacked tensors."""
    if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise InputError(f"{word}= takes a pair (inputs, targets) or a map-style dataset, not {type(data).__name__}")
    if len(data) == 0:
        raise InputError(f"{word} is empty")
    samples = []
    for i in range(len(data)):
        sample = data[i]
        if not (isinstance(sample, tuple | list) and len(sample) == 2):
            raise InputError(f"{word}: example {i} is not a pair (input, target) but {type(sample).__name__}")
        samples.append(sample)
    try:
        inputs, targets = torch.utils.data.default_collate(samples)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"{word}: examples cannot be stacked, they must have one shape and type: {first_line(error)}"
        ) from error
    return (tuple(inputs) if isinstance(inputs, list) else inputs), targets


def are_classes(targets: Tensor) -> bool:
    """Return whether targets are classes: one whole number an example."""
    return targets.dim() == 1 and not targets.is_floating_point()


def split_rows(whole: Split, shares: tuple[float, float, float], seed: int) -> list[np.ndarray]:
    """Return the rows of train, valid and test, stratified where targets are classes."""
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"splits= takes three shares above 0 that sum to 1, not {shares}")
    if not are_classes(whole.targets):
        if len(whole) < 3:
            raise InputError(f"data has {len(whole)} examples; the three splits need at least 3")
        return split(len(whole), shares, seed)
    classes, counts = np.unique(whole.targets.numpy(), return_counts=True)
    if len(classes) == 1:
        raise InputError(f"all targets are of one class ({classes[0]}); there is nothing to learn")
    if counts.min() < 3:
        rare = classes[counts.argmin()]
        raise InputError(f"class {rare} has {counts.min()} examples; each class needs at least 3, one a split")
    return split(len(whole), shares, seed, whole.targets.numpy())


def check_alike(parts: list[Split]) -> None:
    """Refuse splits whose examples differ in shape or type."""
    first = [(x.shape[1:], x.dtype) for x in (*leaves(parts[0].inputs), parts[0].targets)]
    for part, word in zip(parts[1:], WORDS[1:], strict=True):
        if [(x.shape[1:], x.dtype) for x in (*leaves(part.inputs), part.targets)] != first:
            raise InputError(f"{word} differs from train in the shape or type of its examples")


def scaled(parts: list[Split]) -> list[Split]:
    """Return the splits with inputs scaled by what the first of them shows."""
    if not all(x.is_floating_point() for x in leaves(parts[0].inputs)):
        raise InputError("standardize=True needs inputs with fractions; these are integers")
    tensors = [part.inputs for part in parts if isinstance(part.inputs, Tensor)]
    if len(tensors) == len(parts):
        tensors = standardize(*tensors)
        return [Split(x, part.targets) for x, part in zip(tensors, parts, strict=True)]
    raise InputError("standardize=True takes one input tensor; standardize several yourself")
