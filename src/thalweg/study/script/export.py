"""A recipe of a study as one plain PyTorch script: nobody is locked in.

The script is made of sources as they stand: the formula, the schedule, the task's own file, the keyed random
numbers. It trains the same model on the same batches in the same order, without thalweg.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from thalweg import errors, key, optim, schedule
from thalweg.average import _batch_norm
from thalweg.errors import InputError, unknown
from thalweg.recipe import Recipe
from thalweg.record import RunRecord, Store, StoreError
from thalweg.study.script import augmenting, passes, shape, text
from thalweg.study.script.loop import beginning, changes_evaluation, loop
from thalweg.study.script.names import bound, give_way
from thalweg.study.script.sources import add_sources, formula, source, tail
from thalweg.task import metric, padding, splits
from thalweg.task.loading import task_of
from thalweg.train import counter, dropout, noise, stacked

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
            if store.get("lottery") is not None:
                raise InputError(
                    f"{directory} holds a lottery, whose ticket.pt2 asks for nothing but PyTorch already"
                )
            runs = store.runs()
            entries = [e for e in store.entries("chosen") if e.recipe == chosen and e.run in runs]
    except StoreError as error:
        raise InputError(str(error)) from error
    if verdict and name is None and names[1:] and chosen is None:
        raise InputError(f"the study in {directory} has no best recipe to export: {verdict['sentences'][0]}")
    records = [runs[entry.run] for entry in entries] or (list(runs.values()) if not names[1:] else [])
    if not records:
        raise InputError(f"the study in {directory} is not finished; run its command again, then export")
    if all(record.status == "diverged" for record in records):
        raise InputError(
            f"every run of {chosen or names[0]} diverged ({records[0].reason.rstrip('.')}): a script of it would too"
        )
    if task.get("origin") is None:
        raise InputError(
            f"the task {task.get('name')} was made in Python, not by a file; put it into my_task.py, "
            "compare my_task.py:task, and export that"
        )
    record = records[0]
    recipe = Recipe.from_toml(record.recipe)
    return _script(task, recipe, record, chosen or names[0])


def _script(task: dict[str, Any], recipe: Recipe, record: RunRecord, name: str) -> str:
    augmenting.check(recipe)
    origin = task["origin"]
    optimizer = recipe.optimizer.technique
    assert isinstance(optimizer, optim.Optimizer)
    path = Path(origin["file"])
    theirs = _task_file(path)
    batch_size, epochs = recipe.sizes()
    looked = task_of(Path(origin["file"]), origin["expression"]) if shape.looks_at(recipe) else None
    pads = task.get("padding") or _says_padding(theirs)
    before = [
        "# ---- the recipe",
        text.RECIPE.format(
            seed=record.seed,
            batch_size=batch_size,
            epochs=epochs,
            values=dict(recipe.optimizer),
        )
        + _settings(recipe)
        + shape.settings(recipe)
        + passes.settings(recipe),
        *_formulas(recipe),
        beginning(optimizer),
        _schedule(recipe.schedule.resolved(record.steps)),
        "# ---- random numbers: each a function of its key",
        source(key.Key),
        *(_keyed() if passes.has_masks(task, recipe) else []),
        *(_hidden() if task.get("hidden") else []),
        *([source(counter.normals), tail(noise, "_DIGITS = ")] if task.get("noise") else []),
        "# ---- the task",
        source(splits.split),
        source(splits.standardize),
        text.STANDIN,
        *([tail(padding, "IGNORED = ", "def checked"), text.PADDED] if pads else []),
        tail(metric, "def _correct"),
        augmenting.module(text.MODULE.replace("Task=Task", "Task=PaddedTask") if pads else text.MODULE, recipe),
        _where(path, theirs),
    ]
    changes = [part for part in shape.functions(looked, recipe, record.seed) if part not in before]
    after = [
        *(["# ---- what the recipe changes", *changes] if changes else []),
        "# ---- training",
        *passes.functions(task, recipe),
        tail(_batch_norm, "def batch_norms") if changes_evaluation(recipe) else "",
        loop(task, recipe),
    ]
    ours = "\n\n\n".join(part.strip("\n") for part in (*before, _MARK, *after) if part.strip())
    ours = re.sub(r"  # (noqa: [\w, ]+|fmt: skip)$", "", ours, flags=re.MULTILINE)
    ours = give_way(f"{_imports(ours)}\n\n\n{ours}", bound(theirs)).replace("TASK_EXPRESSION", origin["expression"])
    without = "with its augmentation alone" if recipe.augment.parts else "without need of it"
    head = text.HEAD.format(
        task=task["name"], name=name, metric=task["metric"]["name"], test=record.test, without=without
    )
    return f"{head.strip()}\n\n{ours.replace(_MARK, _MARK + chr(10) * 3 + theirs.strip(chr(10)))}\n"


_MARK = "# ---- the task's own file"


def _imports(ours: str) -> str:
    """Return the imports that the script's own parts need."""
    used = {node.id for node in ast.walk(ast.parse(ours)) if isinstance(node, ast.Name)}
    lines = []
    for line in text.IMPORTS.strip().splitlines():
        names = [name for name in bound(line) if name in used or name == "annotations"] if line else []
        if names and line.startswith("from"):
            lines.append(f"{line.partition(' import ')[0]} import {', '.join(names)}" if " as " not in line else line)
        elif names or not line:
            lines.append(line)
    return "\n".join(lines)


