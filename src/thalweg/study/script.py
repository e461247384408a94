"""A recipe of a study as one plain PyTorch script: nobody is locked in.

The script is made of sources as they stand: the formula, the schedule, the task's own file, the keyed random
numbers. It trains the same model on the same batches in the same order, without thalweg.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg import key, optim, schedule
from thalweg.errors import InputError, unknown
from thalweg.optim import _vocabulary
from thalweg.recipe import Recipe
from thalweg.record import RunRecord, Store, StoreError
from thalweg.task import metric, splits
from thalweg.technique import Technique
from thalweg.train import dropout

__all__ = ["export"]


def export(directory: Path | str, name: str | None = None) -> str:
    """Return the script that trains one of a study's recipes at its chosen setting.

    Args:
        directory: the study's.
        name: the recipe's; the best one if not given.

    Raises:
        InputError: there is no study, no such recipe, no chosen setting yet, or the task is not made by a file.
    """
    try:
        with Store(directory) as store:
            task = store.get("task") or {}
            verdict = store.get("verdict")
            names = [row.name for row in store.recipes()]
            chosen = name if name is not None else (verdict or {}).get("best")
            if name is not None and name not in names:
                raise unknown("recipe", name, names)
            runs = store.runs()
            entries = [e for e in store.entries("chosen") if e.recipe == chosen and e.run in runs]
    except StoreError as error:
        raise InputError(str(error)) from error
    records = [runs[entry.run] for entry in entries] or (list(runs.values()) if not names[1:] else [])
    if not records:
        raise InputError(f"the study in {directory} is not finished; run its command again, then export")
    if task.get("origin") is None:
        raise InputError(
            f"the task {task.get('name')} was made in Python, not by a file; put it into my_task.py, "
            "compare my_task.py:task, and export that"
        )
    record = records[0]
    return _script(task, Recipe.from_toml(record.recipe), record, chosen or names[0])


def _script(task: dict[str, Any], recipe: Recipe, record: RunRecord, name: str) -> str:
    origin = task["origin"]
    optimizer = recipe.optimizer.technique
    assert isinstance(optimizer, optim.Optimizer)
    source = _task_file(Path(origin["file"]))
    batch_size, epochs = recipe.sizes()
    parts = [
        _HEAD.format(task=task["name"], name=name, metric=task["metric"]["name"], test=record.test),
        _IMPORTS,
        "# ---- the recipe",
        _RECIPE.format(
            seed=record.seed,
            batch_size=batch_size,
            epochs=epochs,
            values=dict(recipe.optimizer),
            start=[optimizer.start.get(name, 0.0) for name in (*optimizer.state, *optimizer.scalars)],
            scalars=len(optimizer.scalars),
        ),
        _words(optimizer),
        _formula(optimizer),
        _schedule(recipe.schedule.resolved(record.steps)),
        "# ---- random numbers: each a function of its key",
        _source(key.Key),
        _tail(dropout, "_WHOLE = ", "def step_keys") if task["dropout"] else "",
        "# ---- the task",
        _source(splits.split),
        _source(splits.standardize),
        _STANDIN,
        _tail(metric, "def _correct"),
        _MODULE,
        "# ---- the task's own file",
        source,
        "# ---- training",
        _training(task, optimizer, origin["expression"]),
    ]
    return "\n\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def _training(task: dict[str, Any], optimizer: optim.Optimizer, expression: str) -> str:
    """Return the loop, with the formula's name in it and without what the model does not need."""
    context = {
        (False, False): "",
        (True, False): "KeyedDropout(_mix(mask_key + _signed(step * _GOLDEN)))",
        (False, True): "(forward / step).seeded()",
        (True, True): "(forward / step).seeded(), KeyedDropout(_mix(mask_key + _signed(step * _GOLDEN)))",
    }[task["dropout"], task["draws"]]
    text = _TRAINING.replace("FORMULA(", f"{optimizer.name}(").replace("= TASK", f"= {expression}")
    if context:
        return text.replace("CONTEXT", context)
    lines = text.splitlines()
    here = next(i for i, line in enumerate(lines) if "CONTEXT" in line)
    lines[here : here + 2] = [lines[here + 1].removeprefix("    ")]
    return "\n".join(line for line in lines if "forward =" not in line and "mask_key =" not in line)


