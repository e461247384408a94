"""From LLVM's language to this machine's code, kept on the disk; and bfloat16, which LLVM's vectors do not know."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from thalweg.cache import kept_bytes

__all__ = ["compiled", "processor", "rounded", "target", "widened"]

_INT, _SHORT = ir.IntType(32), ir.IntType(16)


def compiled(
    module: ir.Module, *, interleaved: bool = True, optimised: bool = True
) -> Callable[[int, int, int], None]:
    """Return a module's function ``run`` of two addresses and a number; the GIL is free while it runs.

    Args:
        module: with the function ``run``.
        interleaved: whether a loop may work on several vectors at a time; two streams are read a twentieth quicker
            one at a time.
        optimised: whether LLVM rewrites it; what is written in vectors is as quick without, and compiled in half the
            time.
    """
    text, machine = str(module), target()

    def made() -> bytes:
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        if optimised:
            tuning = llvm.create_pipeline_tuning_options(speed_level=3)
            tuning.loop_vectorization = True
            tuning.loop_interleaving = interleaved
            passes = llvm.create_pass_builder(machine, tuning)
            passes.getModulePassManager().run(parsed, passes)
        return bytes(machine.emit_object(parsed))

    by = made.__code__.co_code, made.__code__.co_consts, llvm.llvm_version_info, *processor()
    named = hashlib.sha256(repr((text, interleaved, optimised, by)).encode()).hexdigest()[:32]
    content = kept_bytes(f"machine/{named}.o", made)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(content))
    engine.finalize_object()
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(engine.get_function_address("run"))

    def step(table: int, shared: int, rows: int) -> None:
        run(table, shared, rows)

    step.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its engine
    return step


def target() -> Any:
    """Return this machine, as LLVM compiles for it; a new one for each engine, which owns and frees it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = processor()
    return llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3)


@cache
def processor() -> tuple[str, str]:
    """Return the name and the features of the processor that is compiled for, as LLVM has them."""
    features: str = llvm.get_host_cpu_features().flatten()
    if "+avx512f" in features:  # with half the width, two streams are read an eighth quicker, four as quickly
        features += ",+prefer-256-bit"
    return llvm.get_host_cpu_name(), features


def widened(code: ir.IRBuilder, bits: Any) -> Any:
    """Return bfloat16, as the int16 that it is stored as, as float32: it is the upper half."""
    return code.bitcast(code.shl(code.zext(bits, _INT), _INT(16)), ir.FloatType())


def rounded(code: ir.IRBuilder, value: Any) -> Any:
    """Return float32 as bfloat16 in an int16, rounded to the nearest, ties to even; NaN stays NaN."""
    bits = code.bitcast(value, _INT)
    odd = code.and_(code.lshr(bits, _INT(16)), _INT(1))
    near = code.lshr(code.add(code.add(bits, odd), _INT(0x7FFF)), _INT(16))
    broken = code.fcmp_unordered("!=", value, value)
    return code.trunc(code.select(broken, _INT(0x7FC0), near), _SHORT)
