"""A formula on many runs at once: written for one run's tensors, called on stacks of them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from thalweg.technique import Technique

__all__ = ["on_rows", "on_shapes"]


def on_rows(
    technique: Technique,
    tensors: Sequence[Tensor],
    values: Sequence[Mapping[str, float]],
    of: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda formula: formula,
) -> tuple[Tensor, ...]:
    """Return what a formula returns for each row; a row's bits do not depend on the others.

    What is decided by hyperparameters alone, in statements of its own, is computed row by row as Python numbers. The
    rest are columns in float64, rounded once where they meet the tensors, exactly as a Python float is.

    Args:
        technique: whose formula.
        tensors: each of shape ``(runs, …)``; the formula sees one run's.
        values: one mapping a row.
        of: makes of the formula what is called in its place, such as ``torch.func.grad``.
    """
    decided, formula = _apart(technique)
    rows = [dict(row) for row in values]
    for row in rows:
        scope = {**technique.formula.__globals__, **row}
        for name, code in decided:
            row[name] = scope[name] = eval(code, scope)
    device = tensors[0].device
    columns = {name: torch.tensor([float(row[name]) for row in rows], dtype=torch.float64) for name in rows[0]}

    def one(mine: tuple[Tensor, ...], own: dict[str, Tensor]) -> Any:
        return of(partial(formula, **own))(*mine)

    if columns:
        found = vmap(one)(tuple(tensors), {name: column.to(device) for name, column in columns.items()})
    else:
        found = vmap(of(formula))(*tensors)
    return found if isinstance(found, tuple) else (found,)


def on_shapes(
    technique: Technique,
    tensors: Sequence[Tensor],
    values: Sequence[Mapping[str, float]],
    shapes: Sequence[tuple[int, ...]],
) -> Tensor:
    """Return what a formula returns first, for each row and each of the parameters that make up a row.

    Args:
        technique, values: as for `on_rows`.
        tensors: each of shape ``(runs, n)``.
        shapes: of the parameters, in order.
    """
    sizes = [torch.Size(shape).numel() for shape in shapes]
    pieces = zip(shapes, *(x.split(sizes, dim=1) for x in tensors), strict=True)
    done = [on_rows(technique, [x.reshape(len(x), *shape) for x in xs], values)[0] for shape, *xs in pieces]
    return torch.cat([x.reshape(len(x), -1) for x in done], dim=1)


@cache
def _apart(technique: Technique) -> tuple[list[tuple[str, CodeType]], Callable[..., Any]]:
    """Return the assignments that hyperparameters alone decide, as code, and the formula without them."""
    known = {name for name, p in _parameters(technique).items() if p.kind is p.KEYWORD_ONLY}
    decided, rest = [], []
    for statement in technique.statements():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _names(value) <= known:
                decided.append((name, compile(ast.Expression(value), f"<{technique.name}>", "eval")))
                known.add(name)
            case _:
                rest.append(statement)
    if not decided:
        return [], technique.formula
    tensors = [name for name, p in _parameters(technique).items() if p.kind is not p.KEYWORD_ONLY]
    source = f"def formula({', '.join([*tensors, '*', *sorted(known)])}):\n"
    source += "\n".join(f"    {ast.unparse(statement)}" for statement in rest)
    scope = dict(technique.formula.__globals__)
    exec(compile(source, f"<{technique.name}>", "exec"), scope)
    return decided, scope["formula"]


def _parameters(technique: Technique) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(technique.formula).parameters


def _names(value: ast.expr) -> set[str]:
    """Return the names in an expression, of functions that it calls left out."""
    called = {id(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name) and id(node) not in called}
