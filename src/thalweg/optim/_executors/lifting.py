"""A formula taken apart: what its hyperparameters and the step alone decide, and what is left for each element.

The first is computed once a step in float64; the second sees it as constants, rounded once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from thalweg.optim._technique import Optimizer

__all__ = ["BEFORE", "Lifted", "lift"]

BEFORE = {"maximize": "g = -g", "weight_decay": "g = g + weight_decay * p"}
"""What may stand before a formula, whichever it is: climbing, and a decay that is coupled to the gradient."""


@dataclass(frozen=True)
class Lifted:
    """An ``element`` formula in two parts.

    Attributes:
        constants: ``(t, *scalars, *hyperparameters)`` to the constants and the scalars after the step, float64.
        elements: ``(p, g, *state, *constants)`` to the new ``p`` and state, as a function.
        count: how many constants there are.
        hyperparameters: what ``constants`` takes last, in order.
        inputs: the names that differ from element to element: ``p``, ``g`` and the state.
        body: assignments left for each element; ``c0``, ``c1``, … stand for the constants.
        outputs: the new ``p`` and the new state, as expressions.
    """

    constants: Callable[..., tuple[tuple[float, ...], tuple[float, ...]]]
    elements: Callable[..., tuple[Any, ...]]
    count: int
    hyperparameters: tuple[str, ...]
    inputs: tuple[str, ...]
    body: tuple[tuple[str, ast.expr], ...]
    outputs: tuple[ast.expr, ...]


@cache
def lift(technique: Optimizer, before: tuple[str, ...] = ()) -> Lifted:
    """Return a formula taken apart.

    Args:
        technique: an optimizer of scope ``element``.
        before: names in `BEFORE` of what stands before it.
    """
    parameters = technique.parameters
    inputs = parameters[: 2 + len(technique.state)]
    prefix = ast.parse("\n".join(BEFORE[name] for name in before)).body
    hyperparameters = [*technique.hyperparameters, *(name for name in before if name == "weight_decay")]
    split = _Split({"t", *technique.scalars, *hyperparameters})
    body: list[tuple[str, ast.expr]] = []
    outputs: list[ast.expr] = []
    after: list[ast.expr] = []
    for statement in (*prefix, *technique.statements()):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if split.is_lifted(value):
                    split.keep(name, value)
                else:
                    body.append((name, split.visit(value)))
                    split.lifted.discard(name)
            case ast.Return(value=value):
                values = value.elts if isinstance(value, ast.Tuple) else [value]
                assert value is not None, "a formula returns what it has made"
                outputs = [split.visit(v) for v in values[: len(inputs) - 1] if v is not None]
                after = [v for v in values[len(inputs) - 1 :] if v is not None]
    named = [f"c{i}" for i in range(split.count)]
    decided: ast.expr = _tuple([_tuple([ast.Name(name) for name in named]), _tuple(after)])
    constants = _function("constants", ["t", *technique.scalars, *hyperparameters], split.statements, decided)
    work = [ast.Assign([ast.Name(name, ast.Store())], value) for name, value in body]
    elements = _function("elements", [*inputs, *named], work, _tuple(outputs))
    scope = dict(technique.formula.__globals__)
    for function in (constants, elements):
        exec(compile(function, f"<{technique.name}>", "exec"), scope)
    return Lifted(
        scope["constants"], scope["elements"], split.count, tuple(hyperparameters), tuple(inputs),
        tuple(body), tuple(outputs),
    )  # fmt: skip


class _Split(ast.NodeTransformer):
    """Replaces every largest sub-expression of lifted names alone by a constant, and writes down how it is made."""

    def __init__(self, lifted: set[str]) -> None:
        self.lifted = lifted
        self.count = 0
        self.statements: list[ast.stmt] = []

    def is_lifted(self, node: ast.AST) -> bool:
        called = {id(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
        return all(n.id in self.lifted for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called)

    def keep(self, name: str, value: ast.expr) -> None:
        self.statements.append(ast.Assign([ast.Name(name, ast.Store())], value))
        self.lifted.add(name)

    def visit(self, node: Any) -> Any:
        if not isinstance(node, ast.expr) or not self.is_lifted(node):
            return super().visit(node)
        return node if isinstance(node, ast.Constant) else self._constant(node)

    def _constant(self, node: ast.expr) -> ast.Name:
        name = f"c{self.count}"
        self.count += 1
        self.statements.append(ast.Assign([ast.Name(name, ast.Store())], node))
        return ast.Name(name, ast.Load())

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Divide by multiplying with a reciprocal, which is a constant too, and many times quicker."""
        if isinstance(node.op, ast.Div) and self.is_lifted(node.right):
            inverse = ast.BinOp(ast.Constant(1.0), ast.Div(), node.right)
            return ast.BinOp(self.visit(node.left), ast.Mult(), self._constant(inverse))
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        node.args = [self.visit(argument) for argument in node.args]
        return node


def _tuple(values: Sequence[ast.expr]) -> ast.Tuple:
    return ast.Tuple(list(values), ast.Load())


def _function(name: str, parameters: Sequence[str], body: Sequence[ast.stmt], result: ast.expr) -> ast.Module:
    arguments = ast.arguments([], [ast.arg(parameter) for parameter in parameters], None, [], [], None, [])
    module = ast.Module([ast.FunctionDef(name, arguments, [*body, ast.Return(result)], [])], [])
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and not hasattr(node, "ctx"):
            node.ctx = ast.Load()
    return ast.fix_missing_locations(module)
