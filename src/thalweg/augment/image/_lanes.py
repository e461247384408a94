"""Sixteen pixels at a time as machine code: where each comes from, and the weights of its neighbours.

No pixel is tested for lying outside the picture: it is in the weights. A pixel of the input counts by how near it is,
1 − |distance| along both sides and never less than 0, so that of two neighbours that were moved back into the
picture none counts where the place is further out than 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from llvmlite import ir

__all__ = ["AT_ONCE", "Lanes", "Loop", "constant", "many", "run_of"]

AT_ONCE = 16
"""Pixels of a row that are computed together."""

_CACHED = 1 << 20
"""Bytes that are read ahead at most: about what a core's own cache holds."""

_BYTE, _INT, _LONG, _FLOAT, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()


def many(kind: ir.Type, count: int = AT_ONCE) -> ir.VectorType:
    """Return the type of so many numbers."""
    return ir.VectorType(kind, count)


def constant(value: float, kind: ir.Type = _FLOAT, count: int = AT_ONCE) -> ir.Constant:
    """Return so many times a number."""
    return ir.Constant(many(kind, count), [kind(value)] * count)


def run_of(module: ir.Module) -> tuple[ir.IRBuilder, Any]:
    """Begin a module's function ``run``; return what writes it, and its first argument: a table of int64."""
    kind = ir.FunctionType(ir.VoidType(), [_LONG.as_pointer(), _LONG.as_pointer(), _LONG])
    run = ir.Function(module, kind, "run")
    return ir.IRBuilder(run.append_basic_block("entry")), run.args[0]


class Loop:
    """``with`` it, the body of a loop is written, from the counter that it gives.

    Args:
        code: what writes.
        end: the counter starts at 0 and stays below it.
        step: what is added to it.
    """

    def __init__(self, code: ir.IRBuilder, end: Any, step: int = 1) -> None:
        self.code, self.end, self.step = code, end, step

    def __enter__(self) -> Any:
        code, before = self.code, self.code.block
        self.body, self.after = (code.function.append_basic_block(name) for name in ("loop", "after"))
        code.cbranch(code.icmp_signed("<", _LONG(0), self.end), self.body, self.after)
        code.position_at_end(self.body)
        self.at = code.phi(_LONG)
        self.at.add_incoming(_LONG(0), before)
        return self.at

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self.code
        following = code.add(self.at, _LONG(self.step))
        self.at.add_incoming(following, code.block)
        code.cbranch(code.icmp_signed("<", following, self.end), self.body, self.after)
        code.position_at_end(self.after)


