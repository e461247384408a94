"""Two sources in one file: where both give a meaning to a name, one of them gives way.

A task's file may well define ``train`` or ``SEED``; it stands in the script as its author wrote it, so it is the
script's own names that change.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

__all__ = ["bound", "give_way"]


def bound(text: str) -> dict[str, str]:
    r"""Return the names that a module's top level binds, each with what it imports, or ``""``.

    >>> bound("import numpy as np\nfrom math import pi\nSEED = 0\ndef f(x): y = x")
    {'np': 'numpy', 'pi': 'math.pi', 'SEED': '', 'f': ''}
    """
    found: dict[str, str] = {}
    for node in _top(ast.parse(text)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = ""
            case ast.AsyncFunctionDef(name=name) | ast.ExceptHandler(name=str(name)):
                found[name] = ""
            case ast.Import(names=names):
                for alias in names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    found[alias.asname or whole] = whole
            case ast.ImportFrom(module=module, names=names):
                for alias in names:
                    found[alias.asname or alias.name] = f"{module}.{alias.name}"
    return found


def _top(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs at the top level: no bodies of functions and classes."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _top(child)


def give_way(ours: str, theirs: Mapping[str, str]) -> str:
    r"""Return a source with its top-level names changed where ``theirs`` gives them another meaning.

    Only names change: attributes, keywords, strings and what a function calls so for itself stay.

    >>> print(give_way("def train(data, seed):\n    return data.train(seed=seed)\ntrain(1, 2)", {"train": ""}))
    def train_(data, seed):
        return data.train(seed=seed)
    train_(1, 2)
    """
    own = bound(ours)
    taken = {name for name, what in theirs.items() if name in own and (what != own[name] or not what)}
    new = {name: f"{name}_" for name in taken}
    lines = [line.encode() for line in ours.splitlines()]
    places = set(_places(ast.parse(ours), frozenset(taken)))
    for row, column, name, with_as in sorted(places, reverse=True):
        line = lines[row - 1]
        text = f"{name} as {new[name]}" if with_as else new[name]
        assert line[column:].startswith(name.encode()), "a name stands where the syntax tree says"
        lines[row - 1] = line[:column] + text.encode() + line[column + len(name.encode()) :]
    return b"\n".join(lines).decode()


def _places(node: ast.AST, names: frozenset[str]) -> Iterator[tuple[int, int, str, bool]]:
    """Yield where a name of the top level stands: row, column in bytes, name, and whether it needs an ``as``."""
    match node:
        case ast.Name(id=name, lineno=row, col_offset=column) if name in names:
            yield row, column, name, False
        case ast.alias(name=name, asname=None, lineno=row, col_offset=column) if name in names:
            yield row, column, name, True
        case ast.alias(name=name, asname=str(other), lineno=row, col_offset=column) if other in names:
            yield row, column + len(f"{name} as "), other, False
        case ast.FunctionDef(name=name, lineno=row, col_offset=column) if name in names and column == 0:
            yield row, len("def "), name, False
        case ast.ClassDef(name=name, lineno=row, col_offset=column) if name in names and column == 0:
            yield row, len("class "), name, False
    if isinstance(node, ast.FunctionDef):
        for outer in (*node.decorator_list, node.returns, *_outside(node.args)):
            if outer is not None:
                yield from _places(outer, names)
        inside = names - _locals(node)
        for statement in node.body:
            yield from _places(statement, inside)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _places(child, names)


def _outside(arguments: ast.arguments) -> list[ast.expr | None]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [*arguments.defaults, *arguments.kw_defaults, *(a.annotation for a in every if a is not None)]


def _locals(function: ast.FunctionDef) -> frozenset[str]:
    """Return the names that a function binds for itself: its parameters, and what it assigns to."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(stored | {a.arg for a in every if a is not None})
