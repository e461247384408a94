"""Data whose inputs are strings: what becomes of them before they are read as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import InputError
from thalweg.task.padding import Padding, fill_of, items, like, padded
from thalweg.task.reading import Inputs, first_line

__all__ = ["Encode", "encoded", "in_numbers"]

Encode = Callable[[list[str]], Any]


def in_numbers(encode: Encode, data: Any, train: Any, valid: Any, test: Any) -> tuple[Any, ...]:
    """Return the strings of ``data``, else those of ``train``, and all four with their strings as inputs.

    Raises:
        InputError: one that is no pair of strings and targets, or that ``encode`` cannot take.
    """
    said = {"data": data, "train": train, "valid": valid, "test": test}
    kept: dict[str, tuple[str, ...]] = {}
    found: dict[str, Any] = {}
    for word, part in said.items():
        if part is None:
            found[word] = None
            continue
        if not (isinstance(part, tuple | list) and len(part) == 2):
            raise InputError(f"{word}= takes a pair (strings, targets) where there is encode=")
        kept[word] = _strings(part[0], word)
        found[word] = (_called(encode, kept[word], word), part[1])
    return (next(iter(kept.values())), *found.values())


def _strings(values: Any, word: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise InputError(f"{word}: the inputs are one string; give a list with one for each example")
    try:
        strings = list(values)
    except TypeError as error:
        raise InputError(f"{word}: the inputs are of type {type(values).__name__}; give a list of strings") from error
    for i, value in enumerate(strings):
        if not isinstance(value, str):
            raise InputError(f"{word}: text {i} is {value!r:.40}, of type {type(value).__name__}; texts are strings")
    return tuple(map(str, strings))  # numpy's strings are a kind of their own


def _called(encode: Encode, strings: Sequence[str], word: str) -> Any:
    """Return what a task's function makes of strings: as many inputs as there are strings."""
    try:
        found = encode(list(strings))
        found = dict(found) if hasattr(found, "keys") else found
        counts = {len(x) for x in items(found).values()}
    except Exception as error:
        raise InputError(f"{word}: encode= cannot take the texts: {first_line(error)}") from error
    if counts != {len(strings)}:
        raise InputError(
            f"{word}: encode= makes {' and '.join(map(str, sorted(counts)))} inputs of {len(strings)} texts; it must "
            "make one of each"
        )
    return found


def encoded(encode: Encode, strings: Sequence[str], inputs: Inputs, padding: Padding) -> Inputs:
    """Return strings as inputs of the form, types and length of other ``inputs``, as `Task.encoded` does."""
    found = _called(encode, _strings(strings, "texts"), "texts")
    if padding is not None:
        found, _ = padded(found, [0] * len(strings), padding)
    named, known = items(found), items(inputs)
    if named.keys() != known.keys():
        raise InputError(f"encode= gives the inputs {list(named)}, and gave {list(known)} before")
    made: Inputs = like(inputs, {name: _alike(x, known[name], fill_of(padding, name)) for name, x in named.items()})
    return made


def _alike(value: Any, example: Tensor, fill: int | None) -> Tensor:
    """Return numbers in another tensor's type, cut or filled up to its second axis where they are sequences."""
    x = torch.as_tensor(value).to(example.dtype)
    if fill is None or x.dim() < 2:
        return x
    longest = example.shape[1]
    if x.shape[1] >= longest:
        return x[:, :longest]
    return torch.cat([x, x.new_full((len(x), longest - x.shape[1], *x.shape[2:]), fill)], dim=1)
