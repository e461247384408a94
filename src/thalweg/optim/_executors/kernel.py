"""A formula as machine code: one pass over memory, built with LLVM in some hundredths of a second.

The kernel walks the rows of a table of addresses, so that one call updates every tensor of a group, or every run of a
population, whatever their sizes and hyperparameters. It computes in the order in which the formula is written; a
product that is added to something may be rounded with the sum.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from thalweg.optim._executors.lifting import lift
from thalweg.optim._executors.machine import compiled, rounded, widened
from thalweg.optim._technique import Optimizer

__all__ = ["PIECE", "WIDTHS", "kernel"]

PIECE = 1 << 17
"""Elements, a power of two, of the pieces that threads take in turn: few enough that they end together."""

WIDTHS = {"float32": 4, "float64": 8, "bfloat16": 2}
"""Types of parameters that a kernel takes, and their bytes. State is float32 where parameters are bfloat16."""

_INT, _LONG, _SHORT = ir.IntType(32), ir.IntType(64), ir.IntType(16)
_RULES = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}


@cache
def kernel(technique: Optimizer, dtype: str, before: tuple[str, ...] = ()) -> Callable[[int, int, int], None]:
    """Return a formula's compiled step, ``(table, shared, rows)``; the GIL is free while it runs.

    ``table`` is the address of an int64 matrix of addresses, a row for each piece of memory to update: elements,
    constants, parameter, gradient, and a column for each state. ``shared`` is the address of two int64 that begin as
    0: threads that call with the same ones take pieces of the rows in turn, and return when all ``rows`` are updated.
    It is itself 0 where one thread takes them all.

    Args:
        technique: an optimizer of scope ``element``.
        dtype: a name in `WIDTHS`.
        before: names in `lifting.BEFORE`.
    """
    return compiled(_Builder(technique, dtype, before).module, interleaved=False)


class _Builder:
    """Writes two functions: ``row`` updates one piece of memory, ``run`` walks the table."""

    def __init__(self, technique: Optimizer, dtype: str, before: tuple[str, ...]) -> None:
        self.lifted = lift(technique, before)
        self.brain = dtype == "bfloat16"
        self.number = ir.DoubleType() if dtype == "float64" else ir.FloatType()
        self.stored = _SHORT if self.brain else self.number
        self.module = ir.Module(technique.name)
        self.words: dict[str, ir.Function] = {}
        kinds = [self.stored, self.stored, *[self.number] * (len(self.lifted.inputs) - 2)]
        pointers = [kind.as_pointer() for kind in kinds]
        self.row = ir.Function(
            self.module, ir.FunctionType(ir.VoidType(), [_LONG, self.number.as_pointer(), *pointers]), "row"
        )
        for argument in self.row.args[1:]:
            argument.add_attribute("noalias")  # so that the loop needs no check before it is vectorised
        self._write_row()
        self._write_run([self.number.as_pointer(), *pointers])

    def _write_row(self) -> None:
        count, constants, *places = self.row.args
        entry, loop, end = (self.row.append_basic_block(name) for name in ("entry", "loop", "end"))
        self.code = code = ir.IRBuilder(entry)
        names = {f"c{i}": code.load(code.gep(constants, [_LONG(i)])) for i in range(self.lifted.count)}
        code.cbranch(code.icmp_signed(">", count, _LONG(0)), loop, end)
        code.position_at_end(loop)
        at = code.phi(_LONG)
        at.add_incoming(_LONG(0), entry)
        for name, place in zip(self.lifted.inputs, places, strict=True):
            value = code.load(code.gep(place, [at]))
            names[name] = widened(self.code, value) if value.type is not self.number else value
        for name, expression in self.lifted.body:
            names[name] = self._value(expression, names)
        results = [self._value(expression, names) for expression in self.lifted.outputs]
        # The gradient, second of the places, is read alone.
        for value, place in zip(results, [places[0], *places[2:]], strict=True):
            code.store(rounded(self.code, value) if place.type.pointee is _SHORT else value, code.gep(place, [at]))
        following = code.add(at, _LONG(1))
        at.add_incoming(following, code.block)
        code.cbranch(code.icmp_signed("<", following, count), loop, end)
        code.position_at_end(end)
        code.ret_void()

    def _write_run(self, pointers: list[ir.Type]) -> None:
        kind = ir.FunctionType(ir.VoidType(), [_LONG.as_pointer(), _LONG.as_pointer(), _LONG])
        run = ir.Function(self.module, kind, "run")
        table, shared, rows = run.args
        names = ("entry", "alone", "whole", "take", "seek", "look", "skip", "update", "wait", "end")
        entry, alone, whole, take, seek, look, skip, update, wait, end = map(run.append_basic_block, names)
        code, zero, one = ir.IRBuilder(entry), _LONG(0), _LONG(1)
        code.cbranch(code.icmp_unsigned("==", shared, shared.type(None)), alone, take)

        def cells(row: Any) -> Any:
            return code.gep(table, [code.mul(row, _LONG(1 + len(pointers)))])

        def addresses(line: Any, start: Any = None) -> list[Any]:
            """Return what a row's cells point to: constants, and all else from an element on."""
            places = [code.load(code.gep(line, [_LONG(i)])) for i in range(1, 1 + len(pointers))]
            found = [code.inttoptr(place, pointer) for place, pointer in zip(places, pointers, strict=True)]
            return found if start is None else [found[0], *(code.gep(address, [start]) for address in found[1:])]

        code.position_at_end(alone)
        own = code.phi(_LONG)
        code.cbranch(code.icmp_signed("<", own, rows), whole, end)
        code.position_at_end(whole)
        line = cells(own)
        code.call(self.row, [code.load(line), *addresses(line)])
        own_next = code.add(own, one)
        code.branch(alone)

        # Each thread counts the pieces of the rows as it goes, so that a piece's number is enough to find it.
        code.position_at_end(take)
        row_before, first_before = code.phi(_LONG), code.phi(_LONG)
        number = code.atomic_rmw("add", shared, one, "monotonic")
        code.branch(seek)
        code.position_at_end(seek)
        row, first = code.phi(_LONG), code.phi(_LONG)
        code.cbranch(code.icmp_signed("<", row, rows), look, wait)
        code.position_at_end(look)
        line, bits = cells(row), _LONG(PIECE.bit_length() - 1)
        count = code.load(line)
        following = code.add(first, code.add(code.ashr(code.sub(count, one), bits), one))
        code.cbranch(code.icmp_signed("<", number, following), update, skip)
        code.position_at_end(skip)
        row_next = code.add(row, one)
        code.branch(seek)
        code.position_at_end(update)
        start = code.shl(code.sub(number, first), bits)
        left = code.sub(count, start)
        most = code.select(code.icmp_signed("<", left, _LONG(PIECE)), left, _LONG(PIECE))
        code.call(self.row, [most, *addresses(line, start)])
        code.atomic_rmw("add", code.gep(shared, [one]), one, "release")
        code.branch(take)
        code.position_at_end(wait)
        finished = code.load_atomic(code.gep(shared, [one]), "acquire", 8)
        code.cbranch(code.icmp_signed("<", finished, first), wait, end)
        code.position_at_end(end)
        code.ret_void()
        for phi, values in (
            (own, [(zero, entry), (own_next, whole)]),
            (row_before, [(zero, entry), (row, update)]),
            (first_before, [(zero, entry), (first, update)]),
            (row, [(row_before, take), (row_next, skip)]),
            (first, [(first_before, take), (following, skip)]),
        ):
            for value, block in values:
                phi.add_incoming(value, block)

    def _value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        code = self.code
        match node:
            case ast.Name(id=name):
                return names[name]
            case ast.Constant(value=int() | float() as value):
                exact = float(value) if isinstance(self.number, ir.DoubleType) else ctypes.c_float(value).value
                return ir.Constant(self.number, exact)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return code.fneg(self._value(operand, names))
            case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
                base = self._value(left, names)
                return code.fmul(base, base)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _RULES:
                left_value, right_value = self._value(left, names), self._value(right, names)
                return getattr(code, _RULES[type(op)])(left_value, right_value, flags=("contract",))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _SIGNS:
                return code.fcmp_ordered(_SIGNS[type(op)], self._value(left, names), self._value(right, names))
            case ast.Call(func=ast.Name(id=word), args=arguments):
                return self._call(word, [self._value(argument, names) for argument in arguments])
        raise AssertionError(f"no kernel for {ast.unparse(node)}: a formula keeps to its vocabulary")

    def _call(self, word: str, values: list[Any]) -> Any:
        code = self.code
        match word, values:
            case "where", [condition, a, b]:
                return code.select(condition, a, b)
            case "sign", [x]:
                one, zero = ir.Constant(self.number, 1.0), ir.Constant(self.number, 0.0)
                above = code.select(code.fcmp_ordered(">", x, zero), one, zero)
                either = code.select(code.fcmp_ordered("<", x, zero), ir.Constant(self.number, -1.0), above)
                return code.select(code.fcmp_unordered("uno", x, x), x, either)
        intrinsic = {
            "sqrt": "llvm.sqrt", "absolute": "llvm.fabs", "maximum": "llvm.maximum", "minimum": "llvm.minimum",
        }[word]  # fmt: skip
        if word not in self.words:
            kind = ir.FunctionType(self.number, [self.number] * len(values))
            self.words[word] = self.module.declare_intrinsic(intrinsic, [self.number], kind)
        return code.call(self.words[word], values)
