"""Sources of ours as they go into an exported script: as they stand, each after what it calls."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from types import ModuleType
from typing import Any

__all__ = ["add_sources", "formula", "source", "tail"]

_STANDINS = ("InputError", "unknown", "Key")
"""What every script has."""


def add_sources(thing: Any, found: dict[str, str]) -> None:
    """Add a function's or class's source to those found, after the functions, classes and constants that it names.

    Args:
        thing: of ours.
        found: sources by name, in the order of the script; functions are without their declarations.
    """
    text = source(thing) if inspect.isclass(thing) else formula(thing)
    module = sys.modules[thing.__module__]
    for node in ast.walk(ast.parse(text)):
        name = node.id if isinstance(node, ast.Name) else ""
        if name in found or name in _STANDINS or name == thing.__name__ or name not in vars(module):
            continue
        named = vars(module)[name]
        if (inspect.isfunction(named) or inspect.isclass(named)) and named.__module__.startswith("thalweg."):
            add_sources(named, found)
        elif isinstance(named, int | float | str | tuple) and (line := _assigned(module, name)):
            found[name] = line
    found[thing.__name__] = text.rstrip()


def _assigned(module: ModuleType, name: str) -> str:
    """Return the line in which a module gives a name its value, if there is one."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id == name for x in node.targets):
            return ast.unparse(node)
    return ""


def source(thing: Any) -> str:
    """Return a function's or class's source, at the left margin."""
    return textwrap.dedent(inspect.getsource(thing))


def tail(module: ModuleType, start: str, end: str | None = None) -> str:
    """Return a module's source from one line on, up to another."""
    whole = inspect.getsource(module)
    whole = whole[whole.index(f"\n{start}") :]
    return whole if end is None else whole[: whole.index(f"\n{end}")]


def formula(function: Any) -> str:
    """Return a formula's source without its declaration."""
    lines = source(function).splitlines()
    return "\n".join(lines[next(i for i, line in enumerate(lines) if line.startswith("def ")) :])
