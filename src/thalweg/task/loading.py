"""From what one types to a task: a built-in name, a file or folder of data, or ``my_task.py:task``."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from thalweg.errors import InputError, unknown
from thalweg.task.reading import first_line
from thalweg.task.task import Origin, Task

__all__ = ["builtin_tasks", "load_task"]

_BUILTIN = {
    "digits": ("digits", "digits()", "1,797 handwritten digits, 8 × 8 pixels, with a small MLP"),
    "digits-cnn": ("digits", 'digits("cnn")', "the same with a two-layer convolutional network"),
    "wine": ("tables", "wine()", "178 wines, 13 measurements, three cultivars"),
    "breast_cancer": ("tables", "breast_cancer()", "569 tumours, 30 measurements, malignant or benign"),
    "diabetes": ("tables", "diabetes()", "442 patients, 10 measurements, progression after a year (a quantity)"),
    "docstrings": ("docstrings", "docstrings()", "which standard-library package does a docstring come from?"),
    "pysource": ("pysource", "pysource()", "the next byte of the standard library's source, with a transformer"),
}


def builtin_tasks() -> dict[str, str]:
    """Return the built-in tasks: names, and what they are."""
    return {name: summary for name, (_, _, summary) in _BUILTIN.items()}


def load_task(
    spec: str | os.PathLike[str],
    *,
    target: str | None = None,
    text: str | None = None,
    drop: Sequence[str] = (),
    size: int | str | tuple[int, int] | None = None,
    missing: str | None = None,
    metric: str | None = None,
) -> Task:
    """Return the task that ``spec`` names.

    A CSV file is a table, but for two cases. If the values of a column are all names of pictures (``.png``, ``.jpg``
    and so on), the target is predicted from the pictures there. If the only column beside the target is free text
    (four fifths of its values differ, and half of them have three words or more), it is predicted from the texts.

    Args:
        spec: a built-in name; a CSV file; a folder of pictures with a subfolder for each class; an ``.npz`` file of
            arrays such as ``x`` and ``y``; or ``my_task.py:task``, an attribute of a Python file that is a `Task`
            or a function that returns one.
        target: the column of a CSV file that is predicted.
        text: the column of a CSV file with the texts to predict from, whatever the others are.
        drop: columns of a CSV file that are not to be predicted from.
        size: of pictures from files: pixels a side, or height and width; ``64``, ``"64"``, ``"48x64"``, ``(48, 64)``.
        missing: what to do with missing values of a CSV file, which are refused if it is not given: ``"fill"`` takes
            numbers as the median of train, with an input that says where, and categories as one more, and leaves
            out rows without a target; ``"drop"`` leaves out all rows with one.
        metric: what the task of a file or folder is judged by: ``"accuracy"`` or ``"balanced_accuracy"`` for
            classes; ``"relative_squared_error"``, ``"squared_error"`` or ``"absolute_error"`` for a quantity.

    Raises:
        InputError: there is no such task, file or attribute, or making it failed; one sentence says where.

    >>> load_task("wine")
    <Task wine: 106 train, 36 valid, 36 test, accuracy>
    """
    if not isinstance(spec, str | os.PathLike):
        raise InputError(f"load_task takes a built-in name or a file, not a {type(spec).__name__}")
    spec = os.fspath(spec)
    for option, column in (("target", target), ("text", text), *(("drop", name) for name in drop)):
        if column is not None and not _is_table(spec):
            raise InputError(f"--{option} names a column of a CSV file, and {spec} is not one")
    if missing is not None and not _is_table(spec):
        raise InputError(f"--missing is about the values of a CSV file, and {spec} is not one")
    judged = {} if metric is None else {"metric": metric}
    if _is_table(spec):
        return _from_table(spec, target, text, drop, size, judged | ({} if missing is None else {"missing": missing}))
    if metric is not None and (spec in _BUILTIN or spec.endswith(".py") or ".py:" in spec):
        raise InputError(f"--metric is that of a file or folder of data; the task {spec} says its own, as metric=")
    if spec.endswith(".py") or ".py:" in spec:
        _without(size, spec)
        return _from_file(spec)
    if spec not in _BUILTIN and os.path.isdir(spec):  # noqa: PTH112 – Path.is_dir raises for names that are too long
        return _from_data(spec, "images", "from_folder", **({} if size is None else {"size": _sides(size)}), **judged)
    _without(size, spec)
    if spec.lower().endswith(".npz"):
        return _from_data(spec, "arrays", "from_npz", **judged)
    if spec not in _BUILTIN:
        if _exists(spec):
            raise InputError(f"{spec} is neither a CSV file (.csv, .tsv), .npz, a Python file (.py), nor a folder")
        if os.sep in spec or "." in spec:
            raise InputError(f"there is no file or folder {spec}")
        raise unknown("task", spec, _BUILTIN)
    home, expression, _ = _BUILTIN[spec]
    module = importlib.import_module(f"thalweg.task.{home}")
    return _made(eval(expression, vars(module)), Origin(spec, Path(module.__file__ or ""), expression))


def task_of(file: Path, expression: str) -> Task:
    """Return the task that an expression in a Python file makes; the file is this package's or a user's.

    Raises:
        InputError: the file cannot be run, or the expression makes no task any more.
    """
    own = Path(__file__).parent
    module = importlib.import_module(f"thalweg.task.{file.stem}") if file.parent == own else _load(file)
    found = _guarded(file, lambda: eval(expression, dict(vars(module))))
    if not isinstance(found, Task):
        raise InputError(f"{file}: {expression} is a {type(found).__name__}, and must be a thalweg.Task")
    return found


def _made(task: Task, origin: Origin) -> Task:
    task.origin = origin
    return task


def _is_table(spec: str) -> bool:
    return spec.lower().endswith((".csv", ".tsv"))


def _from_table(spec: str, target: str | None, text: str | None, drop: Sequence[str], size: Any, how: Any) -> Task:
    """Return the task of a CSV file, a table, pictures or texts; ``how`` values are missing and it is judged."""
    columns: Any = importlib.import_module("thalweg.task.columns")
    images: Any = importlib.import_module("thalweg.task.images")
    texts: Any = importlib.import_module("thalweg.task.texts")

    path = _existing(spec)
    if target is None:
        names = columns.read_rows(path)[0]
        shown = ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
        raise InputError(f"say which column of {spec} is predicted, with --target; it has {shown}")
    if text in drop:
        raise InputError(f'"{text}" of {path.name} is what is predicted from, and cannot be dropped')
    values, _, _ = columns.read_columns(path, target, drop)
    pictures = images.named_in(values) if text is None else None
    text = texts.free_text(values) if text is None and pictures is None else text
    if pictures is None:
        _without(size, spec)
    else:
        more = {} if size is None else {"size": _sides(size)}
        return _from_data(spec, "images", "from_csv", target, pictures, **more, **how)
    if text is not None:
        return _from_data(spec, "texts", "from_csv", target, text, **how)
    return _from_data(spec, "tabular", "from_csv", target, **({"drop": tuple(drop)} if drop else {}), **how)


def _without(size: Any, spec: str) -> None:
    if size is not None:
        raise InputError(f"--size is that of pictures from files, and {spec} names none")


def _sides(size: Any) -> Any:
    images: Any = importlib.import_module("thalweg.task.images")
    return images.sides(size)


def _from_data(spec: str, home: str, call: str, *arguments: Any, **named: Any) -> Task:
    """Return the task that a function of this package makes of a user's data."""
    path = _existing(spec)
    module: Any = importlib.import_module(f"thalweg.task.{home}")
    written = [repr(str(path.resolve())), *map(repr, arguments), *(f"{name}={x!r}" for name, x in named.items())]
    task: Task = getattr(module, call)(path, *arguments, **named)
    return _made(task, Origin(spec, Path(module.__file__), f"{call}({', '.join(written)})", of_data=True))


