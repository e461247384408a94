"""Examples of any accepted form, read once into tensors in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import InputError, is_memory
from thalweg.task.padding import Padding, columns, items, padded, uneven
from thalweg.task.splits import split, standardize

__all__ = [
    "WORDS", "Inputs", "Split", "apply", "are_classes", "check_alike", "first_line", "leaves", "named",
    "read", "scaled", "split_rows", "type_name",
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

    @property
    def width(self) -> int:
        """Of a batch whose axes are (row, example, …): how many examples each row has."""
        return self.targets.shape[1]

    def at(self, indices: Tensor | slice | int) -> Split:
        """Return the examples at ``indices`` (any shape, which replaces the first axis)."""
        return Split(each(self.inputs, lambda x: _at(x, indices)), _at(self.targets, indices))


@dataclass(frozen=True)
class Batch:
    """Examples of a split by their numbers, for many models at once; gathered when they are asked for.

    Attributes:
        split: where they are.
        numbers: int32 or int64, ``(rows, examples)``.
    """

    split: Split
    numbers: Tensor

    @property
    def width(self) -> int:
        """How many examples each row has."""
        return self.numbers.shape[1]

    def at(self, rows: Tensor | slice | int) -> Split:
        """Return the examples of some rows, with axes (row, example, …); those of one row without the first."""
        return self.split.at(self.numbers[rows])


def _at(x: Tensor, indices: Tensor | slice | int) -> Tensor:
    if not isinstance(indices, Tensor) or indices.dtype == torch.bool:
        return x[indices]
    # Four times as quick as x[indices] where examples are small.
    return x.index_select(0, indices.reshape(-1)).view(*indices.shape, *x.shape[1:])


WORDS = ("train", "valid", "test")


def apply(model: Any, inputs: Any) -> Any:
    """Call a model as its inputs ask for: a tensor, a tuple of arguments, or a dict of keywords.

    It gets copies, because a forward may write into what it gets, as ``x.div_(255)`` does.
    """
    inputs = each(inputs, Tensor.clone)
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def first_line(error: BaseException) -> str:
    """Return an error's first line, with its type where the message alone says too little."""
    if isinstance(error, InputError):
        return str(error)
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


_UNINDEXED = (torch.uint16, torch.uint32, torch.uint64)


