"""What identifies a task, part by part, so that a study never mixes runs of two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from thalweg.key import Key
from thalweg.task.reading import Inputs, apply
from thalweg.task.task import Task

__all__ = ["fingerprint"]


def fingerprint(task: Task) -> dict[str, str]:
    """Return a hash of each part of a task: ``data``, ``model``, ``loss``, ``metric``.

    ``data`` covers all bytes of all splits; ``model`` the names, shapes and values of its initial weights and
    buffers under a fixed seed; ``loss`` its value and gradients on a few examples, to three digits, which also
    sees an edited forward pass; ``metric`` its name, direction and outcomes on those examples.
    """
    module = task.model(0)
    few = task.train.at(slice(0, 16))
    weights = _hash(_tensors(dict(module.state_dict())))
    with (Key(0) / "fingerprint").seeded():
        module.train()
        loss = task.loss(apply(module, few.inputs), few.targets)
        torch.autograd.backward(loss)
    norms = [float(p.grad.norm()) if p.grad is not None else 0.0 for p in module.parameters()]
    with torch.no_grad(), (Key(0) / "fingerprint").seeded():
        outcomes = task.metric.outcomes(apply(task.model(0).eval(), few.inputs), few.targets)
    words = [task.metric.name, str(task.metric.higher_is_better), *(f"{v:.3g}" for v in outcomes.flatten().tolist())]
    parts = (task.train, task.valid, task.test)
    return {
        "data": _hash(piece for part in parts for piece in _split(part.inputs, part.targets)),
        "model": weights,
        "loss": _hash(f"{value:.3g}".encode() for value in (loss.item(), *norms)),
        "metric": _hash(word.encode() for word in words),
    }


def _split(inputs: Inputs, targets: Tensor) -> Iterable[bytes]:
    if isinstance(inputs, Tensor):
        named = {"": inputs}
    else:
        named = dict(inputs) if isinstance(inputs, dict) else {str(i): x for i, x in enumerate(inputs)}
    return _tensors({**named, "targets": targets})


def _tensors(tensors: dict[str, Tensor]) -> Iterable[bytes]:
    for name, x in tensors.items():
        yield f"{name} {tuple(x.shape)} {x.dtype}".encode()
        yield x.detach().contiguous().view(torch.uint8).numpy().tobytes() if x.dim() else repr(x.item()).encode()


def _hash(pieces: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(len(piece).to_bytes(8, "little"))
        whole.update(piece)
    return whole.hexdigest()
