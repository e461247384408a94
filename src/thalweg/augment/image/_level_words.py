"""What warps of uint8 levels share: their fixed-point numbers, and what becomes of levels once they are mixed."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from thalweg.augment.image._lanes import AT_ONCE, Lanes, Loop, constant, many
from thalweg.optim._executors import machine

__all__ = ["CELLS", "STORED", "Ending", "fixed", "levels_of", "looks_up_many", "product", "sides", "whole_levels"]

CELLS = "<10q13d"
"""Of the table that a warp takes: addresses of input, output, table, scales, and working memory; heights and widths
of input and output, bytes from row to row of the input; the map from places of the output to those of the input, nine
doubles; and the least and greatest x and y that places are moved to. Rows of the output follow each other."""

STORED = {1: 1, 2: 2, 3: 4, 4: 4}
"""Bytes that a pixel of so many channels takes up in a pair, which is one load."""

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT = ir.FloatType()
_HALF = 130
"""Half a level, in parts of 256, and what cutting products costs in the mean."""


def looks_up_many() -> bool:
    """Return whether this machine looks up 64 levels in a table at once."""
    return "+avx512vbmi," in machine.processor()[1] + ","


def fixed(code: ir.IRBuilder, weight: Any) -> Any:
    """Return weights from 0 to 1 in parts of 65535, int16."""
    return code.trunc(code.fptosi(code.fmul(weight, constant(65535.0)), many(_INT)), many(_SHORT))


def levels_of(code: ir.IRBuilder, pixels: Any, count: int) -> Any:
    """Return so many bytes as int16 with 8 bits behind the point."""
    wide = code.zext(code.bitcast(pixels, many(_BYTE, count)), many(_SHORT, count))
    return code.shl(wide, constant(8, _SHORT, count))


def product(code: ir.IRBuilder, a: Any, b: Any) -> Any:
    """Return the upper halves of products of int16."""
    a, b = (code.zext(x, many(_INT, x.type.count)) for x in (a, b))
    upper = code.lshr(code.mul(a, b), constant(16, _INT, a.type.count))
    return code.trunc(upper, many(_SHORT, a.type.count))


def sides(lanes: Lanes, pixels: Any, near: Any, far: Any, channels: int) -> Any:
    """Return pairs of pixels mixed; each is in the first places of its pair."""
    one, count = 2 * STORED[channels], pixels.type.count
    weights = lanes.picked(near, far, [i // one + AT_ONCE * (i % one >= channels) for i in range(count)])
    found = product(lanes.code, pixels, weights)
    beside = lanes.picked(found, found, [i // one * one + (i + channels) % one for i in range(count)])
    return lanes.code.add(found, beside)


def whole_levels(code: ir.IRBuilder, values: Any) -> Any:
    """Return numbers with 8 bits behind the point rounded to bytes."""
    count = values.type.count
    total = code.add(values, constant(_HALF, _SHORT, count))
    return code.trunc(code.lshr(total, constant(8, _SHORT, count)), many(_BYTE, count))


class Ending:
    """What becomes of levels: they are looked up, scaled, and written.

    Args:
        lanes: what writes.
        channels: 1 to 4.
        width: of the output, int64.
        table: the address of 256 bytes, or None.
        scales: the address of 16 pixels' factors and 16 pixels' summands, or None.
    """

    def __init__(self, lanes: Lanes, channels: int, width: Any, table: Any, scales: Any) -> None:
        self.lanes, self.channels, self.width, self.table, self.scaled = lanes, channels, width, table, bool(scales)
        code = self.code = lanes.code
        self.size = channels * (4 if scales else 1)
        self.rest = code.bitcast(code.alloca(ir.ArrayType(_BYTE, AT_ONCE * 16)), _BYTE.as_pointer())
        self.quick = bool(table) and looks_up_many()
        assert self.quick or not (table and scales), "levels are looked up after the row then, and are floats by then"
        if self.quick:
            quarters = code.bitcast(table, many(_BYTE, 64).as_pointer())
            self.quarters = [lanes.load(code.gep(quarters, [_LONG(i)])) for i in range(4)]
        if scales:
            vectors = code.bitcast(scales, many(_FLOAT).as_pointer())
            self.scales = [lanes.load(code.gep(vectors, [_LONG(i)])) for i in range(2 * channels)]

    def write(self, levels: Any, kept: list[int], row: Any, column: Any) -> None:
        """Write sixteen pixels, or those of them that are left in the row.

        Args:
            levels: bytes.
            kept: which of them are pixels'.
            row: where the row begins.
            column: of the first pixel.
        """
        code, lanes, channels = self.code, self.lanes, self.channels
        place = code.gep(row, [code.mul(column, _LONG(self.size))])
        left = code.sub(self.width, column)
        whole = code.icmp_signed(">=", left, _LONG(AT_ONCE))
        into = code.select(whole, place, self.rest)
        if self.quick:
            levels = self._looked_up(lanes.picked(levels, levels, kept + [0] * (64 - len(kept))))
            kept = list(range(len(kept)))
        if not self.scaled:
            lanes.store(lanes.picked(levels, levels, kept), into)
        else:
            for i in range(channels):
                mine = lanes.picked(levels, levels, kept[AT_ONCE * i : AT_ONCE * (i + 1)])
                factor, summand = self.scales[i], self.scales[channels + i]
                value = lanes.called("llvm.fma", code.uitofp(mine, many(_FLOAT)), factor, summand)
                lanes.store(value, code.gep(into, [_LONG(4 * AT_ONCE * i)]))
        with code.if_then(code.not_(whole), likely=False):
            lanes.copy(place, into, code.mul(left, _LONG(self.size)))

    def _looked_up(self, levels: Any) -> Any:
        code, kind, name = self.code, many(_BYTE, 64), "llvm.x86.avx512.vpermi2var.qi.512"
        known = code.module.globals.get(name) or ir.Function(code.module, ir.FunctionType(kind, [kind] * 3), name)
        dark, bright = (code.call(known, [self.quarters[i], levels, self.quarters[i + 1]]) for i in (0, 2))
        return code.select(code.icmp_signed("<", levels, constant(0, _BYTE, 64)), bright, dark)

    def end_row(self, row: Any) -> None:
        """Look up what is written, where that was not done yet."""
        code = self.code
        if self.table is None or self.quick:
            return
        with Loop(code, code.mul(self.width, _LONG(self.size))) as at:
            place = code.gep(row, [at])
            code.store(code.load(code.gep(self.table, [code.zext(code.load(place), _LONG)])), place)
