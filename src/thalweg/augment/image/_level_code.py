"""The warp of a picture of uint8 levels as machine code; a table, or a scale for each channel, follows at once.

Two neighbours in a row, all their channels, are one load of at most 8 bytes. Levels are fixed-point numbers of 16
bits, 8 of them behind the point, and so are weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir

from thalweg.augment.image._lanes import AT_ONCE, Lanes, Loop, constant, many, run_of
from thalweg.augment.image._level_words import (
    CELLS,
    STORED,
    Ending,
    fixed,
    levels_of,
    product,
    sides,
    whole_levels,
)
from thalweg.optim._executors.machine import compiled

__all__ = ["CELLS", "bend", "resize", "warp"]

_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()


@cache
def warp(
    channels: int, *, perspective: bool, reflected: bool, table: bool, scaled: bool
) -> Callable[[Any, int, int], None]:
    """Return the compiled warp, which takes the address of `thalweg.augment.image._level_words.CELLS`, and twice 0.

    The input has two rows and columns at least. The output is float32 where it is scaled.

    Args:
        channels: 1 to 4.
        perspective: whether the map is no affine one.
        reflected: whether what lies outside is the picture, mirrored.
        table: whether levels are looked up in a table of 256.
        scaled: whether they are then multiplied and added to.
    """
    picture = _Picture(channels, perspective, reflected, table, scaled)
    code, lanes = picture.code, picture.lanes
    lanes.fetch(picture.source, code.mul(picture.high, picture.stride))
    with Loop(code, picture.height) as row:
        lanes.begin_row(row)
        into = picture.row(row)
        with Loop(code, picture.width, AT_ONCE) as column:
            _write_block(picture, *lanes.places(column), into, column)
        picture.ending.end_row(into)
    code.ret_void()
    return compiled(picture.module, optimised=False)


@cache
def bend(channels: int, *, reflected: bool, table: bool, scaled: bool) -> Callable[[Any, int, int], None]:
    """Return the same for any places: those in the working memory, float32, all rows of x, then all rows of y.

    Their rows are as long as the output's, made up to a multiple of 16; no map is read.
    """
    picture = _Picture(channels, False, reflected, table, scaled)
    code, lanes = picture.code, picture.lanes
    lanes.fetch(picture.source, code.mul(picture.high, picture.stride))
    length = code.and_(code.add(picture.width, _LONG(AT_ONCE - 1)), _LONG(-AT_ONCE))
    places = [code.bitcast(picture.memory, _FLOAT.as_pointer())]
    places.append(code.gep(places[0], [code.mul(picture.height, length)]))
    with Loop(code, picture.height) as row:
        into = picture.row(row)
        with Loop(code, picture.width, AT_ONCE) as column:
            at = code.add(code.mul(row, length), column)
            x, y = (lanes.load(code.bitcast(code.gep(base, [at]), many(_FLOAT).as_pointer())) for base in places)
            _write_block(picture, x, y, into, column)
        picture.ending.end_row(into)
    code.ret_void()
    return compiled(picture.module, optimised=False)


@cache
def resize(channels: int, *, reflected: bool, table: bool, scaled: bool) -> Callable[[Any, int, int], None]:
    """Return the same for maps of rows to rows and columns to columns: every row is mixed once along its own.

    The working memory has room for 16 more pixels than a row of the output: an int32, and int16: two, and two for
    each channel.
    """
    picture = _Picture(channels, False, reflected, table, scaled)
    _write_resize(picture)
    return compiled(picture.module, optimised=False)


class _Picture:
    """What is read before the first pixel."""

    def __init__(self, channels: int, perspective: bool, reflected: bool, table: bool, scaled: bool) -> None:
        self.channels = channels
        self.module = ir.Module("warp")
        self.code, cells = run_of(self.module)
        code = self.code
        numbers = code.bitcast(cells, _DOUBLE.as_pointer())
        *addresses, self.high, wide, self.height, self.width, self.stride = (
            code.load(code.gep(cells, [_LONG(i)])) for i in range(10)
        )
        reals = [code.load(code.gep(numbers, [_LONG(10 + i)])) for i in range(13)]
        self.source, self.out, levels, scales, self.memory = (code.inttoptr(x, _BYTE.as_pointer()) for x in addresses)
        limits = reals[9:]
        self.lanes = Lanes(code, self.high, wide, limits, perspective=perspective, reflected=reflected)
        self.lanes.begin_map(reals[:9])
        self.ending = Ending(self.lanes, channels, self.width, levels if table else None, scales if scaled else None)
        self.bytes_out = code.mul(self.width, _LONG(self.ending.size))

    @property
    def spare(self) -> int:
        """How many bytes of a load are beyond the pair of pixels.

        Of the picture's last row they lie before it, so that nothing is read behind the picture; else behind it.
        """
        return 2 * STORED[self.channels] - 2 * self.channels

    @property
    def kept(self) -> list[int]:
        """Which of sixteen pairs' places hold pixels."""
        one = 2 * STORED[self.channels]
        return [i * one + channel for i in range(AT_ONCE) for channel in range(self.channels)]

    def row(self, row: Any) -> Any:
        return self.code.gep(self.out, [self.code.mul(row, self.bytes_out)])


