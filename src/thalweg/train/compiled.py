"""Losses and gradients of many models at once, compiled to machine code that is kept on the disk.

The vmapped step is traced once for each number of models and each batch size, and compiled by Inductor without
Dynamo: there are no guards to check at each step, and no cache of a few graphs that silently overflows. What is
compiled lies in `folder`, under a hash of all that it was made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from thalweg.task import Split, Task
from thalweg.train.dropout import step_keys
from thalweg.train.state import RunState, beginnings
from thalweg.train.vmapped import Vmapped

__all__ = ["Compiled", "compile_steps", "count_compiled", "folder", "load_steps", "no_compiler"]

Code = Callable[..., Any]

_LOADED: WeakKeyDictionary[Task, dict[tuple[int, int], Code]] = WeakKeyDictionary()
"""What this process has ready: by task, number of models and batch size."""


class Compiled(Vmapped):
    """As `Vmapped`, where each step is one call of compiled code.

    Raises:
        RuntimeError: as for `Vmapped`; or, on a step, the code cannot be compiled.
    """

    def __init__(self, task: Task, states: Sequence[RunState], slots: int = 0) -> None:
        super().__init__(task, states, slots)
        self.code = _LOADED.setdefault(task, {})

    def differentiate(self, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`."""
        self.gradients, losses, *rest = self._call(self.parameters, batch, steps)
        self.rest = dict(zip(self.rest, rest, strict=True))
        return losses

    def elsewhere(self, rows: Tensor, weights: Tensor, batch: Split, steps: Sequence[int]) -> Tensor:
        """See `Executor`; takes as long as a step of all rows."""
        return self._call(self.parameters.index_copy(0, rows, weights), batch, steps)[0][rows]

    def _call(self, weights: Tensor, batch: Split, steps: Sequence[int]) -> list[Tensor]:
        size = len(self.parameters), batch.targets.shape[1]
        if size not in self.code:
            self.code[size] = _Traced(self, batch).made()
        flat, _ = pytree.tree_flatten(self.arguments(weights, batch, steps))
        with torch.no_grad():
            found: list[Tensor] = self.code[size](*flat)
        return found

    def arguments(self, weights: Tensor, batch: Split, steps: Sequence[int]) -> tuple[Any, ...]:
        """Return what a step is a function of."""
        return weights, self.rest, batch.inputs, batch.targets, step_keys(self.mask_keys, steps)


class _Traced:
    """A step as a graph of torch's operations, and where its code is kept."""

    def __init__(self, models: Compiled, batch: Split) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        models.module.train()
        given = models.arguments(models.parameters, batch, [0] * len(models.parameters))
        self.example, spec = pytree.tree_flatten(given)

        def step(*flat: Any) -> list[Tensor]:
            gradients, (losses, rest) = models.uncompiled(*pytree.tree_unflatten(flat, spec))
            return [gradients, losses, *rest.values()]

        self.graph = make_fx(step)(*self.example)
        self.path = folder() / f"{self._digest()}.bin"

    def _digest(self) -> str:
        whole = hashlib.sha256()
        facts: list[Any] = [
            torch.__version__,
            torch.backends.cpu.get_cpu_capability(),
            torch.get_num_threads(),
            self.graph.code,
        ]
        facts += [(x.dtype, tuple(x.shape), x.stride()) for x in self.example]
        whole.update(repr(facts).encode())
        for name, x in (*self.graph.named_buffers(), *_constants(self.graph)):
            whole.update(repr((name, x.dtype, tuple(x.shape))).encode())
            whole.update(x.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return whole.hexdigest()[:32]

    def made(self) -> Code:
        """Return the code, from the disk if it is there."""
        return self.loaded() or self.compiled()

    def loaded(self) -> Code | None:
        """Return the code if it is on the disk and whole."""
        if not self.path.exists():
            return None
        try:
            from torch._inductor.standalone_compile import CompiledArtifact

            code: Code = CompiledArtifact.load(path=str(self.path), format="binary")
        except Exception:  # another torch's, or a file cut short: it is made anew
            return None
        return code

    def compiled(self) -> Code:
        """Compile, and keep the code on the disk if that can be written."""
        from torch._inductor import standalone_compile

        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code: Any = standalone_compile(self.graph, self.example, dynamic_shapes="from_example_inputs")
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code.save(path=str(temporary), format="binary")
            temporary.replace(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
        found: Code = code
        return found


def _constants(graph: torch.fx.GraphModule) -> list[tuple[str, Tensor]]:
    """Return tensors that the forward pass uses and that are no parameters or buffers of the module."""
    names = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    return [(name, x) for name in sorted(names) if isinstance(x := getattr(graph, name, None), Tensor)]


def compile_steps(task: Task, slots: int, sizes: Iterable[int]) -> None:
    """Compile the steps of so many models on batches of these sizes, where that has not been done.

    Raises:
        Exception: whatever the compiler, or vmap, raised.
    """
    for traced, size in _each(task, slots, sizes):
        _LOADED[task][slots, size] = traced.made()


def compile_seconds(task: Task, slots: int, sizes: Iterable[int]) -> float:
    """Return about how long it would take to compile the steps, by the length of their graphs; 0 where it is done."""
    return sum(
        5 + 0.03 * len(traced.graph.graph.nodes) for traced, _ in _each(task, slots, sizes) if not traced.loaded()
    )


def load_steps(task: Task, slots: int, sizes: Iterable[int]) -> bool:
    """Return whether the steps are compiled, and make them ready for this process and those forked from it."""
    for traced, size in _each(task, slots, sizes):
        code = traced.loaded()
        if code is None:
            return False
        _LOADED[task][slots, size] = code
    return True


def _each(task: Task, slots: int, sizes: Iterable[int]) -> Iterable[tuple[_Traced, int]]:
    ready = _LOADED.setdefault(task, {})
    missing = [size for size in sizes if (slots, size) not in ready]
    if missing:
        models = Compiled(task, beginnings(task, slots))
        for size in missing:
            yield _Traced(models, task.train.at(torch.arange(size).repeat(slots, 1))), size


def count_compiled(task: Task) -> int:
    """Return how many graphs this process runs compiled for a task."""
    return len(_LOADED.get(task, {}))


def folder() -> Path:
    """Return where compiled code is kept: ``$THALWEG_CACHE``, or the user's cache."""
    given = os.environ.get("THALWEG_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(given) if given else home / "thalweg") / "compiled"


def no_compiler() -> str:
    """Return why nothing can be compiled here, or nothing."""
    named = os.environ.get("CXX")
    for name in [named] if named else ["g++", "clang++", "c++"]:
        if shutil.which(name):
            return ""
    return f"there is no C++ compiler ({named or 'g++ or clang++'})"
