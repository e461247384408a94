"""What identifies a task, part by part, so that a study never mixes runs of two."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import is_memory
from thalweg.key import Key
from thalweg.task.reading import apply, named
from thalweg.task.task import Task

__all__ = ["fingerprint", "hash_weights"]


def fingerprint(task: Task) -> dict[str, str]:
    """Return a hash of each part of a task: ``data``, ``model``, ``loss``, ``metric``.

    ``data`` covers all bytes of all splits, the training strings, and which number is padding, where the task says;
    ``model`` the names, shapes and values of its initial weights and buffers under a fixed seed; ``loss`` its value
    and gradients on a few examples, to three digits, in training and in evaluation, which also sees an edited forward
    pass (in training alone, where it is for what the model puts out there alone); ``metric`` its name, direction and
    outcomes on those examples. Where one part changes, those after it may change with it, and those before it never
    do.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # initial weights that come from a decomposition depend on it in their last bits
    try:
        parts = (task.train, task.valid, task.test)
        return {
            "data": _hash(chain(*(_tensors(named(part)) for part in parts), _padding(task), _texts(task))),
            "model": hash_weights(task.model(0)),
            **_behaviour(task),
        }
    finally:
        torch.set_num_threads(threads)


def _padding(task: Task) -> list[bytes]:
    """Return nothing for a task without, so that it has the hash that it had before there was padding."""
    if task.padding is None:
        return []
    fills = task.padding if isinstance(task.padding, dict) else {"": task.padding}
    return [f"padding {sorted(fills.items(), key=repr)}".encode()]


def _texts(task: Task) -> Iterable[bytes]:
    """Yield the strings that augmentation edits, of a task that has such."""
    return (f"text {text}".encode("utf-8", "surrogatepass") for text in task.texts or ())


def _behaviour(task: Task) -> dict[str, str]:
    """Return what loss and metric make of the first training examples."""
    few = task.train.at(torch.arange(min(16, len(task.train))))
    module, metric = task.model(0), task.metric
    with (Key(0) / "fingerprint").seeded(), torch.no_grad():
        output = apply(module.eval(), few.inputs)
        quiet = _quiet(task, output, few.targets)
        outcomes = metric.outcomes(output, few.targets)
    with (Key(0) / "fingerprint").seeded():
        loss = task.loss(apply(module.train(), few.inputs), few.targets)
        torch.autograd.backward(loss)
    norms = [float(p.grad.norm()) if p.grad is not None else 0.0 for p in module.parameters()]
    # A gradient that is 0 but for rounding, such as that of a bias before a batch norm, has no digits to compare.
    least = 1e-4 * max(norms, default=0.0)
    values = (*quiet, loss.item(), *(norm if not norm < least else 0.0 for norm in norms))
    words = [metric.name, str(metric.higher_is_better), *(f"{v:.3g}" for v in outcomes.flatten().tolist())]
    return {
        "loss": _hash(f"{value:.3g}".encode() for value in values),
        "metric": _hash(word.encode() for word in words),
    }


def _quiet(task: Task, output: Any, targets: Tensor) -> list[float]:
    """Return the loss in evaluation; nothing where it is for what the model puts out in training alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes, which were looked at where the loss is needed
        try:
            return [task.loss(output, targets).item()]
        except Exception as error:
            if is_memory(error):
                raise
            return []


def hash_weights(module: nn.Module) -> str:
    """Return a hash of the names, shapes, types and values of a module's weights and buffers."""
    return _hash(_tensors(module.state_dict()))


def _tensors(tensors: dict[str, Any]) -> Iterable[bytes]:
    for name, x in tensors.items():
        if isinstance(x, Tensor):  # a module may keep other things in its state
            yield f"{name} {tuple(x.shape)} {x.dtype}".encode()
            yield x.detach().to_dense().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()


def _hash(pieces: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(len(piece).to_bytes(8, "little"))
        whole.update(piece)
    return whole.hexdigest()
