"""From what one types to a task: a built-in name, a CSV file, or ``my_task.py:task``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

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


def load_task(spec: str, *, target: str | None = None) -> Task:
    """Return the task that ``spec`` names.

    Args:
        spec: a built-in name; a CSV file; or ``my_task.py:task``, an attribute of a Python file that is a `Task`
            or a function that returns one.
        target: the column of a CSV file that is predicted.

    Raises:
        InputError: there is no such task, file or attribute, or making it failed; one sentence says where.

    >>> load_task("wine")
    <Task wine: 106 train, 36 valid, 36 test, accuracy>
    """
    if target is not None and not _is_table(spec):
        raise InputError(f"--target names a column of a CSV file, and {spec} is not one")
    if _is_table(spec):
        return _from_table(spec, target)
    if spec.endswith(".py") or ".py:" in spec:
        return _from_file(spec)
    if spec not in _BUILTIN:
        if Path(spec).exists():
            raise InputError(f"{spec} is neither a CSV file (.csv, .tsv) nor a Python file (.py)")
        raise unknown("task", spec, _BUILTIN)
    home, expression, _ = _BUILTIN[spec]
    module = importlib.import_module(f"thalweg.task.{home}")
    return _made(eval(expression, vars(module)), Origin(spec, Path(module.__file__ or ""), expression))


def _made(task: Task, origin: Origin) -> Task:
    task.origin = origin
    return task


def _is_table(spec: str) -> bool:
    return spec.lower().endswith((".csv", ".tsv"))


def _from_table(spec: str, target: str | None) -> Task:
    tabular: Any = importlib.import_module("thalweg.task.tabular")

    path = Path(spec)
    if not path.exists():
        raise InputError(f"there is no file {spec}")
    if target is None:
        columns = ", ".join(tabular.read_rows(path)[0])
        raise InputError(f"say which column of {spec} is predicted, with --target; it has {columns}")
    expression = f"from_csv({str(path.resolve())!r}, {target!r})"
    return _made(tabular.from_csv(path, target), Origin(spec, Path(tabular.__file__), expression))


def _from_file(spec: str) -> Task:
    name, _, attribute = spec.rpartition(":") if ".py:" in spec else (spec, "", "task")
    path = Path(name)
    if not path.exists():
        raise InputError(f"there is no file {name}")
    module = _load(path)
    if not hasattr(module, attribute):
        known = [n for n, value in vars(module).items() if isinstance(value, Task)]
        raise unknown(f"task in {name}:", attribute, known or [n for n in vars(module) if not n.startswith("_")])
    found, expression = getattr(module, attribute), attribute
    if not isinstance(found, Task) and callable(found) and not isinstance(found, type):
        expression = f"{attribute}()"
        found = _guarded(path, found)
    if not isinstance(found, Task):
        raise InputError(f"{spec} is a {type(found).__name__}, not a thalweg.Task")
    if found.name == "task":
        found.name = path.stem
    return _made(found, Origin(spec, path.resolve(), expression))


def _load(path: Path) -> Any:
    """Run a Python file as a module; its own folder can be imported from."""
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}," if isinstance(error, SyntaxError) else ""
        raise InputError(f"{path}{line} is not Python: {getattr(error, 'msg', error)}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    name = f"thalweg_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader = spec.loader
    _guarded(path, lambda: loader.exec_module(module))
    return module


def _guarded(path: Path, call: Any) -> Any:
    """Call, and turn whatever the user's file raises into one sentence with its line."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        here = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path.resolve())]
        line = f", line {here[-1].lineno}" if here else ""
        what = str(error) if isinstance(error, InputError) else first_line(error)
        raise InputError(f"{path}{line}: {what}") from error