def _where(path: Path, theirs: str) -> str:
    """Return lines that let the task's file find what lies beside it."""
    lines = []
    if "__file__" in theirs:
        lines.append(f"__file__ = {str(path)!r}  # the task's file asks where it is")
    beside = {what.partition(".")[0] for what in bound(theirs).values() if what}
    if any((path.parent / f"{name}.py").exists() or (path.parent / name / "__init__.py").exists() for name in beside):
        lines.append(f"sys.path.insert(0, {str(path.parent)!r})  # the task's file imports from there")
    return "\n".join(lines)


def _says_padding(theirs: str) -> bool:
    """Return whether a task's file makes any task with padding, be it another one."""
    calls = [node for node in ast.walk(ast.parse(theirs)) if isinstance(node, ast.Call)]
    tasks = [call for call in calls if ast.unparse(call.func).endswith("Task")]
    return any(keyword.arg == "padding" for call in tasks for keyword in call.keywords)


def _settings(recipe: Recipe) -> str:
    """Return the lines for what a recipe has beside its optimizer and schedule."""
    lines = []
    optimizer = recipe.optimizer.technique
    if isinstance(optimizer, optim.Optimizer) and optimizer.vectors is not None:
        lines.append(f"VECTORS = {optimizer.vectors.values(dict(recipe.optimizer))}  # for parameters with one axis")
    if recipe.gradient.parts:
        lines.append(f"GRADIENT = {[dict(part) for part in recipe.gradient.parts]}")
    for role in ("average", "wrapper"):
        part = getattr(recipe, role)
        if part is not None:
            lines.append(f"{role.upper()} = {part.technique.how(dict(part))}")
    return "".join(f"{line}\n" for line in lines)


def _formulas(recipe: Recipe) -> list[str]:
    """Return the sources of the recipe's formulas, each after what it calls."""
    optimizer = recipe.optimizer.technique
    assert isinstance(optimizer, optim.Optimizer)
    techniques: list[Any] = [optimizer.vectors, *(part.technique for part in recipe.gradient.parts)]
    techniques += [part.technique for part in (recipe.wrapper, recipe.average) if part is not None]
    functions = [technique.formula for technique in (optimizer, *techniques) if technique is not None]
    functions += [*optimizer.shapes.values(), *([optimizer.evaluate] if optimizer.evaluate else [])]
    found: dict[str, str] = {}
    for function in functions:
        add_sources(function, found)
    return list(found.values())


def _keyed() -> list[str]:
    """Return the sources of dropout whose masks have keys."""
    return [tail(counter, "# splitmix64's", "def normals("), tail(dropout, "_WHOLE = ", "# -- what modules of")]