def _tensor(value: Any, where: str, dtype: torch.dtype) -> Tensor:
    if _unpadded(value):
        raise InputError(f"{where} {_DIFFERS}")
    try:
        if np.ma.is_masked(value):
            raise InputError(f"{where} has masked values; fill them in, or drop their examples")
        raw = value.detach().cpu() if isinstance(value, Tensor) else _from_array(np.asarray(value), where)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where} cannot be made a tensor: {first_line(error)}") from error
    if raw.layout != torch.strided:
        raise InputError(f"{where} is a sparse tensor; call its to_dense()")
    if raw.dtype in _UNINDEXED:
        raise InputError(f"{where} is {type_name(raw)}, of which torch cannot take rows; convert it to int64")
    tensor = raw.to(dtype) if raw.is_floating_point() else raw
    if tensor.dim() and tensor.numel():
        bad = (~torch.isfinite(tensor)).reshape(len(tensor), -1).any(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            fits = "is NaN or infinite; drop it or fill it in"
            if torch.isfinite(raw[row]).all():
                fits = f"is too large for {type_name(tensor)}; scale it"
            raise InputError(f"{where} of example {row} {fits}")
    return tensor


_DIFFERS = (
    "is of another length in other examples; give the task padding=, the number that fills up the shorter ones, "
    "such as 0"
)


def _unpadded(value: Any) -> bool:
    """Return whether a value's examples are sequences of whole numbers whose lengths differ."""
    return uneven(value) and all(np.asarray(row).dtype.kind in "biu" for row in value if len(row))


def _from_array(array: np.ndarray, where: str) -> Tensor:
    if array.dtype.kind not in "biufc":
        what = {"U": "text", "S": "text", "M": "dates", "O": "Python objects"}.get(array.dtype.kind, str(array.dtype))
        raise InputError(f"{where} is {what}, not numbers; write quantities as floats, and classes as 0, 1, …")
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def named(part: Split) -> dict[str, Tensor]:
    """Return a split's tensors by what a message calls them."""
    if isinstance(part.inputs, Tensor):
        return {"inputs": part.inputs, "targets": part.targets}
    names = part.inputs if isinstance(part.inputs, dict) else range(len(part.inputs))
    inputs = {f"input {name!r}": x for name, x in zip(names, leaves(part.inputs), strict=True)}
    return {**inputs, "targets": part.targets}


def type_name(tensor: Tensor) -> str:
    """Return a tensor's type without torch's name before it."""
    return str(tensor.dtype).removeprefix("torch.")


def read(data: Any, word: str, dtype: torch.dtype, padding: Padding = None) -> Split:
    """Return data of any accepted form as a split in memory; sequences are filled up where there is ``padding``."""
    if not (isinstance(data, tuple | list) and len(data) == 2):
        data = _gather(data, word, padding)
    raw, raw_targets = data
    if padding is not None:
        try:
            raw, raw_targets = padded(raw, raw_targets, padding)
        except Exception as error:
            what = "" if isinstance(error, InputError) else "sequences cannot be filled up: "
            raise InputError(f"{word}: {what}{first_line(error)}") from error
    inputs: Inputs
    if isinstance(raw, Mapping):
        inputs = {str(name): _tensor(x, f"{word}: input {name!r}", dtype) for name, x in raw.items()}
    elif isinstance(raw, tuple):
        inputs = tuple(_tensor(x, f"{word}: input {i}", dtype) for i, x in enumerate(raw))
    else:
        inputs = _tensor(raw, f"{word}: the input", dtype)
    targets = _tensor(raw_targets, f"{word}: the target", dtype)
    lengths = {name: len(x) if x.dim() else None for name, x in named(Split(inputs, targets)).items()}
    if len(lengths) == 1:
        raise InputError(f"{word} has no inputs, only targets")
    if None in lengths.values() or len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {'one number alone' if n is None else n}" for name, n in lengths.items())
        raise InputError(f"{word}: lengths differ ({counts}); the first axis of each counts the examples")
    if lengths["targets"] == 0:
        raise InputError(f"{word} is empty; there is nothing to learn from")
    if targets.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        targets = targets.long()
    return Split(inputs, targets)


def _gather(data: Any, word: str, padding: Padding) -> tuple[Any, Any]:
    """Read a map-style dataset once, into stacked tensors; into lists of examples where there is ``padding``."""
    unfit = _unfit(data)
    if unfit:
        raise InputError(f"{word}= takes a pair (inputs, targets) or a map-style dataset, not {unfit}")
    if len(data) == 0:
        raise InputError(f"{word} is empty; there is nothing to learn from")
    samples, count = [], len(data)
    for i in range(count):
        try:
            sample = data[i]
        except Exception as error:
            if is_memory(error):
                raise
            if len(data) != count:
                break
            raise InputError(f"{word}: example {i} cannot be read: {first_line(error)}") from error
        if not (isinstance(sample, tuple | list) and len(sample) == 2):
            size = f" of {len(sample)}" if isinstance(sample, tuple | list) else ""
            raise InputError(f"{word}: example {i} is not a pair (input, target) but a {type(sample).__name__}{size}")
        samples.append(sample)
    if len(data) != count:
        raise InputError(f"{word} changed its length while it was read, from {count} to {len(data)} examples")
    if padding is not None:
        try:
            return columns(samples)
        except Exception as error:
            raise InputError(f"{word}: {first_line(error)}") from error
    try:
        inputs, targets = torch.utils.data.default_collate(samples)
    except Exception as error:
        if is_memory(error):
            raise
        if named := _differing(samples):
            raise InputError(f"{word}: {named} {_DIFFERS}") from error
        raise InputError(
            f"{word}: examples cannot be stacked, they must have one shape and type: {first_line(error)}"
        ) from error
    inputs = tuple(inputs) if isinstance(inputs, list) else inputs
    if not all(isinstance(x, Tensor) for x in (*leaves(inputs), targets)):
        kinds = " and ".join(type(x).__name__ for x in samples[0])
        raise InputError(f"{word}: examples cannot be stacked, they are {kinds}; make them tensors or numbers")
    return inputs, targets


def _differing(samples: list[Any]) -> str:
    """Return what to call the first part of a dataset's examples that is a sequence and differs in length."""
    try:
        inputs, targets = columns(samples)
    except Exception:
        return ""
    several = isinstance(inputs, tuple | dict)
    parts = {f"input {name!r}" if several else "the input": x for name, x in items(inputs).items()}
    return next((name for name, x in {**parts, "the target": targets}.items() if _unpadded(x)), "")


def _unfit(data: Any) -> str:
    """Return what data is, and the remedy, if it is neither a pair nor a map-style dataset."""
    kind = type(data).__name__
    match data:
        case torch.utils.data.DataLoader():
            return f"a {kind}; give the loader's dataset"
        case torch.utils.data.IterableDataset():
            return f"the IterableDataset {kind}; collect its examples in a list"
        case [Tensor() | np.ndarray(), *_]:
            return f"{len(data)} tensors; several inputs go into a tuple of their own: ((a, b), targets)"
        case Mapping() | str() | Tensor() | np.ndarray():
            return f"a {kind}"
    return "" if hasattr(data, "__getitem__") and hasattr(data, "__len__") else f"a {kind}"


def are_classes(targets: Tensor) -> bool:
    """Return whether targets are classes: one whole number an example."""
    return targets.dim() == 1 and not targets.is_floating_point()


def split_rows(whole: Split, shares: tuple[float, float, float], seed: int) -> list[np.ndarray]:
    """Return the rows of train, valid and test, stratified where targets are classes."""
    return split(len(whole), shares, seed, whole.targets.numpy() if are_classes(whole.targets) else None)


def check_alike(parts: list[Split]) -> None:
    """Refuse splits whose examples differ in shape or type, and a training split of one class."""
    first, *others = ({name: (type_name(x), *x.shape[1:]) for name, x in named(part).items()} for part in parts)
    for kinds, word in zip(others, WORDS[1:], strict=True):
        if list(kinds) != list(first):
            raise InputError(f"{word} has {', '.join(kinds)}, and train {', '.join(first)}; make them alike")
        for name, kind in kinds.items():
            if kind != first[name]:
                ours, theirs = (f"{k[0]}, shape {k[1:]}" for k in (kind, first[name]))
                raise InputError(f"an example's {name} in {word} differ from train's: {ours}, and not {theirs}")
    targets = parts[0].targets
    if are_classes(targets) and (targets == targets[0]).all():
        raise InputError(f"all targets of train are of one class ({targets[0].item()}); there is nothing to learn")


def scaled(parts: list[Split]) -> list[Split]:
    """Return the splits with inputs scaled by what the first of them shows."""
    if not all(x.is_floating_point() for x in leaves(parts[0].inputs)):
        raise InputError("standardize=True takes inputs with fractions, not integers; convert them to floats")
    tensors = [part.inputs for part in parts if isinstance(part.inputs, Tensor)]
    if len(tensors) == len(parts):
        tensors = standardize(*tensors)
        return [Split(x, part.targets) for x, part in zip(tensors, parts, strict=True)]
    raise InputError("standardize=True takes one input tensor; standardize several yourself")