def _source(thing: Any) -> str:
    return textwrap.dedent(inspect.getsource(thing))


def _tail(module: ModuleType, start: str, end: str | None = None) -> str:
    """Return a module's source from one line on, up to another."""
    text = inspect.getsource(module)
    text = text[text.index(f"\n{start}") :]
    return text if end is None else text[: text.index(f"\n{end}")]


def _formula(technique: Technique) -> str:
    """Return a formula's source without its declaration."""
    lines = textwrap.dedent(inspect.getsource(technique.formula)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))
    return "\n".join(lines[start:])


def _words(technique: Technique) -> str:
    used = [name for name in _vocabulary.__all__ if name in technique.formula.__code__.co_names]
    return "\n\n\n".join(_source(getattr(_vocabulary, name)) for name in used)


_TAKEN = frozenset(
    {"Key", "KeyedDropout", "at", "evaluate", "mask", "multiplier", "predict", "split", "standardize", "train"}
)
"""Names that the script defines, and a task's file must not."""


def _schedule(whole: schedule.Schedule) -> str:
    """Return the source of the schedule's formulas and of ``multiplier(step)``, its parts one after the other."""
    seen, formulas = set(), []
    for part in whole.parts:
        if part.name not in seen:
            seen.add(part.name)
            formulas.append(_formula(part.technique).replace(f"def {part.name}(", f"def schedule_{part.name}(", 1))
    cases, start = [], 0
    for i, part in enumerate(whole.parts):
        values = dict(part.values)
        steps = int(values.pop("steps"))
        last = i == len(whole.parts) - 1
        at = f"step - {start}" if start else "step"
        at = at if last and getattr(part.technique, "endless", False) else f"min({at}, {steps})"
        arguments = "".join(f", {name}={value!r}" for name, value in values.items())
        call = f"    return schedule_{part.name}({at}, steps={steps}{arguments})"
        start += steps
        cases.append(call if last else f"    if step < {start}:\n    {call}")
    body = "\n".join(cases) or "    return 1.0"
    doc = '"""Return what the learning rate is multiplied by at a step, counted from 0."""'
    return "\n\n\n".join([*formulas, f"def multiplier(step):\n    {doc}\n{body}"])


def _task_file(path: Path) -> str:
    """Return the task file's source, without what only a module or a main program needs.

    Raises:
        InputError: the file is gone, or defines a name that the script needs for itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the task's file {path} cannot be read: {error.strerror}") from error
    lines = text.splitlines()
    for node in reversed(ast.parse(text).body):
        match node:
            case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined) if defined in _TAKEN:
                raise InputError(
                    f"{path}, line {node.lineno}, defines {defined}, which the script needs for itself; rename it"
                )
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case ast.Expr(value=ast.Constant(value=str())) if node is ast.parse(text).body[0]:
                pass
            case _:
                continue
        del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines)


_HEAD = '''
"""{task} with {name}: one run, in plain PyTorch, written by thalweg and without need of it.

With this seed thalweg recorded a test {metric} of {test:.6g}.
"""
'''

_RECIPE = """
SEED = {seed}
BATCH_SIZE = {batch_size}
EPOCHS = {epochs}
OPTIMIZER = {values}
# What the formula keeps for each parameter, before the first step; the last SCALARS are plain numbers, not tensors.
START = {start}
SCALARS = {scalars}
"""

_IMPORTS = """
from __future__ import annotations

import hashlib
import math
import random
import sys
import types
from contextlib import contextmanager
from math import cos, pi
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.nn import functional as F
"""

_STANDIN = '''
class InputError(ValueError):
    """What a task's file raises for input that cannot be used."""


def unknown(what, name, known):
    """Return the error for a name that does not exist."""
    return InputError(f'unknown {what} "{name}"; known: {", ".join(known)}')


class Metric:
    """How good outputs are, example by example."""

    def __init__(self, name, outcomes, higher_is_better, unit=""):
        self.name, self.outcomes, self.higher_is_better, self.unit = name, outcomes, higher_is_better, unit