def _hidden() -> list[str]:
    """Return the sources of what stands in for torch's own layers that drop."""
    found: dict[str, str] = {}
    for ours in sorted(stacked.TAKES_DROPOUT, key=lambda ours: ours.__name__):
        add_sources(ours, found)
    return [*found.values(), text.HIDDEN]


def _schedule(whole: schedule.Schedule) -> str:
    """Return the source of the schedule's formulas and of ``multiplier(step)``, its parts one after the other."""
    named, formulas = set(), []
    for part in whole.parts:
        if part.name not in named:
            named.add(part.name)
            source = formula(part.technique.formula)
            formulas.append(source.replace(f"def {part.name}(", f"def schedule_{part.name}(", 1))
    cases, watching, start = [], [], 0
    seen = {i: state for i, state in enumerate(whole.start()) if state}
    for i, part in enumerate(whole.parts):
        values = dict(part.values)
        steps = int(values.pop("steps"))
        last = i == len(whole.parts) - 1
        at = f"step - {start}" if start else "step"
        at = at if last and getattr(part.technique, "endless", False) else f"min({at}, {steps})"
        arguments = "".join(f", {name}={value!r}" for name, value in {"steps": steps, **values}.items())
        call, after = f"schedule_{part.name}({at}{arguments})", "seen"
        if i in seen:
            call, after = f"seen[{i}][0]", f"{{**seen, {i}: schedule_{part.name}(metric, *seen[{i}]{arguments})}}"
        start += steps
        cases.append(f"    return {call}" if last else f"    if step < {start}:\n        return {call}")
        watching.append(f"    return {after}" if last else f"    if step <= {start}:\n        return {after}")
    takes = "step, seen" if seen else "step"
    parts = [f"def multiplier({takes}):\n    {_MULTIPLIER}", *(cases or ["    return 1.0"])]
    made = [*formulas, "\n".join(parts)]
    if seen:
        made.append("\n".join([f"def observe(seen, metric, step):\n    {_OBSERVE}", *watching]))
        made.append(
            f"SEEN = {seen!r}  # by the part of the schedule, before the first metric; the multiplier is first"
        )
    return "\n\n\n".join(made)


_MULTIPLIER = '"""Return what the learning rate is multiplied by at a step, counted from 0."""'
_OBSERVE = '"""Return what has been seen after a metric, lower is better, when so many steps have been taken."""'


_OURS = Path(errors.__file__).parent


def _task_file(path: Path, found: set[str] | None = None) -> str:
    """Return the task file's source, without what only a module or a main program needs.

    Where it is one of ours, what it imports from others of ours stands before it, but for those already ``found``.

    Raises:
        InputError: the file is gone, or is no longer Python.
    """
    try:
        source = path.read_text(encoding="utf-8")
        body = ast.parse(source).body
    except OSError as error:
        raise InputError(f"the task's file {path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise InputError(f"the task's file {path} is not Python any more: {error}") from error
    found = {"thalweg.errors"} if found is None else found
    lines, before = source.splitlines(), []
    for node in body:
        if isinstance(node, ast.ImportFrom) and _of_ours(path, node) and node.module not in found:
            found.add(str(node.module))
            before.append(_task_file(_OURS.joinpath(*str(node.module).split(".")[1:]).with_suffix(".py"), found))
    for i, node in reversed(list(enumerate(body))):
        match node:
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.ImportFrom() if _of_ours(path, node):
                pass
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                pass
            case ast.Expr(value=ast.Constant(value=str())) if i == 0:
                pass
            case _:
                continue
        del lines[node.lineno - 1 : node.end_lineno]
    return "\n\n\n".join([*before, "\n".join(lines)])


def _of_ours(path: Path, node: ast.ImportFrom) -> bool:
    """Return whether a file of ours imports from another one, and not from what every script has."""
    return (node.module or "").startswith("thalweg.") and _OURS in path.resolve().parents
