"""The table of addresses that a kernel walks, read anew before each step, in machine code.

Nothing is trusted from the step before: each parameter, gradient and state is looked up where its owner keeps it,
must be the object that it was, and is asked for its type, size, layout and address. What is called, Python and torch
publish for compiled code: Python's stable ABI, and the C functions that AOTInductor's libraries are linked against.
One thing is not published, where in a tensor object its C++ tensor lies; that is looked for in some tensors first.
Where any of this is missing, `available` is false and the same questions are asked in Python.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch

from thalweg.optim._executors.machine import target

__all__ = ["Reader", "available"]

_DTYPES = {torch.float32: "float32", torch.float64: "float64", torch.bfloat16: "bfloat16"}
"""Types that are read, and torch's names for their codes."""

_PYTHON = ("PyList_GetItem", "PyDict_GetItem")
_TORCH = ("layout", "device_type", "dtype", "numel", "data_ptr")

_CODE = """
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyDict_GetItem(ptr, ptr)
declare i32 @aoti_torch_get_layout(ptr, ptr)
declare i32 @aoti_torch_get_device_type(ptr, ptr)
declare i32 @aoti_torch_get_dtype(ptr, ptr)
declare i32 @aoti_torch_is_contiguous(ptr, ptr)
declare i32 @aoti_torch_get_numel(ptr, ptr)
declare i32 @aoti_torch_get_data_ptr(ptr, ptr)

; Write a tensor's address to %out; false unless it is dense, on the CPU, contiguous, of this type and size.
define internal i1 @address(ptr %object, i64 %offset, i32 %dtype, i64 %count, ptr %out) {
entry:
  %answer = alloca i64
  %handle = getelementptr i8, ptr %object, i64 %offset
  %e1 = call i32 @aoti_torch_get_layout(ptr %handle, ptr %answer)
  %layout = load i32, ptr %answer
  %bad1 = or i32 %e1, %layout
  %is1 = icmp eq i32 %bad1, 0
  br i1 %is1, label %strided, label %no
strided:
  %e2 = call i32 @aoti_torch_get_device_type(ptr %handle, ptr %answer)
  %device = load i32, ptr %answer
  %bad2 = or i32 %e2, %device
  %e3 = call i32 @aoti_torch_get_dtype(ptr %handle, ptr %answer)
  %own = load i32, ptr %answer
  %unlike = xor i32 %own, %dtype
  %bad3 = or i32 %e3, %unlike
  %e4 = call i32 @aoti_torch_get_numel(ptr %handle, ptr %answer)
  %size = load i64, ptr %answer
  %same = icmp eq i64 %size, %count
  %b23 = or i32 %bad2, %bad3
  %b234 = or i32 %b23, %e4
  %plain = icmp eq i32 %b234, 0
  %fits = and i1 %plain, %same
  br i1 %fits, label %sized, label %no
sized:
  store i64 0, ptr %answer
  %e5 = call i32 @aoti_torch_is_contiguous(ptr %handle, ptr %answer)
  %dense = load i8, ptr %answer
  %whole = icmp ne i8 %dense, 0
  %e6 = call i32 @aoti_torch_get_data_ptr(ptr %handle, ptr %out)
  %e56 = or i32 %e5, %e6
  %quiet = icmp eq i32 %e56, 0
  %good = and i1 %quiet, %whole
  ret i1 %good
no:
  ret i1 false
}

; Fill the table; false at the first thing that is not as it was.
define i64 @read(ptr %params, ptr %gradients, ptr %kept, ptr %keys, ptr %fixed) {
entry:
  %places = load ptr, ptr %fixed
  %f1 = getelementptr i64, ptr %fixed, i64 1
  %held = load ptr, ptr %f1
  %f2 = getelementptr i64, ptr %fixed, i64 2
  %dtypes = load ptr, ptr %f2
  %f3 = getelementptr i64, ptr %fixed, i64 3
  %table = load ptr, ptr %f3
  %f4 = getelementptr i64, ptr %fixed, i64 4
  %rows = load i64, ptr %f4
  %f5 = getelementptr i64, ptr %fixed, i64 5
  %entries = load i64, ptr %f5
  %f6 = getelementptr i64, ptr %fixed, i64 6
  %states = load i64, ptr %f6
  %f7 = getelementptr i64, ptr %fixed, i64 7
  %offset = load i64, ptr %f7
  %f8 = getelementptr i64, ptr %fixed, i64 8
  %none = load ptr, ptr %f8
  %width = add i64 %states, 4
  %across = add i64 %entries, 1
  %dtype_p = load i32, ptr %dtypes
  %where_s = getelementptr i32, ptr %dtypes, i64 1
  %dtype_s = load i32, ptr %where_s
  br label %row
row:
  %i = phi i64 [0, %entry], [%next, %row_end]
  %more = icmp slt i64 %i, %rows
  br i1 %more, label %parameter, label %done
parameter:
  %first = mul i64 %i, %width
  %line = getelementptr i64, ptr %table, i64 %first
  %count = load i64, ptr %line
  %first_held = mul i64 %i, %across
  %mine = getelementptr i64, ptr %held, i64 %first_held
  %where = getelementptr i64, ptr %places, i64 %i
  %at = load i64, ptr %where
  %p = call ptr @PyList_GetItem(ptr %params, i64 %at)
  %p_held = load ptr, ptr %mine
  %p_same = icmp eq ptr %p, %p_held
  br i1 %p_same, label %gradient, label %stale
gradient:
  %p_out = getelementptr i64, ptr %line, i64 2
  %p_good = call i1 @address(ptr %p, i64 %offset, i32 %dtype_p, i64 %count, ptr %p_out)
  %g = call ptr @PyList_GetItem(ptr %gradients, i64 %at)
  %g_none = icmp eq ptr %g, %none
  %g_some = xor i1 %g_none, true
  %so_far = and i1 %p_good, %g_some
  br i1 %so_far, label %gradient_there, label %stale
gradient_there:
  %g_out = getelementptr i64, ptr %line, i64 3
  %g_good = call i1 @address(ptr %g, i64 %offset, i32 %dtype_p, i64 %count, ptr %g_out)
  %own = call ptr @PyList_GetItem(ptr %kept, i64 %i)
  br i1 %g_good, label %entry_loop, label %stale
entry_loop:
  %j = phi i64 [0, %gradient_there], [%j_next, %entry_end]
  %j_more = icmp slt i64 %j, %entries
  br i1 %j_more, label %look, label %row_end
look:
  %key = call ptr @PyList_GetItem(ptr %keys, i64 %j)
  %x = call ptr @PyDict_GetItem(ptr %own, ptr %key)
  %j_next = add i64 %j, 1
  %x_where = getelementptr i64, ptr %mine, i64 %j_next
  %x_held = load ptr, ptr %x_where
  %x_same = icmp eq ptr %x, %x_held
  br i1 %x_same, label %known, label %stale
known:
  %is_state = icmp slt i64 %j, %states
  br i1 %is_state, label %state, label %entry_end
state:
  %column = add i64 %j, 4
  %x_out = getelementptr i64, ptr %line, i64 %column
  %x_good = call i1 @address(ptr %x, i64 %offset, i32 %dtype_s, i64 %count, ptr %x_out)
  br i1 %x_good, label %entry_end, label %stale
entry_end:
  br label %entry_loop
row_end:
  %next = add i64 %i, 1
  br label %row
done:
  ret i64 1
stale:
  ret i64 0
}
"""


