"""Sequences of different lengths: filled up to the longest when they are read, with a number that says so.

Inputs are one input, a tuple or a mapping of them; ``padding`` is one number for all, or a mapping from an input's
name, or its place in the tuple, to its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import InputError, unknown

__all__ = [
    "IGNORED", "Padding", "along", "checked", "columns", "fill_of", "items", "lengths", "like", "padded",
    "to_one_length", "uneven",
]  # fmt: skip

Padding = int | dict[Any, int] | None
"""None where nothing is a sequence."""

IGNORED = -100
"""What fills up targets of one whole number a token: torch's cross entropy leaves it out."""


def items(inputs: Any) -> dict[Any, Any]:
    """Return inputs by name: those of a mapping, the places in a tuple, or 0 for one alone."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    return dict(enumerate(inputs)) if isinstance(inputs, tuple) else {0: inputs}


def like(inputs: Any, named: dict[Any, Any]) -> Any:
    """Return what `items` would take apart, in the form that ``inputs`` have."""
    if isinstance(inputs, Mapping):
        return named
    return tuple(named.values()) if isinstance(inputs, tuple) else named[0]


def fill_of(padding: Padding, name: Any) -> int | None:
    """Return the number that fills up an input, or None where it is no sequence."""
    return padding.get(name) if isinstance(padding, Mapping) else padding


def columns(samples: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return a dataset's pairs as inputs and targets, each a list with what every example has."""
    each = [items(inputs) for inputs, _ in samples]
    for i, named in enumerate(each):
        if named.keys() != each[0].keys():
            raise InputError(f"example {i} has the inputs {list(named)}, and example 0 has {list(each[0])}")
    inputs = like(samples[0][0], {name: [named[name] for named in each] for name in each[0]})
    return inputs, [target for _, target in samples]


def uneven(values: Any) -> bool:
    """Return whether examples are sequences of different lengths."""
    return len({len(row) for row in _rows(values)}) > 1


def _rows(values: Any) -> list[Any]:
    """Return the examples of an input, if each is a sequence of its own; else none."""
    many = list(values) if isinstance(values, np.ndarray) and values.dtype.kind == "O" else values
    if not isinstance(many, list):
        return []
    return many if all(isinstance(row, list | tuple) or getattr(row, "ndim", 0) for row in many) else []


def padded(inputs: Any, targets: Any, padding: Padding) -> tuple[Any, Any]:
    """Return inputs and targets with those that are lists of sequences as tensors, each filled up to its longest.

    >>> padded([[1, 2, 3], [4]], [0, 1], padding=0)
    (tensor([[1, 2, 3],
            [4, 0, 0]]), [0, 1])
    """
    for name in padding if isinstance(padding, Mapping) else ():
        if name not in items(inputs):
            raise unknown("input in padding=", str(name), map(str, items(inputs)))
    named = {name: _filled(x, fill_of(padding, name)) for name, x in items(inputs).items()}
    found = _filled(targets, IGNORED)
    if isinstance(found, Tensor) and found.is_floating_point() and uneven(targets):
        raise InputError("targets with fractions differ in length; fill them up to the longest input yourself")
    return like(inputs, named), found


def _filled(values: Any, fill: int | None) -> Any:
    """Return sequences as one tensor, ``(N, longest, …)``, of int64 where they are whole; all else as it is."""
    if fill is None or not _rows(values):
        return values
    tensors = [row if isinstance(row, Tensor) else torch.from_numpy(_numbers(row)) for row in _rows(values)]
    kinds = {x.dtype for x in tensors if len(x)}
    fractions = [kind for kind in kinds if kind.is_floating_point]
    whole = torch.bool if kinds == {torch.bool} else torch.int64
    kind = reduce(torch.promote_types, fractions) if fractions else whole
    return nn.utils.rnn.pad_sequence([x.detach().to(kind) for x in tensors], batch_first=True, padding_value=fill)


def _numbers(row: Any) -> np.ndarray:
    array = np.array(row)
    if array.dtype.kind not in "biuf":
        raise InputError("there are sequences of something else than numbers; give the tokens' numbers")
    return array


