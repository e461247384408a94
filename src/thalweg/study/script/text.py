"""The parts of an exported script that are nowhere else: its head, the stand-in for a task, the loop."""

__all__ = [
    "HEAD", "HIDDEN", "IMPORTS", "JUDGED", "MODULE", "OTHER", "PADDED", "RECIPE", "SECOND_AFTER", "SECOND_BEFORE",
    "STANDIN", "TRAINING",
]  # fmt: skip

HEAD = '''
"""{task} with {name}: one run, in plain PyTorch, written by thalweg and {without}.

With this seed thalweg recorded a test {metric} of {test:.6g}.
"""
'''

RECIPE = """
SEED = {seed}
BATCH_SIZE = {batch_size}
EPOCHS = {epochs}
OPTIMIZER = {values}
"""

IMPORTS = """
from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import math
import random
import sys
import threading
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial, reduce
from itertools import pairwise
from math import copysign, cos, floor, inf, log, pi
from typing import Any, Self
from weakref import ref

import numpy as np
import torch
from thalweg import augment
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.checkpoint import checkpoint
"""

STANDIN = '''
class InputError(ValueError):
    """What a task's file raises for input that cannot be used."""


def unknown(what, name, known):
    """Return the error for a name that does not exist."""
    return InputError(f'unknown {what} "{name}"; known: {", ".join(known)}')


@dataclass(frozen=True)
class Metric:
    """How good outputs are, example by example."""

    name: str
    outcomes: Callable
    higher_is_better: bool
    unit: str = ""
    least: float | None = None
    by_example: bool = False


scale = standardize


class Task:
    """What the task's file says, with its examples as tensors in three splits."""

    def __init__(self, *, model, loss, metric, data=None, train=None, valid=None, test=None, name="task",
                 splits=(0.6, 0.2, 0.2), standardize=False, dtype=torch.float32, seed=0,
                 encode=None, **_):
        if encode is not None:
            data, train, valid, test = (
                part and (encode(list(part[0])), part[1]) for part in (data, train, valid, test)
            )
        self.model, self.loss, self.metric, self.name, self.dtype = model, loss, metric, name, dtype
        if data is None:
            parts = [self.tensors(part) for part in (train, valid, test)]
        else:
            inputs, targets = self.tensors(data)
            classes = targets.numpy() if targets.dim() == 1 and not targets.is_floating_point() else None
            parts = [(at(inputs, rows), targets[rows])
                     for rows in map(torch.from_numpy, split(len(targets), splits, seed, classes))]
        if standardize:
            scaled = scale(*[inputs for inputs, _ in parts])
            parts = [(inputs, targets) for inputs, (_, targets) in zip(scaled, parts)]
        self.train, self.valid, self.test = parts

    def tensors(self, data):
        """Return inputs and targets as tensors, numbers with fractions in the task's type."""
        if not (isinstance(data, (tuple, list)) and len(data) == 2):
            inputs, targets = torch.utils.data.default_collate([data[i] for i in range(len(data))])
            data = tuple(inputs) if isinstance(inputs, list) else inputs, targets
        inputs, targets = data
        if isinstance(inputs, Mapping):
            inputs = {name: self.tensor(x) for name, x in inputs.items()}
        elif isinstance(inputs, tuple):
            inputs = tuple(self.tensor(x) for x in inputs)
        else:
            inputs = self.tensor(inputs)
        targets = self.tensor(targets)
        small = (torch.uint8, torch.int8, torch.int16, torch.int32)
        return inputs, targets.long() if targets.dtype in small else targets

    def tensor(self, x):
        """Return a tensor on the CPU."""
        x = x.detach().cpu() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
        return x.to(self.dtype) if x.is_floating_point() else x


def at(inputs, rows):
    """Return the inputs of some examples: of a tensor, a tuple of tensors, or a dict of tensors."""
    if isinstance(inputs, dict):
        return {name: x[rows] for name, x in inputs.items()}
    return tuple(x[rows] for x in inputs) if isinstance(inputs, tuple) else inputs[rows]


def predict(model, inputs):
    """Call the model as its inputs ask for, with copies, because it may write into them."""
    inputs = tree_map(torch.clone, inputs)
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
'''

PADDED = '''
class PaddedTask(Task):
    """A task whose sequences are filled up to one length."""

    def __init__(self, *, padding=None, **more):
        self.padding = padding
        super().__init__(**more)
        if padding is not None:
            self.train, self.valid, self.test = to_one_length([self.train, self.valid, self.test], padding)

    def tensors(self, data):
        """Return inputs and targets as tensors."""
        if self.padding is None:
            return super().tensors(data)
        if not (isinstance(data, (tuple, list)) and len(data) == 2):
            data = columns([data[i] for i in range(len(data))])
        return super().tensors(padded(*data, self.padding))
'''

