"""Dropout of a tensor on the CPU in one pass over memory: hash, compare and multiply, as machine code.

The mask is kept nowhere: who needs it again computes it again from its key. The hash alone serves other noise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from thalweg.optim._executors.fused import ALONE, PIECE, walk
from thalweg.optim._executors.machine import compiled, rounded, widened

__all__ = ["TYPES", "Hashing", "factors", "hashes", "thin"]

TYPES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""What the kernel takes."""

_INT, _LONG, _SHORT = ir.IntType(32), ir.IntType(64), ir.IntType(16)
_CELLS = 7
"""Of a row of the table: elements, the first one's place, key, threshold, factor, and two addresses."""

Hashing = tuple[int, int, int]
"""The constants of splitmix64 as signed numbers: what places are multiplied by, and its two factors."""

_DOUBLE, _BITS = struct.Struct("<d"), struct.Struct("<q")


def thin(x: Tensor, key: int, p: float, hashing: Hashing) -> Tensor:
    """Return a tensor after dropout, what stays multiplied by 1 / (1 − p).

    Args:
        x: on the CPU, contiguous, of a type in `TYPES`.
        key: of the mask.
        p: what share leaves, from 0 to 1.
        hashing: see `Hashing`.
    """
    found = torch.empty_like(x)
    _walk(x, found, [key], [p], hashing)
    return found


def factors(
    shape: Sequence[int], dtype: torch.dtype, keys: Sequence[int], rates: Sequence[float], hashing: Hashing
) -> Tensor:
    """Return what several tensors are multiplied by in dropout: 1 / (1 − p) for what stays, else 0; each in its row.

    Args:
        shape: of one of them.
        dtype: in `TYPES`.
        keys, rates: of each.
        hashing: see `Hashing`.
    """
    found = torch.empty(len(keys), *shape, dtype=dtype)
    _walk(None, found, keys, rates, hashing)
    return found


def hashes(shape: Sequence[int], keys: Sequence[int], hashing: Hashing) -> Tensor:
    """Return the hashes of a tensor's places, int64, under several keys; each in its row.

    Args:
        shape: of one of them.
        keys: of each.
        hashing: see `Hashing`.
    """
    found = torch.empty(len(keys), *shape, dtype=torch.int64)
    _walk(None, found, keys, [0.0] * len(keys), hashing)
    return found


def _walk(x: Tensor | None, found: Tensor, keys: Sequence[int], rates: Sequence[float], hashing: Hashing) -> None:
    elements, width = found.numel(), found.element_size()
    if not elements:
        return
    count = elements // len(keys)
    size = PIECE if elements > ALONE else count
    here, there = x.data_ptr() if x is not None else 0, found.data_ptr()
    rows = []
    for i, (key, p) in enumerate(zip(keys, rates, strict=True)):
        least, factor = round(p * 2**32), _BITS.unpack(_DOUBLE.pack(1.0 / (1.0 - p) if p < 1 else 0.0))[0]
        for start in range(0, count, size):
            at = (i * count + start) * width
            rows.append((min(size, count - start), start, key, least, factor, here + at, there + at))
    walk(_kernel(TYPES.get(found.dtype, "int64"), x is not None, hashing), np.array(rows, np.int64), elements)


@cache
def _kernel(dtype: str, reads: bool, hashing: Hashing) -> Callable[[int, int, int], None]:
    """Return the compiled code, which `walk` calls with a table; one that does not read writes factors, or hashes."""
    return compiled(_module(dtype, reads, hashing))


def _module(dtype: str, reads: bool, hashing: Hashing) -> ir.Module:
    module = ir.Module("dropout")
    number = ir.DoubleType() if dtype == "float64" else ir.FloatType()
    stored = {"bfloat16": _SHORT, "int64": _LONG}.get(dtype, number)
    row = _write_row(module, number, stored, reads, hashing)
    _write_run(module, row, stored)
    return module


