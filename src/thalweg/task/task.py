"""What recipes are applied to: a model factory, data in three splits, a loss and a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError
from thalweg.key import Key
from thalweg.task.metric import Metric
from thalweg.task.splits import split, standardize

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Origin", "Split", "Task"]

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
        return Split(_each(self.inputs, lambda x: x[indices]), self.targets[indices])


@dataclass(frozen=True)
class Origin:
    """Where a task comes from: what the user typed, the file that makes it, and the call that does."""

    spec: str
    file: Path
    expression: str


class Task:
    """A model factory, data in three splits, a loss and a metric.

    Args:
        model: makes a fresh module, taking no arguments; an ``nn.Module`` class or any function. It may draw
            its initial weights from torch's, numpy's or Python's global generators: they are seeded by key.
        data: all examples, to be split: a pair ``(inputs, targets)`` of tensors or arrays whose first axis
            counts the examples, or a map-style dataset of such pairs, read once. Inputs may also be a tuple
            or dict of tensors.
        train, valid, test: the three splits, in the same forms, where you made them yourself.
        loss: ``(output, targets) -> scalar``, a mean over the batch: ``F.cross_entropy``, ``nn.MSELoss()``.
        metric: what recipes are judged by; `thalweg.accuracy`, `squared_error`, `absolute_error`, or a
            `Metric` of your own.
        name: what reports call the task.
        splits: the shares of train, valid and test where ``data`` is given; stratified when targets
            are classes (integers, one an example).
        standardize: give inputs mean 0 and standard deviation 1, fitted on train alone; per feature for
            ``(N, features)``, per channel for ``(N, channels, …)``.
        dtype: that of the model and of inputs with fractions.
        seed: of the splits.

    Raises:
        InputError: data that cannot be used (empty, NaN, ragged, lengths that differ, a class too rare
            to be in every split), or arguments that do not fit together.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import Task, accuracy
    >>> x = torch.randn(60, 4)
    >>> task = Task(model=lambda: nn.Linear(4, 2), data=(x, (x[:, 0] > 0).long()),
    ...             loss=nn.functional.cross_entropy, metric=accuracy)
    >>> len(task.train), len(task.valid), len(task.test)
    (36, 12, 12)
    """

    def __init__(
        self,
        *,
        model: Callable[[], nn.Module],
        loss: Callable[[Any, Tensor], Tensor],
        metric: Metric,
        data: Any = None,
        train: Any = None,
        valid: Any = None,
        test: Any = None,
        name: str = "task",
        splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
        standardize: bool = False,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
    ) -> None:
        if not callable(model) or isinstance(model, nn.Module):
            raise InputError(
                "model= takes a function that makes a fresh module, such as the class itself "
                "or lambda: Net(10); a module made once would be trained on by every run"
            )
        if not callable(loss):
            raise InputError(f"loss= takes a function (output, targets) -> scalar, not {type(loss).__name__}")
        if not isinstance(metric, Metric):
            raise InputError(
                "metric= takes thalweg.accuracy, squared_error, absolute_error or "
                f"Metric(name, outcomes, higher_is_better), not {type(metric).__name__}"
            )
        self.name = name
        self.factory = model
        self.loss = loss
        self.metric = metric
        self.dtype = dtype
        self.splits = splits
        self.standardized = standardize
        self.seed = seed
        self.origin: Origin | None = None
        given = [part is not None for part in (train, valid, test)]
        if (data is not None) == any(given) or (any(given) and not all(given)):
            raise InputError("give either data=, to be split, or train=, valid= and test=, all three")
        if data is not None:
            whole = _read(data, "data", dtype)
            rows = _split_rows(whole, splits, seed)
            parts = [whole.at(torch.from_numpy(part)) for part in rows]
        else:
            parts = [_read(part, word, dtype) for part, word in zip((train, valid, test), _WORDS, strict=True)]
            _check_alike(parts)
        if standardize:
            parts = _standardize(parts)
        self.train, self.valid, self.test = parts

    def model(self, seed: int) -> nn.Module:
        """Return a fresh module in ``dtype``, its initial weights keyed by ``seed``.

        Raises:
            InputError: the factory raised, or made something that is not a module.
        """
        with (Key(seed) / "init").seeded():
            try:
                module = self.factory()
            except Exception as error:
                raise InputError(f"the model of task {self.name} could not be made: {_line(error)}") from error
        if not isinstance(module, nn.Module):
            raise InputError(f"the model of task {self.name} is a {type(module).__name__}, not an nn.Module")
        return module.to(self.dtype)

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test"
        return f"<Task {self.name}: {sizes}, {self.metric.name}>"


_WORDS = ("train", "valid", "test")


def _line(error: BaseException) -> str:
    """Return an error's first line, with its type where the message alone says too little."""
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _each(inputs: Inputs, change: Callable[[Tensor], Tensor]) -> Inputs:
    if isinstance(inputs, Tensor):
        return change(inputs)
    if isinstance(inputs, tuple):
        return tuple(change(x) for x in inputs)
    return {name: change(x) for name, x in inputs.items()}


def _leaves(inputs: Inputs) -> list[Tensor]:
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs) if isinstance(inputs, tuple) else list(inputs.values())


def _tensor(value: Any, where: str, dtype: torch.dtype) -> Tensor:
    try:
        tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where} cannot be made a tensor: {_line(error)}") from error
    if tensor.is_floating_point():
        tensor = tensor.to(dtype)
        bad = (~torch.isfinite(tensor)).reshape(len(tensor), -1).any(1) if tensor.dim() else torch.tensor([False])
        if bad.any():
            raise InputError(f"{where} of example {int(bad.nonzero()[0])} is NaN or infinite; drop it or fill it in")
    return tensor


def _read(data: Any, word: str, dtype: torch.dtype) -> Split:
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
    lengths = {len(x) if x.dim() else 0 for x in (*_leaves(inputs), targets)}
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
            f"{word}: examples cannot be stacked, they must have one shape and type: {_line(error)}"
        ) from error
    return (tuple(inputs) if isinstance(inputs, list) else inputs), targets


def _classes(targets: Tensor) -> bool:
    return targets.dim() == 1 and not targets.is_floating_point()


def _split_rows(whole: Split, shares: tuple[float, float, float], seed: int) -> list[np.ndarray]:
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InputError(f"splits= takes three shares above 0 that sum to 1, not {shares}")
    if not _classes(whole.targets):
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


def _check_alike(parts: list[Split]) -> None:
    first = [(x.shape[1:], x.dtype) for x in (*_leaves(parts[0].inputs), parts[0].targets)]
    for part, word in zip(parts[1:], _WORDS[1:], strict=True):
        if [(x.shape[1:], x.dtype) for x in (*_leaves(part.inputs), part.targets)] != first:
            raise InputError(f"{word} differs from train in the shape or type of its examples")


def _standardize(parts: list[Split]) -> list[Split]:
    if not all(x.is_floating_point() for x in _leaves(parts[0].inputs)):
        raise InputError("standardize=True needs inputs with fractions; these are integers")
    if isinstance(parts[0].inputs, Tensor):
        tensors = standardize(*[part.inputs for part in parts])
        return [Split(x, part.targets) for x, part in zip(tensors, parts, strict=True)]
    raise InputError("standardize=True takes one input tensor; standardize several yourself")
