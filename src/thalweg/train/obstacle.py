"""Why vmap, or a compiler, cannot take a model, in words that say which operation."""

from __future__ import annotations

import os
import re
import textwrap
import traceback
from pathlib import Path

import torch

from thalweg.task.memory import is_memory
from thalweg.train.own import SHARED

__all__ = ["obstacle", "plain"]

LONGEST = 200
"""Characters of torch's own sentence, where there are no plainer words."""

PLAIN = (
    (r"\.item\(\)|data-dependent control flow",
     "its forward takes a number out of a tensor, by .item() or by an if on the tensor's values"),
    (r"Batching rule not implemented for aten::(?P<name>\w+)\.out\b",
     "its forward writes the result of {name} into a tensor that is there already, by out=, as spectral norm does"),
    (r"Batching rule not implemented for aten::(?P<name>nonzero)_numpy",
     "the size of what {name} returns in its forward depends on a tensor's values"),
    (r"Batching rule not implemented for (?:aten::)?(?P<name>[\w:]+)", "it has no way to take {name}"),
    (r"Attempted to vmap over aten::_?(?P<name>[a-z_]+)",
     "the size of what {name} returns in its forward depends on a tensor's values"),
    (r"indexing with a boolean mask",
     "its forward picks elements by a boolean mask, and how many depends on a tensor's values"),
    (r"submodule `(?P<name>[\w.]+)`: .*is not an instance of torch.nn.Module",
     "its part {name} has the name of a method of torch.nn.Module, which is found in its place"),
    (r"dynamic shape", "the size of a tensor in its forward depends on another tensor's values"),
    (r"randomness", "its forward draws random numbers other than by dropout"),
    (r"is a view and its base or another view of its base has been modified inplace",
     "its forward writes into its own weights"),
    (r"may have escaped",
     "a tensor is used outside its pass, as when torch.utils.checkpoint computes activations again"),
    (r"must override the setup_context",
     "it calls an autograd.Function without setup_context, as torch.utils.checkpoint is with use_reentrant=True"),
    (r"generate_vmap_rule", "its forward calls an autograd.Function that says nothing of vmap by generate_vmap_rule"),
    (r"data pointer of Tensor|storage of \w*Tensor",
     "its forward takes values out of a tensor, by .numpy(), .tolist(), .data_ptr() or in a sparse one"),
    (r"retain_grad", "its forward asks by retain_grad that a gradient be kept"),
    (r"does not require grad and does not have a grad_fn|attempting to call Tensor.requires_grad_\(\)",
     "gradients are taken in its forward or its loss, as by torch.autograd.grad"),
    (SHARED, "its forward or its loss writes in place into a tensor that is the same for all models"),
)  # fmt: skip
"""By what torch says of an operation, what that means."""

_OURS = Path(__file__).parents[1], Path(torch.__file__).parent, Path(os.__file__).parent
"""Where those files are in whose lines nobody looks for what stood in the way."""

_TORCHS = (RuntimeError, NotImplementedError, TypeError)


def obstacle(error: BaseException) -> str:
    """Return what stood in the way: plain words where they are known, else torch's own first sentence; and where.

    >>> obstacle(RuntimeError("Batching rule not implemented for aten::frexp.Tensor; we could not generate a rule"))
    'it has no way to take frexp'
    >>> obstacle(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    'memory ran out'
    """
    first = str(error).strip().partition("\n")[0].partition(". ")[0]
    if not first or isinstance(error, KeyError | AssertionError):  # whose words alone say little
        first = f"{type(error).__name__}{f': {first}' * bool(first)}"
    place = "" if is_memory(error) else _place(error)
    return (plain(error) or textwrap.shorten(first, LONGEST, placeholder=" …")) + (f" ({place})" * bool(place))


def _place(error: BaseException) -> str:
    """Return the last line of the user's own, or of a library of models, that it came through; empty if none is."""
    lines = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(Path(frame.filename).is_relative_to(home) for home in _OURS) and Path(frame.filename).exists()
    ]
    return lines[-1] if lines else ""


def plain(error: BaseException) -> str:
    """Return what stood in the way in plain words, where they are known; else nothing."""
    if is_memory(error):
        return "memory ran out"
    text = str(error).strip()
    for pattern, words in PLAIN:
        if isinstance(error, _TORCHS) and (found := re.search(pattern, text, re.DOTALL)):
            return words.format(**found.groupdict())
    return ""
