"""What goes to other machines and comes back: a task by value with the user's own code, lanes, and records.

Records come back as plain values, which need no unpickling; the tensors of a lane as the safetensors format has them.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from thalweg import errors
from thalweg.errors import InputError
from thalweg.record import Curve, RunRecord
from thalweg.study.engines.lanes import Lane
from thalweg.task import Task
from thalweg.task.reading import first_line
from thalweg.train.state import packed as packed_states
from thalweg.train.state import unpacked as unpacked_states

__all__ = [
    "Sources",
    "decoded",
    "encoded",
    "lane_from",
    "opened",
    "packed",
    "plain",
    "record_from",
    "sent",
    "unpacked",
]  # fmt: skip


# -- a task ------------------------------------------------------------------------------------------------------


def packed(task: Task) -> tuple[bytes, dict[str, tuple[str, bool]]]:
    """Return a task as bytes, with all of the user's own code that it uses, and what of that may be imported later.

    Lambdas, local classes and loaded modules go by value. What a function imports only when it is called is found
    there by name, as text: see `Sources`.

    Raises:
        InputError: it holds something that exists in this process alone, such as an open file.
    """
    cloudpickle = import_module("ray.cloudpickle")
    own = _Own(task)
    mine = own.modules()
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(task)), own.sources(mine)
    except Exception as error:
        raise InputError(f"task {task.name} cannot be sent to other machines: {first_line(error)}") from error
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


def unpacked(task: bytes, sources: Mapping[str, tuple[str, bool]]) -> Task:
    """Return the task that was packed, on the machine that it was sent to."""
    sys.meta_path.append(Sources(sources))  # last, so that what is there comes first
    loaded: Task = import_module("ray.cloudpickle").loads(task)
    return loaded


_OPENED: dict[str, Task] = {}


def opened(sent: list[Any]) -> Task:
    """Return the task that was sent; a process loads it once."""
    ray = import_module("ray")
    reference = sent[0]
    if reference.hex() not in _OPENED:
        _OPENED.clear()
        _OPENED[reference.hex()] = unpacked(*ray.get(reference))
    return _OPENED[reference.hex()]


class Sources(MetaPathFinder, InspectLoader):
    """Finds modules whose text was sent along.

    Args:
        sources: by name: the text, and whether it is a package.
    """

    def __init__(self, sources: Mapping[str, tuple[str, bool]]) -> None:
        self.sources = sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """See `importlib.abc.MetaPathFinder`."""
        return spec_from_loader(fullname, self) if fullname in self.sources else None

    def get_source(self, fullname: str) -> str:
        """See `importlib.abc.InspectLoader`."""
        return self.sources[fullname][0]

    def is_package(self, fullname: str) -> bool:
        """See `importlib.abc.InspectLoader`."""
        return self.sources[fullname][1]


class _Own:
    """Code that other machines cannot import: beside the task's file, the script, and where this process is."""

    def __init__(self, task: Task) -> None:
        script = getattr(sys.modules["__main__"], "__file__", None)
        self.places = [Path.cwd(), *([Path(script).resolve().parent] if script else [])]
        self.places += [task.origin.file.resolve().parent] if task.origin else []
        self.installed = [
            Path(place).resolve() for place in (sys.prefix, sys.base_prefix, Path(errors.__file__).parent)
        ]

    def has(self, file: str | None) -> bool:
        """Return whether a module's file is among it."""
        if not file or not Path(file).is_absolute():  # torch.ops says "_ops.py", which is no place
            return False
        path = Path(file).resolve()
        return any(map(path.is_relative_to, self.places)) and not any(map(path.is_relative_to, self.installed))

    def modules(self) -> list[ModuleType]:
        """Return what of it is loaded."""
        return [
            module
            for name, module in list(sys.modules.items())
            if isinstance(module, ModuleType) and name != "__main__" and module.__name__ == name
            if self.has(getattr(module, "__file__", None))
        ]

    def sources(self, modules: Sequence[ModuleType]) -> dict[str, tuple[str, bool]]:
        """Return the text of modules, and of all that they import, wherever that stands in them; by name."""
        found: dict[str, tuple[str, bool]] = {}
        names = [module.__name__ for module in modules]
        while names:
            name = names.pop()
            spec = None if name in found else self._spec(name)
            if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
                continue
            text, package = Path(spec.origin).read_text(errors="replace"), spec.submodule_search_locations is not None
            found[name] = text, package
            names += _imported(text, name if package else name.rpartition(".")[0])
        return found

    def _spec(self, name: str) -> ModuleSpec | None:
        """Find a module of its own without importing anything."""
        path = [*dict.fromkeys([*sys.path, *map(str, self.places)])]
        spec, done = None, ""
        for part in name.split("."):
            done = f"{done}.{part}" if done else part
            spec = PathFinder.find_spec(done, path)
            if spec is None or not self.has(spec.origin):
                return None
            path = list(spec.submodule_search_locations or ())
        return spec


def _imported(text: str, package: str) -> Iterator[str]:
    """Yield the names of modules that a text imports, and of what might be one; relative ones made whole."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        whole = []
        if isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            parts = parts[: len(parts) - node.level + 1] if node.level else parts
            start = ".".join([*filter(None, parts), *([node.module] if node.module else [])])
            whole = [start, *(f"{start}.{alias.name}" for alias in node.names)] if start else []
        for name in whole:
            pieces = name.split(".")
            yield from (".".join(pieces[:count]) for count in range(1, len(pieces) + 1))


# -- lanes and records -------------------------------------------------------------------------------------------


def sent(lane: Lane) -> dict[str, Any]:
    """Return a lane as plain values."""
    tensors, states = packed_states(lane.states)
    return {
        "name": lane.name, "executor": lane.executor, "slots": lane.slots, "states": states,
        "tensors": encoded(tensors),
    }  # fmt: skip


def lane_from(values: Mapping[str, Any]) -> Lane:
    """Return the lane that `sent` was given, to be trained with one thread."""
    states = tuple(unpacked_states(decoded(values["tensors"]), values["states"]))
    return Lane(values["name"], values["executor"], values["slots"], states)


def encoded(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as bytes, in their order; see `thalweg.train.checkpoint` for what they may be."""
    # One copy makes any tensor contiguous, and tied ones and views of one memory independent.
    copies = {name: torch.empty(x.shape, dtype=x.dtype).copy_(x.detach()) for name, x in tensors.items()}
    return bytes(save(copies, {"order": json.dumps(list(tensors))}))


def decoded(content: bytes) -> dict[str, Tensor]:
    """Return the tensors that `encoded` was given."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    tensors = load(content)
    # Cloned into torch's own memory: the last bits of some kernels depend on where memory is aligned.
    return {name: tensors[name].clone() for name in json.loads(header["order"])}


def plain(value: Any) -> Any:
    """Return a record as what needs no unpickling: text, numbers, bytes, and dicts of them."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": list(value.shape), "bytes": value.tobytes()}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value.item() if isinstance(value, np.generic) else value


def _array(values: Any) -> Any:
    return None if values is None else np.frombuffer(values["bytes"], values["dtype"]).reshape(values["shape"])


def record_from(values: dict[str, Any]) -> RunRecord:
    """Return the record that `plain` was given."""
    curve = values["curve"] and Curve(**{name: _array(column) for name, column in values["curve"].items()})
    return RunRecord(**{**values, "curve": curve, "outcomes": _array(values["outcomes"])})