@cache
def available() -> bool:
    """Return whether this Python and torch publish what `read` calls."""
    try:
        _compiled()
    except (AttributeError, OSError, RuntimeError):
        return False
    return True


class Reader:
    """Fills one table.

    Args:
        places: each row's parameter's place in its group.
        held: for each row its parameter, and what its state holds under each key: to be found there again.
        keys: of the state, then of what must merely be the same object.
        dtypes: of the parameters, and of their state.
        table: int64, a row for each parameter, as kernels take it; its first column says how many elements to expect.
    """

    def __init__(
        self,
        places: Sequence[int],
        held: Sequence[Sequence[Any]],
        keys: Sequence[str],
        dtypes: tuple[torch.dtype, torch.dtype],
        table: np.ndarray,
    ) -> None:
        self.function, codes, offset, self.engine = _compiled()
        self.held, self.keys = held, list(keys)
        ids = np.array([[id(x) for x in row] for row in held])
        self.arrays = np.array(places), ids, np.array([codes[dtype] for dtype in dtypes], np.int32), table
        starts = [array.ctypes.data for array in self.arrays]
        counts = [*ids.shape, table.shape[1] - 4]
        self.fixed = np.array([*starts, counts[0], counts[1] - 1, counts[2], offset, id(None)])
        self.address = int(self.fixed.ctypes.data)

    def read(self, params: list[Any], gradients: list[Any], kept: list[dict[str, Any]]) -> bool:
        """Fill the table; false, and the table is not to be used, if anything is not as it was.

        Args:
            params: a group's parameters.
            gradients: theirs, None among them.
            kept: the state of each row's parameter.
        """
        return bool(self.function(params, gradients, kept, self.keys, self.address))


@cache
def _compiled() -> tuple[Any, dict[torch.dtype, int], int, Any]:
    offset = _offset()
    library = ctypes.CDLL(str(_library()))
    symbols = {name: getattr(ctypes.pythonapi, name) for name in _PYTHON}
    torches = ["aoti_torch_is_contiguous", *(f"aoti_torch_get_{name}" for name in _TORCH)]
    symbols |= {name: getattr(library, name) for name in torches}
    codes = {dtype: int(getattr(library, f"aoti_torch_dtype_{name}")()) for dtype, name in _DTYPES.items()}
    machine = target()
    for name, function in symbols.items():
        llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
    module = llvm.parse_assembly(_CODE)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    kind = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.py_object] * 4, ctypes.c_void_p)  # keeps the GIL
    return kind(engine.get_function_address("read")), codes, offset, engine


def _offset() -> int:
    """Return where in a tensor object the pointer lies that torch gives out as ``_cdata``: C++'s Tensor."""
    samples = [torch.zeros(3), torch.zeros(()), torch.nn.Parameter(torch.zeros(2)), torch.zeros(4, 4).t()]
    places = range(object.__basicsize__, torch.Tensor.__basicsize__ - 7, 8)
    found = [at for at in places if all(_word(x, at) == x._cdata for x in samples)]  # noqa: SLF001
    if len(found) != 1:
        raise RuntimeError("tensor objects are laid out in a way not known here")
    return found[0]


def _word(x: Any, at: int) -> int:
    return ctypes.c_uint64.from_address(id(x) + at).value


def _library() -> Path:
    folder = Path(torch.__file__).parent / "lib"
    names = ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll")
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise OSError(f"no torch library in {folder}")
    return found[0]
