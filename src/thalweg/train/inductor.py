"""Graphs of torch's operations as machine code, by Inductor, each kept in a file of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from thalweg import cache
from thalweg.files import write_whole
from thalweg.optim._executors.machine import processor

__all__ = ["Code", "compile_graph", "folder", "import_compiler", "load", "no_compiler", "path_of"]

Code = Callable[[list[Tensor]], list[Tensor]]
"""What a graph does, compiled: takes its inputs in a list of their own, which it empties."""


_CONTRACT = "off -fwrapv"
"""What Inductor writes behind ``-ffp-contract=``, the one place for a flag of ours. C++ lets a compiler take it that
int64 never overflow: without vectors g++ does so, and hashes are others, and so are dropout's masks."""


def folder() -> Path:
    """Return where compiled code is kept."""
    return cache.folder() / "compiled"


def path_of(done: str) -> Path:
    """Return where code is kept: under a hash of what it does, as `recorded` says it, of what makes it, and for what.

    It makes use of all that a processor has, and machines that are not alike may share a cache. Which compiler it was
    is left out, since code is used where there is none.
    """
    made_by = torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), _CONTRACT
    facts = [done, *made_by, *processor()]
    return folder() / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:32]}.pt2"


def load(path: Path) -> Code | None:
    """Return the code in a file; None if there is none, or it was cut short."""
    with suppress(Exception):
        return _loaded(path) if path.exists() else None
    return None


def _loaded(package: Path) -> Code:
    """Return the code in a file; torch unpacks it into a folder that it would leave behind after a kill."""
    before = os.environ.get("TMPDIR")
    with TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        try:
            code: Any = torch._C._aoti.AOTIModelPackageLoader(str(package), "model", False, 1, -1)  # noqa: SLF001
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
    found: Code = code.boxed_run
    return found


def compile_graph(graph: torch.fx.GraphModule, example: Sequence[Tensor], path: Path) -> Code:
    """Return the code of a graph for inputs like these, and keep it in a file; where that cannot be, it is not kept.

    Raises:
        Exception: whatever the compiler raised.
    """
    from torch._inductor import aot_compile
    from torch._inductor.package.package import package_aoti

    for node in graph.graph.nodes:
        node.meta.clear()  # what tracing noted would be taken for an export's
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = aot_compile(graph, tuple(example), options=_options())
        with TemporaryDirectory() as folder:
            package = Path(folder) / "code.pt2"
            package_aoti(str(package), made)
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, package.read_bytes())
            return _loaded(package)


def _options() -> dict[str, Any]:
    """Return how Inductor is to compile.

    Headers made ready beforehand pay from the third graph on, and until then every process waits for the first. To
    find out which instructions there are, Inductor compiles one program after another for some ten seconds; that the
    compiler knows the instructions of this processor is seen in one.
    """
    from torch._inductor.cpu_vec_isa import supported_vec_isa_list, x86_isa_checker

    options: dict[str, Any] = {
        "aot_inductor.package": True, "aot_inductor.precompile_headers": False,
        "cpp.enable_floating_point_contract_flag": _CONTRACT,
    }  # fmt: skip
    there = x86_isa_checker()
    flags = {
        flag
        for isa in supported_vec_isa_list
        if set(str(isa).split()) <= {*there}
        for flag in isa.build_arch_flags().split()
    }
    if flags and _compiles(sorted(flags)):
        options["cpp.vec_isa_ok"] = True
    return options


def _compiles(flags: Sequence[str]) -> bool:
    """Return whether the compiler takes some flags, and knows what they stand for."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    command = [get_cpp_compiler(), *flags, "-x", "c++", "-fsyntax-only", "-"]
    program = "#include <immintrin.h>\n"
    with suppress(OSError):
        return subprocess.run(command, input=program, text=True, capture_output=True, check=False).returncode == 0
    return False


def import_compiler() -> None:
    """Import Inductor, which takes seconds, once for this process and those that are forked from it."""
    import torch._inductor.compile_fx  # noqa: F401


def no_compiler() -> str:
    """Return why nothing can be compiled here, or nothing."""
    named = os.environ.get("CXX")
    for name in [named] if named else ["g++", "clang++", "c++"]:
        if shutil.which(name):
            return ""
    return f"there is no C++ compiler ({named or 'g++ or clang++'})"