def _from_file(spec: str) -> Task:
    name, _, attribute = spec.rpartition(":") if ".py:" in spec else (spec, "", "task")
    path = _existing(name)
    module = _load(path)
    if not hasattr(module, attribute):
        mine = [n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__ and n[0] != "_"]
        tasks = [n for n, x in vars(module).items() if isinstance(x, Task)]
        raise unknown(f"task in {name}:", attribute, [*tasks, *mine])
    found, expression = getattr(module, attribute), attribute
    if callable(found) and not isinstance(found, Task | type | nn.Module):
        expression = f"{attribute}()"
        found = _guarded(path, found)
    if not isinstance(found, Task):
        kind = found.__name__ if isinstance(found, type) else f"a {type(found).__name__}"
        raise InputError(f"{name}:{expression} is {kind}, and must be a thalweg.Task or a function that returns one")
    if found.name == "task":
        found.name = path.stem
    return _made(found, Origin(spec, path.resolve(), expression))


def _existing(name: str) -> Path:
    """Return the path of a file that is there; otherwise suggest its neighbour of a similar name."""
    path = Path(name)
    if _exists(name):
        return path
    folder = path.parent
    beside = [x.name for x in folder.iterdir() if x.suffix == path.suffix] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    remedy = f"did you mean {folder / near[0]}?" if near else "look at its path"
    raise InputError(f"there is no file {name}; {remedy}")


def _exists(name: str) -> bool:
    return os.path.exists(name)  # noqa: PTH110 – Path.exists raises for names that are too long


def _load(path: Path) -> Any:
    """Run a Python file as a module; its own folder can be imported from."""
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}," if isinstance(error, SyntaxError) and error.lineno else ""
        raise InputError(f"{path}{line} is not Python: {getattr(error, 'msg', error)}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    name = f"thalweg_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _look_beside(path.resolve().parent)
    loader = spec.loader
    try:
        _guarded(path, lambda: loader.exec_module(module))
    except InputError:
        sys.modules.pop(name, None)
        raise
    return module


_FOLDERS: list[str] = []
"""Where task files were loaded from, the last one first."""


def _look_beside(folder: Path) -> None:
    """Have imports look in a task file's own folder first, and forget what another's folder gave by the same name."""
    here = str(folder)
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None) or ""
        root = name.partition(".")[0]
        elsewhere = any(origin.startswith((f"{f}/{root}.py", f"{f}/{root}/")) for f in _FOLDERS if f != here)
        if elsewhere and ((folder / f"{root}.py").exists() or (folder / root).is_dir()):
            del sys.modules[name]
    for places in (_FOLDERS, sys.path):
        if here in places:
            places.remove(here)
        places.insert(0, here)


def _guarded(path: Path, call: Any) -> Any:
    """Call, and turn whatever the user's file raises into one sentence with its line."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        here = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.resolve())]
        line = f", line {here[-1].lineno}" if here else ""
        what = first_line(error)
        if isinstance(error, SystemExit):
            what = 'it ends the program; put that under if __name__ == "__main__"'
        raise InputError(f"{path}{line}: {what}") from error