MODULE = """
# A task's file imports these names from thalweg; here they stand.
thalweg = types.ModuleType("thalweg")
thalweg.__dict__.update(Task=Task, Metric=Metric, InputError=InputError, Key=Key, accuracy=accuracy,
                        balanced_accuracy=balanced_accuracy, squared_error=squared_error,
                        absolute_error=absolute_error,
                        split=split, standardize=standardize, unknown=unknown)
sys.modules["thalweg"] = thalweg
"""

HIDDEN = '''
# What drops inside torch's own layers, for which the functions above stand in.
REPLACED = {
    F.scaled_dot_product_attention: scaled_dot_product_attention,
    F.multi_head_attention_forward: multi_head_attention_forward,
    torch._VF.lstm: lstm,
    torch._VF.gru: gru,
    torch._VF.rnn_tanh: rnn_tanh,
    torch._VF.rnn_relu: rnn_relu,
}
TAKES_DROPOUT = set(REPLACED.values())


def pays(ours, args, kwargs, compiled):
    """Return whether a function is called in torch's place: attention alone where it drops or learns its mask."""
    if ours is not scaled_dot_product_attention:
        return True
    mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
    learned = mask is not None and mask.requires_grad and torch.is_grad_enabled()
    return learned or kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0) > 0


def get_proxy_mode():
    """Return None: nothing is compiled here."""
'''

JUDGED = '''
def judged(model, inputs):
    """Return what the model puts out; it draws the same numbers each time, and for every 64 examples."""
    found = []
    for start in range(0, len(tree_leaves(inputs)[0]), 64):
        with AROUND:
            found.append(predict(model, at(inputs, slice(start, start + 64))))
    return torch.cat(found) if len(found) > 1 else found[0]
'''

TRAINING = '''
def evaluate(model, task, part):
    """Return the metric of a split, the mean over its examples."""
    inputs, targets = part
    model.eval()
    with torch.no_grad():
        parts = [slice(i, i + 256) for i in range(0, len(targets), 256)]
        values = [task.metric.outcomes(<PREDICT>(model, at(inputs, part)), targets[part]) for part in parts]
        if values[0].dim() == 0:
            return float(task.metric.outcomes(<PREDICT>(model, inputs), targets))
    return torch.cat(values).double().mean().item()


def train(task):
    """Train the recipe once and return the model."""
    with (Key(SEED) / "init").seeded():
        model = task.model()
    model.to(task.dtype)
    SHAPE
    FREEZE
    BLOCKS
    inputs, targets = task.train
    parameters = [p for p in model.parameters() if p.requires_grad]
    WEIGHTS
    MASKS
    STATE
    FORWARD
    MASK_KEY
    SEEN
    STOP
    step = 0
    for epoch in range(EPOCHS):
        ORDER
        total = torch.zeros((), dtype=torch.float64)
        starts = range(0, len(order), BATCH_SIZE)
        batches = [order[i : i + BATCH_SIZE] for i in starts]
        if len(batches) > 1 and len(batches[-1]) == 1:
            del batches[-1]  # batch norm cannot take one example
        for rows in batches:
            model.train()
            LOSS
            total += loss.detach()
            SECOND
            values = {**OPTIMIZER, "lr": OPTIMIZER["lr"] * <RATE>}
            step += 1
            with torch.no_grad():
                gradients = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in parameters]
                GRADIENTS
                UPDATE
                AFTER
        OTHER
        valid = <VALID>
        OBSERVE
        WATCH
        print(f"epoch {epoch + 1}: loss {total.item() / len(batches):.4f}, valid {task.metric.name} {valid:.6g}")
        BREAK
    return <EVALUATED>


if __name__ == "__main__":
    torch.set_num_threads(1)
    task = TASK_EXPRESSION
    model = train(task)
    print(f"test {task.metric.name} {evaluate(model, task, task.test):.6g}")
    torch.save(model.state_dict(), "weights.pt")
'''

OTHER = '''
def with_weights(model, weights, inputs, count):
    """Return a copy of the model with other weights, and with the batch norm statistics that belong to them."""
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for p, x in zip((p for p in other.parameters() if p.requires_grad), weights):
            p.copy_(x)
        for name, calls in batch_norms(other, lambda: predict(other, at(inputs, slice(0, 2)))).items():
            parts = [at(inputs, slice(i, i + 64)) for i in range(0, count, 64)]
            found = [moments(other, name, calls, lambda part=part: <PREDICT>(other, part)) for part in parts]
            mean, variance = as_kept(pool(found))
            other.get_submodule(name).running_mean.copy_(mean)
            other.get_submodule(name).running_var.copy_(variance)
    return other
'''

SECOND_BEFORE = """
# The gradient that counts is taken at other weights, on the same batch with the same masks.
held = [x.detach().clone() for x in (*parameters, *model.buffers())]
with torch.no_grad():
    first = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in parameters]
    for p, x in zip(parameters, parted(FORMULA(joined(parameters), joined(first), **WRAPPER), parameters)):
        p.copy_(x)
"""

SECOND_AFTER = """
with torch.no_grad():
    for x, before in zip((*parameters, *model.buffers()), held):
        x.copy_(before)
"""
