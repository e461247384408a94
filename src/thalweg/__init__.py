"""thalweg: which training recipe for my model and my data, and how sure can I be?

Everything named here is loaded when it is first used, so that ``import thalweg`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.errors import InputError

if TYPE_CHECKING:
    from thalweg.key import Key
    from thalweg.task import Metric, Task, absolute_error, accuracy, squared_error

__version__ = "0.1.0"

_HOME = {
    "Key": "key",
    "Metric": "task",
    "Task": "task",
    "absolute_error": "task",
    "accuracy": "task",
    "squared_error": "task",
}

__all__ = ["InputError", "Key", "Metric", "Task", "absolute_error", "accuracy", "squared_error"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'thalweg' has no attribute {name!r}")
    home = import_module(f"thalweg.{_HOME[name]}")
    return home if name == _HOME[name] else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