def along(inputs: Any, targets: Tensor, padding: Padding) -> dict[Any, int]:
    """Return what runs along the sequences, with the number that fills it up: by name, targets as None.

    These are the inputs of whole numbers with a second axis, and whatever has a second axis of the same length.
    """
    fills = {name: fill_of(padding, name) for name in items(inputs)}
    known = {name: x for name, x in items(inputs).items() if fills[name] is not None and x.dim() > 1}
    long = {x.shape[1] for x in known.values() if not x.is_floating_point()}
    found: dict[Any, Any] = {name: fills[name] for name, x in known.items() if x.shape[1] in long}
    return found | ({None: IGNORED} if targets.dim() > 1 and targets.shape[1] in long else {})


def to_one_length(parts: Sequence[tuple[Any, Tensor]], padding: Padding) -> list[tuple[Any, Tensor]]:
    """Return the inputs and targets of several splits, with sequences filled up to the longest of all splits."""
    fills = [along(*part, padding) for part in parts]
    every = [{**items(inputs), None: targets} for inputs, targets in parts]
    long: dict[Any, int] = {}
    for named, fill in zip(every, fills, strict=True):
        for name in fill:
            long[name] = max(1, long.get(name, 1), named[name].shape[1])
    for named, fill in zip(every, fills, strict=True):
        for name, number in fill.items():
            x = named[name]
            more = long[name] - x.shape[1]
            if more and name is None and x.is_floating_point():
                raise InputError("targets with fractions differ in length between splits; fill them up yourself")
            if more:
                named[name] = torch.cat([x, x.new_full((len(x), more, *x.shape[2:]), number)], dim=1)
    return [(like(part[0], {k: x for k, x in named.items() if k is not None}), named[None])
            for part, named in zip(parts, every, strict=True)]  # fmt: skip


def lengths(inputs: Any, padding: Padding) -> Tensor:
    """Return how long each example is, int64, shape ``(N,)``.

    That is one past the last place where any of its inputs of whole numbers is not padding, and at least 1.

    >>> lengths(torch.tensor([[5, 0, 7, 0], [0, 0, 0, 0]]), padding=0)
    tensor([3, 1])
    """
    named = items(inputs)
    found = torch.ones(len(next(iter(named.values()))), dtype=torch.int64)
    for name, x in named.items():
        fill = fill_of(padding, name)
        if fill is not None and x.dim() > 1 and not x.is_floating_point():
            there = (x != fill).reshape(*x.shape[:2], -1).any(2)
            found = torch.maximum(found, (there * torch.arange(1, x.shape[1] + 1)).amax(1))
    return found


def checked(padding: Any, inputs: Any = None) -> Padding:
    """Return what a task was given as ``padding``, as plain numbers, or refuse it.

    Args:
        padding: a whole number, a mapping from an input's name or place to one, or None.
        inputs: tensors that it is to fit, once they are read.

    Raises:
        InputError: something else; or it fits no input, or is one number other than 0 for several of them.
    """
    if padding is None:
        return None
    numbers = list(padding.values()) if isinstance(padding, Mapping) else [padding]
    if not numbers or not all(isinstance(x, int | np.integer) and not isinstance(x, bool) for x in numbers):
        raise InputError(
            f"padding= takes a whole number, or one for each input such as {{'input_ids': 1}}, not {padding!r}"
        )
    found: Padding = {name: int(x) for name, x in padding.items()} if isinstance(padding, Mapping) else int(padding)
    if inputs is None:
        return found
    named = items(inputs)
    fills = {name: fill_of(found, name) for name in named}
    known = {name: x for name, x in named.items() if fills[name] is not None}
    whole = [name for name, x in known.items() if x.dim() > 1 and not x.is_floating_point()]
    if not whole:
        kinds = " and ".join(f"{tuple(x.shape)} of {str(x.dtype).removeprefix('torch.')}" for x in known.values())
        raise InputError(f"padding= is for inputs of whole numbers with a second axis; there is {kinds}")
    if isinstance(found, int) and found and len(whole) > 1:
        own = {name: 0 if i else found for i, name in enumerate(whole)}
        raise InputError(f"padding={found} would fill up masks too; say it for each input, such as padding={own}")
    for name in whole:
        kind, fill = known[name].dtype, fills[name] or 0
        if kind != torch.bool and not torch.iinfo(kind).min <= fill <= torch.iinfo(kind).max:
            raise InputError(f"padding={fill} does not fit into {str(kind).removeprefix('torch.')}, its input's type")
    return found
