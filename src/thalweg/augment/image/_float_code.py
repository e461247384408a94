"""The warp of float32 pictures as machine code, each by a map of its own; channels share places and weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from thalweg.augment.image._lanes import AT_ONCE, Lanes, Loop, many, run_of
from thalweg.optim._executors.machine import compiled

__all__ = ["CELLS", "bend", "warp"]

CELLS = "<9q4d"
"""Of the table that it takes: addresses of input, output and maps, nine doubles each; pictures, channels, heights and
widths of input and output; and the least and greatest x and y that places are moved to."""

_BYTE, _INT, _LONG, _FLOAT, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()


@cache
def warp(*, perspective: bool, reflected: bool) -> Callable[[Any, int, int], None]:
    """Return the compiled warp, which takes the address of `CELLS`, and twice 0.

    Pictures have two rows and columns at least.

    Args:
        perspective: whether some map is no affine one.
        reflected: whether what lies outside is the picture, mirrored.
    """
    return compiled(_module(perspective, reflected), optimised=False)


@cache
def bend(*, reflected: bool) -> Callable[[Any, int, int], None]:
    """Return the same for any places: in the place of maps, for each picture, as `_level_code.bend` reads them."""
    return compiled(_module(False, reflected, placed=True), optimised=False)


def _module(perspective: bool, reflected: bool, *, placed: bool = False) -> ir.Module:
    module = ir.Module("warp")
    code, cells = run_of(module)
    numbers = code.bitcast(cells, _DOUBLE.as_pointer())
    source, out, maps, count, channels, high, wide, height, width = (
        code.load(code.gep(cells, [_LONG(i)])) for i in range(9)
    )
    limits = [code.load(code.gep(numbers, [_LONG(9 + i)])) for i in range(4)]
    source, out = (code.inttoptr(x, _FLOAT.as_pointer()) for x in (source, out))
    maps = code.inttoptr(maps, (_FLOAT if placed else _DOUBLE).as_pointer())
    lanes = Lanes(code, high, wide, limits, perspective=perspective, reflected=reflected)
    rest = code.bitcast(code.alloca(many(_FLOAT)), _BYTE.as_pointer())
    plane_in, plane_out = code.mul(high, wide), code.mul(height, width)
    length = code.and_(code.add(width, _LONG(AT_ONCE - 1)), _LONG(-AT_ONCE))
    half = code.mul(height, length)
    with Loop(code, count) as picture:
        mine = code.gep(maps, [code.mul(picture, code.mul(half, _LONG(2)) if placed else _LONG(9))])
        if not placed:
            lanes.begin_map([code.load(code.gep(mine, [_LONG(i)])) for i in range(9)])
        first = code.mul(picture, channels)
        bytes_in = code.mul(_LONG(4), code.mul(channels, plane_in))
        lanes.fetch(code.bitcast(code.gep(source, [code.mul(first, plane_in)]), _BYTE.as_pointer()), bytes_in)
        with Loop(code, height) as row:
            if not placed:
                lanes.begin_row(row)
            with Loop(code, width, AT_ONCE) as column:
                if placed:
                    at = code.add(code.mul(row, length), column)
                    x, y = (lanes.load(_sixteen(code, mine, place)) for place in (at, code.add(half, at)))
                else:
                    x, y = lanes.places(column)
                left, *across = lanes.along(x, 0)
                top, *down = lanes.along(y, 1)
                offsets = code.add(code.mul(top, lanes.all(code.trunc(wide, _INT))), left)
                twice = [i // 2 for i in range(2 * AT_ONCE)]
                down = [lanes.picked(weight, weight, twice) for weight in down]
                sides = [i // 2 + AT_ONCE * (i % 2) for i in range(2 * AT_ONCE)]
                sideways = lanes.picked(across[0], across[1], sides)
                at = code.add(code.mul(row, width), column)
                with Loop(code, channels) as channel:
                    plane = code.add(first, channel)
                    here = code.gep(source, [code.mul(plane, plane_in)])
                    value = _mixed(lanes, here, wide, offsets, down, sideways)
                    there = code.gep(out, [code.add(code.mul(plane, plane_out), at)])
                    _write(lanes, value, there, rest, code.sub(width, column))
    code.ret_void()
    return module


def _sixteen(code: ir.IRBuilder, base: Any, at: Any) -> Any:
    """Return the address of sixteen numbers of many."""
    return code.bitcast(code.gep(base, [at]), many(_FLOAT).as_pointer())


def _mixed(lanes: Lanes, base: Any, wide: Any, offsets: Any, down: list[Any], sideways: Any) -> Any:
    """Return one channel of sixteen pixels."""
    code, pairs = lanes.code, many(_FLOAT, 2 * AT_ONCE)
    upper, lower = (
        code.bitcast(lanes.pairs(start, offsets, _LONG), pairs) for start in (base, code.gep(base, [wide]))
    )
    both = lanes.called("llvm.fma", lower, down[1], code.fmul(upper, down[0]))
    both = code.fmul(both, sideways)
    left, right = (lanes.picked(both, both, range(side, 2 * AT_ONCE, 2)) for side in (0, 1))
    return code.fadd(left, right)


def _write(lanes: Lanes, value: Any, place: Any, rest: Any, left: Any) -> None:
    code = lanes.code
    whole = code.icmp_signed(">=", left, _LONG(AT_ONCE))
    place = code.bitcast(place, _BYTE.as_pointer())
    into = code.select(whole, place, rest)
    lanes.store(value, into)
    with code.if_then(code.not_(whole), likely=False):
        lanes.copy(place, into, code.mul(left, _LONG(4)))