def _write_row(module: ir.Module, number: ir.Type, stored: ir.Type, reads: bool, hashing: Hashing) -> ir.Function:
    """Write what one piece of memory goes through."""
    kinds = [_LONG] * 4 + [ir.DoubleType(), stored.as_pointer(), stored.as_pointer()]
    row = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), "row")
    count, first, key, least, factor, x, y = row.args
    golden, *factors = map(_LONG, hashing)
    for pointer in (x, y):
        pointer.add_attribute("noalias")
    entry, loop, end = (row.append_basic_block(name) for name in ("entry", "loop", "end"))
    code = ir.IRBuilder(entry)
    kept = code.fptrunc(factor, number) if number != ir.DoubleType() else factor
    start = code.add(code.mul(code.add(first, _LONG(1)), golden), key)
    code.cbranch(code.icmp_signed(">", count, _LONG(0)), loop, end)
    code.position_at_end(loop)
    at = code.phi(_LONG)
    z = code.add(start, code.mul(at, golden))
    z = code.mul(code.xor(z, code.lshr(z, _LONG(30))), factors[0])
    z = code.mul(code.xor(z, code.lshr(z, _LONG(27))), factors[1])
    z = code.xor(z, code.lshr(z, _LONG(31)))
    if stored is _LONG:
        code.store(z, code.gep(y, [at]))
    else:
        stays = code.icmp_unsigned(">=", code.and_(z, _LONG(0xFFFFFFFF)), least)
        product = code.select(stays, kept, ir.Constant(number, 0.0))
        if reads:
            read = code.load(code.gep(x, [at]))
            product = code.fmul(widened(code, read) if stored is _SHORT else read, product)
        code.store(rounded(code, product) if stored is _SHORT else product, code.gep(y, [at]))
    following = code.add(at, _LONG(1))
    for value, block in ((_LONG(0), entry), (following, loop)):
        at.add_incoming(value, block)
    code.cbranch(code.icmp_signed("<", following, count), loop, end)
    code.position_at_end(end)
    code.ret_void()
    return row


def _write_run(module: ir.Module, row: ir.Function, stored: ir.Type) -> None:
    """Write what walks the table: alone, or taking rows in turn with other threads until all are done."""
    kind = ir.FunctionType(ir.VoidType(), [_LONG.as_pointer(), _LONG.as_pointer(), _LONG])
    run = ir.Function(module, kind, "run")
    table, shared, rows = run.args
    names = ("entry", "alone", "whole", "take", "look", "wait", "end")
    entry, alone, whole, take, look, wait, end = map(run.append_basic_block, names)
    code, zero, one = ir.IRBuilder(entry), _LONG(0), _LONG(1)
    code.cbranch(code.icmp_unsigned("==", shared, shared.type(None)), alone, take)

    def update(number: Any) -> None:
        line = code.gep(table, [code.mul(number, _LONG(_CELLS))])
        cells = [code.load(code.gep(line, [_LONG(i)])) for i in range(_CELLS)]
        *numbers, factor, x, y = cells
        pointer = stored.as_pointer()
        addresses = code.inttoptr(x, pointer), code.inttoptr(y, pointer)
        code.call(row, [*numbers, code.bitcast(factor, ir.DoubleType()), *addresses])

    code.position_at_end(alone)
    own = code.phi(_LONG)
    code.cbranch(code.icmp_signed("<", own, rows), whole, end)
    code.position_at_end(whole)
    update(own)
    following = code.add(own, one)
    code.branch(alone)
    for value, block in ((zero, entry), (following, whole)):
        own.add_incoming(value, block)
    code.position_at_end(take)
    number = code.atomic_rmw("add", shared, one, "monotonic")
    code.cbranch(code.icmp_signed("<", number, rows), look, wait)
    code.position_at_end(look)
    update(number)
    code.atomic_rmw("add", code.gep(shared, [one]), one, "release")
    code.branch(take)
    code.position_at_end(wait)
    finished = code.load_atomic(code.gep(shared, [one]), "acquire", 8)
    code.cbranch(code.icmp_signed("<", finished, rows), wait, end)
    code.position_at_end(end)
    code.ret_void()