def _write_block(picture: _Picture, x: Any, y: Any, into: Any, column: Any) -> None:
    code, lanes, channels, spare = picture.code, picture.lanes, picture.channels, picture.spare
    left, *across = lanes.along(x, 0)
    top, *down = lanes.along(y, 1)
    rows = code.mul(top, lanes.all(code.trunc(picture.stride, _INT)))
    offsets = code.add(rows, code.mul(left, constant(channels, _INT)))
    pair = ir.IntType(16 * STORED[channels])
    upper = lanes.pairs(picture.source, offsets, pair)
    lower = lanes.pairs(code.gep(picture.source, [code.sub(picture.stride, _LONG(spare))]), offsets, pair)
    lower = code.lshr(lower, constant(8 * spare, pair)) if spare else lower
    count = AT_ONCE * 2 * STORED[channels]
    here = [i * AT_ONCE // count for i in range(count)]
    weights = [fixed(code, weight) for weight in down]
    both = [
        product(code, levels_of(code, pixels, count), lanes.picked(weight, weight, here))
        for pixels, weight in zip((upper, lower), weights, strict=True)
    ]
    near, far = (fixed(code, weight) for weight in across)
    mixed = sides(lanes, code.add(both[0], both[1]), near, far, channels)
    picture.ending.write(whole_levels(code, mixed), picture.kept, into, column)


def _write_resize(picture: _Picture) -> None:
    code, lanes, channels = picture.code, picture.lanes, picture.channels
    room = code.add(picture.width, _LONG(AT_ONCE))
    offsets = code.bitcast(picture.memory, _INT.as_pointer())
    weights = code.bitcast(code.gep(offsets, [room]), _SHORT.as_pointer())
    rows = code.gep(weights, [code.mul(room, _LONG(2))])
    size = code.mul(room, _LONG(channels))
    lanes.begin_row(_LONG(0))
    with Loop(code, picture.width, AT_ONCE) as column:
        left, *across = lanes.along(lanes.places(column)[0], 0)
        lanes.store(code.mul(left, constant(channels, _INT)), code.gep(offsets, [column]))
        for i, weight in enumerate(across):
            lanes.store(fixed(code, weight), code.gep(weights, [code.add(code.mul(column, _LONG(2)), _LONG(16 * i))]))
    held = code.alloca(_LONG, 2)
    for i in range(2):
        code.store(_LONG(-1), code.gep(held, [_LONG(i)]))
    with Loop(code, picture.height) as row:
        lanes.begin_row(row)
        first, *down = lanes.along(lanes.places(_LONG(0))[1], 1)
        top = code.zext(code.extract_element(first, _INT(0)), _LONG)
        with Loop(code, _LONG(2)) as i:
            wanted = code.add(top, i)
            slot = code.and_(wanted, _LONG(1))
            mine = code.gep(held, [slot])
            with code.if_then(code.icmp_signed("!=", code.load(mine), wanted)):
                code.store(wanted, mine)
                _write_row(picture, wanted, offsets, weights, code.gep(rows, [code.mul(slot, size)]))
        parts = [code.gep(rows, [code.mul(code.and_(code.add(top, _LONG(i)), _LONG(1)), size)]) for i in range(2)]
        count = AT_ONCE * channels
        narrow = [fixed(code, weight) for weight in down]
        shares = [lanes.picked(weight, weight, [0] * count) for weight in narrow]
        into = picture.row(row)
        with Loop(code, picture.width, AT_ONCE) as column:
            at = code.mul(column, _LONG(channels))
            values = [
                lanes.load(code.bitcast(code.gep(part, [at]), many(_SHORT, count).as_pointer())) for part in parts
            ]
            above, below = (product(code, x, share) for x, share in zip(values, shares, strict=True))
            mixed = code.add(above, below)
            picture.ending.write(whole_levels(code, mixed), list(range(count)), into, column)
        picture.ending.end_row(into)
    code.ret_void()


def _write_row(picture: _Picture, number: Any, offsets: Any, weights: Any, into: Any) -> None:
    """Mix a row of the input along itself, to numbers with 8 bits behind the point."""
    code, lanes, channels = picture.code, picture.lanes, picture.channels
    pair = ir.IntType(16 * STORED[channels])
    count = AT_ONCE * 2 * STORED[channels]
    last = code.icmp_signed("==", number, code.sub(picture.high, _LONG(1)))
    spare = code.select(last, _LONG(picture.spare), _LONG(0))
    base = code.gep(picture.source, [code.sub(code.mul(number, picture.stride), spare)])
    with Loop(code, picture.width, AT_ONCE) as column:
        places = lanes.load(code.bitcast(code.gep(offsets, [column]), many(_INT).as_pointer()))
        here = code.gep(weights, [code.mul(column, _LONG(2))])
        near, far = (
            lanes.load(code.bitcast(code.gep(here, [_LONG(16 * i)]), many(_SHORT).as_pointer())) for i in range(2)
        )
        pixels = lanes.pairs(base, places, pair)
        if picture.spare:
            pixels = code.lshr(pixels, lanes.all(code.mul(spare, _LONG(8))))
        mixed = sides(lanes, levels_of(code, pixels, count), near, far, channels)
        lanes.store(lanes.picked(mixed, mixed, picture.kept), code.gep(into, [code.mul(column, _LONG(channels))]))