class Task:
    """What the task's file says, with its examples as tensors in three splits."""

    def __init__(self, *, model, loss, metric, data=None, train=None, valid=None, test=None, name="task",
                 splits=(0.6, 0.2, 0.2), standardize=False, dtype=torch.float32, seed=0, **_):
        self.model, self.loss, self.metric, self.name, self.dtype = model, loss, metric, name, dtype
        if data is None:
            parts = [self.tensors(part) for part in (train, valid, test)]
        else:
            inputs, targets = self.tensors(data)
            classes = targets.numpy() if targets.dim() == 1 and not targets.is_floating_point() else None
            parts = [(at(inputs, rows), targets[rows])
                     for rows in map(torch.from_numpy, split(len(targets), splits, seed, classes))]
        if standardize:
            scaled = globals()["standardize"](*[inputs for inputs, _ in parts])
            parts = [(inputs, targets) for inputs, (_, targets) in zip(scaled, parts)]
        self.train, self.valid, self.test = parts

    def tensors(self, data):
        """Return inputs and targets as tensors, numbers with fractions in the task's type."""
        if not (isinstance(data, (tuple, list)) and len(data) == 2):
            data = torch.utils.data.default_collate([data[i] for i in range(len(data))])
        inputs, targets = data
        if isinstance(inputs, dict):
            inputs = {name: self.tensor(x) for name, x in inputs.items()}
        elif isinstance(inputs, (tuple, list)):
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
    """Call the model as its inputs ask for."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
'''

_MODULE = """
# The task's file imports these names from thalweg; here they stand.
thalweg = types.ModuleType("thalweg")
thalweg.__dict__.update(Task=Task, Metric=Metric, InputError=InputError, Key=Key, accuracy=accuracy,
                        squared_error=squared_error, absolute_error=absolute_error,
                        split=split, standardize=standardize, unknown=unknown)
sys.modules["thalweg"] = thalweg
"""

_TRAINING = '''
def evaluate(model, task, part):
    """Return the metric of a split, the mean over its examples."""
    inputs, targets = part
    model.eval()
    with torch.no_grad():
        parts = [slice(i, i + 256) for i in range(0, len(targets), 256)]
        values = [task.metric.outcomes(predict(model, at(inputs, part)), targets[part]) for part in parts]
        if values[0].dim() == 0:
            return float(task.metric.outcomes(predict(model, inputs), targets))
    return torch.cat(values).double().mean().item()


def train(task):
    """Train the recipe once and return the model."""
    with (Key(SEED) / "init").seeded():
        model = task.model()
    model.to(task.dtype)
    inputs, targets = task.train
    parameters = [p for p in model.parameters() if p.requires_grad]
    kept = len(START) - SCALARS
    state = [[torch.full_like(p, value) for value in START[:kept]] + START[kept:] for p in parameters]
    forward = Key(SEED) / "forward"
    mask_key = torch.tensor(forward.integer(63))
    step = 0
    for epoch in range(EPOCHS):
        order = torch.from_numpy((Key(SEED) / "order" / epoch).permutation(len(targets)))
        total = torch.zeros((), dtype=torch.float64)
        starts = range(0, len(order), BATCH_SIZE)
        batches = [order[i : i + BATCH_SIZE] for i in starts]
        if len(batches) > 1 and len(batches[-1]) == 1:
            del batches[-1]  # batch norm cannot take one example
        for rows in batches:
            model.train()
            with CONTEXT:
                loss = task.loss(predict(model, at(inputs, rows)), targets[rows])
            model.zero_grad(set_to_none=False)
            loss.backward()
            total += loss.detach()
            values = {**OPTIMIZER, "lr": OPTIMIZER["lr"] * multiplier(step)}
            step += 1
            with torch.no_grad():
                for p, kept in zip(parameters, state):
                    g = p.grad if p.grad is not None else torch.zeros_like(p)
                    new, *kept[:] = FORMULA(p, g, *kept, t=step, **values)
                    p.copy_(new)
        loss = total.item() / len(batches)
        print(f"epoch {epoch + 1}: loss {loss:.4f}, valid {task.metric.name} {evaluate(model, task, task.valid):.6g}")
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    task = TASK
    model = train(task)
    print(f"test {task.metric.name} {evaluate(model, task, task.test):.6g}")
    torch.save(model.state_dict(), "weights.pt")
'''