class Lanes:
    """Words of sixteen pixels of a row of the output.

    Args:
        code: what writes.
        high, wide: of the input, int64.
        limits: four doubles: the least and greatest x and y that places are moved to.
        perspective: whether the map is no affine one.
        reflected: whether what lies outside is the picture, mirrored.
    """

    def __init__(
        self, code: ir.IRBuilder, high: Any, wide: Any, limits: Sequence[Any], *, perspective: bool, reflected: bool
    ) -> None:
        self.code, self.perspective, self.reflected = code, perspective, reflected
        narrow = [code.fptrunc(limit, _FLOAT) for limit in limits]
        self.limits = [self.all(x) for x in narrow]
        self.ends = [self.all(code.sitofp(code.sub(size, _LONG(2)), _FLOAT)) for size in (wide, high)]
        if reflected:
            twice = [code.fmul(x, _FLOAT(2.0)) for x in narrow[1::2]]
            self.periods = [self.all(x) for x in twice]
            self.shares = [self.all(code.fdiv(_FLOAT(1.0), x)) for x in twice]

    def begin_map(self, m: Sequence[Any]) -> None:
        """Take the nine doubles of a map from places of the output to those of the input."""
        self.m = m
        self.slopes = [self.all(self.code.fptrunc(m[3 * i], _FLOAT)) for i in range(3)]

    def begin_row(self, row: Any) -> None:
        """Take the number of a row."""
        code, m = self.code, self.m
        y = code.sitofp(row, _DOUBLE)
        starts = [code.fadd(code.fmul(m[3 * i + 1], y), m[3 * i + 2]) for i in range(3)]
        self.starts = [self.all(code.fptrunc(start, _FLOAT)) for start in starts]

    def places(self, column: Any) -> tuple[Any, Any]:
        """Return x and y in the input of the pixels from a column on."""
        code = self.code
        lanes = ir.Constant(many(_FLOAT), [_FLOAT(float(i)) for i in range(AT_ONCE)])
        x = code.fadd(self.all(code.sitofp(column, _FLOAT)), lanes)
        found = [
            self.called("llvm.fma", slope, x, start) for slope, start in zip(self.slopes, self.starts, strict=True)
        ]
        if not self.perspective:
            return found[0], found[1]
        over = code.fdiv(constant(1.0), found[2])
        return code.fmul(found[0], over), code.fmul(found[1], over)

    def along(self, place: Any, side: int) -> tuple[Any, Any, Any]:
        """Return the first of two neighbours along a side, int32, and the weights of both, from 0 to 1."""
        code = self.code
        if self.reflected:
            turns = self.called("llvm.rint", code.fmul(place, self.shares[side]))
            place = self.called("llvm.fabs", self.called("llvm.fma", code.fneg(turns), self.periods[side], place))
        place = self.lower(self.higher(place, self.limits[2 * side]), self.limits[2 * side + 1])
        first = self.lower(self.higher(self.called("llvm.floor", place), constant(0.0)), self.ends[side])
        beyond = code.fsub(place, first)
        near, far = (
            self.higher(code.fsub(constant(1.0), self.called("llvm.fabs", x)), constant(0.0))
            for x in (beyond, code.fsub(beyond, constant(1.0)))
        )
        return code.fptosi(first, many(_INT)), near, far

    def all(self, value: Any) -> Any:
        """Return a number for each pixel."""
        one = self.code.insert_element(ir.Constant(many(value.type), ir.Undefined), value, _INT(0))
        return self.picked(one, one, [0] * AT_ONCE)

    def picked(self, a: Any, b: Any, places: Sequence[int]) -> Any:
        """Return those of two vectors' numbers that are at some places of them, one after the other."""
        return self.code.shuffle_vector(a, b, ir.Constant(many(_INT, len(places)), [_INT(at) for at in places]))

    def called(self, name: str, *values: Any) -> Any:
        """Return what one of LLVM's functions of float32 gives."""
        kind, module = values[0].type, self.code.module
        name = f"{name}.v{kind.count}f32"
        known = module.globals.get(name)
        return self.code.call(known or ir.Function(module, ir.FunctionType(kind, [kind] * len(values)), name), values)

    def lower(self, a: Any, b: Any) -> Any:
        """Return the lower number, b where a is none."""
        return self.code.select(self.code.fcmp_ordered("<", a, b), a, b)

    def higher(self, a: Any, b: Any) -> Any:
        """Return the higher number, b where a is none."""
        return self.code.select(self.code.fcmp_ordered(">", a, b), a, b)

    def pairs(self, base: Any, offsets: Any, pair: ir.Type) -> Any:
        """Return what lies at sixteen offsets from an address, int32 of elements of the type it points to."""
        code, found = self.code, ir.Constant(many(pair), ir.Undefined)
        for i in range(AT_ONCE):
            offset = code.zext(code.extract_element(offsets, _INT(i)), _LONG)
            place = code.bitcast(code.gep(base, [offset]), pair.as_pointer())
            found = code.insert_element(found, self.load(place), _INT(i))
        return found

    def load(self, place: Any) -> Any:
        """Return what lies at an address, which need not be a multiple of anything."""
        found = self.code.load(place)
        found.align = 1
        return found

    def store(self, value: Any, place: Any) -> None:
        """Write to such an address."""
        self.code.store(value, self.code.bitcast(place, value.type.as_pointer())).align = 1

    def copy(self, into: Any, source: Any, count: Any) -> None:
        """Write so many bytes."""
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, _LONG, ir.IntType(1)])
        known = self.code.module.declare_intrinsic("llvm.memcpy", [pointer, pointer, _LONG], kind)
        self.code.call(known, [into, source, count, ir.IntType(1)(0)])

    def fetch(self, place: Any, count: Any) -> None:
        """Read so many bytes in their order, if the cache holds them: a map reads them in another, and would wait."""
        code = self.code
        few = code.select(code.icmp_signed("<=", count, _LONG(_CACHED)), count, _LONG(0))
        with Loop(code, few, 64) as at:
            kind = ir.FunctionType(ir.VoidType(), [_BYTE])
            code.asm(kind, "", "r", [code.load(code.gep(place, [at]))], True)
