"""What goes to the nodes of a Ray cluster and comes back, and what is done there.

A task goes by value, with the user's own code; records come back as plain values, which need no unpickling.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from thalweg import errors
from thalweg.errors import InputError
from thalweg.record import Curve, RunRecord
from thalweg.study.engines.lanes import Chunk, Watch, train_chunk
from thalweg.task import Task
from thalweg.task.reading import first_line

__all__ = ["messages", "opened", "packed", "plain", "record_from", "remote"]

_EVERY = 0.3  # seconds from one sign of life to the next, where there are more


def packed(task: Task) -> bytes:
    """Return a task as bytes, with all of the user's own code that it uses: lambdas, local classes, their files.

    Raises:
        InputError: it holds something that exists in this process alone, such as an open file.
    """
    cloudpickle = import_module("ray.cloudpickle")
    mine = _own_modules(task)
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(task))
    except Exception as error:
        raise InputError(f"task {task.name} cannot be sent to other machines: {first_line(error)}") from error
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


def _own_modules(task: Task) -> list[ModuleType]:
    """Return the loaded modules that other machines cannot import: those beside the task's file and the script."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    places = [Path.cwd(), *([Path(script).resolve().parent] if script else [])]
    places += [task.origin.file.resolve().parent] if task.origin else []
    installed = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, Path(errors.__file__).parent)]
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(module, ModuleType) or not file or name == "__main__" or module.__name__ != name:
            continue
        path = Path(file)
        if not path.is_absolute():  # torch.ops says "_ops.py", which is no place
            continue
        path = path.resolve()
        if any(map(path.is_relative_to, places)) and not any(map(path.is_relative_to, installed)):
            found.append(module)
    return found


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


def remote(ray: Any) -> tuple[Any, Any]:
    """Return the two tasks: a node shows what it has; a chunk is trained.

    They are local functions, which travel by value, and import nothing at first: a node may have another thalweg or
    none, and the number of threads must stand in the environment before torch is there.
    """

    def admit(task: list[Any], versions: dict[str, str]) -> str:
        import os
        import platform
        from importlib.metadata import PackageNotFoundError, version

        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        has = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in ("thalweg", "torch"):
            try:
                has[name] = version(name).partition("+")[0]
            except PackageNotFoundError:
                has[name] = "missing"
        differ = [name for name in versions if has[name] != versions[name]]
        if differ:
            theirs = " and ".join(f"{name} is {has[name]}" for name in differ)
            return f"{theirs} there, and {' and '.join(versions[name] for name in differ)} here"
        try:
            from thalweg.study.engines.worker import opened

            opened(task)
        except Exception as error:
            return f"the task cannot be loaded there: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return ""

    def work(task: list[Any], chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import os

        yield {"begun": True}  # before what takes long: what has not begun waits for a core
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        from thalweg.study.engines.worker import messages

        yield from messages(task, chunk)

    never = {"max_retries": 0, "retry_exceptions": False}
    return (
        ray.remote(num_cpus=0, **never)(admit),
        ray.remote(num_cpus=1, num_returns="streaming", **never)(work),
    )


_OPENED: dict[str, Task] = {}


def opened(sent: list[Any]) -> Task:
    """Return the task that was sent; a process loads it once."""
    ray = import_module("ray")
    reference = sent[0]
    if reference.hex() not in _OPENED:
        _OPENED.clear()
        _OPENED[reference.hex()] = import_module("ray.cloudpickle").loads(ray.get(reference))
    return _OPENED[reference.hex()]


def messages(sent: list[Any], chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Train a chunk; yield each record when its run is done, as plain values, and now and then a sign of life.

    A sign of life says how many epochs were gone through since the last. It comes from what trains: where that
    stands still, nothing is yielded.
    """
    torch.set_num_threads(1)
    task = opened(sent)
    yield {"epochs": 0}
    runs = tuple((identity, recipe, seed) for identity, recipe, seed in chunk["runs"])
    passed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A thread, since epochs are told by a call in the midst of training.
    threading.Thread(target=_train_into, args=(passed, task, Chunk(**{**chunk, "runs": runs})), daemon=True).start()
    epochs, alive, due = 0, False, time.monotonic() + _EVERY
    while True:
        item = None
        with suppress(queue.Empty):
            item = passed.get(timeout=max(0.0, due - time.monotonic()))
            if isinstance(item, int):
                epochs, alive = epochs + item, True
                if time.monotonic() < due:
                    continue
        if alive:
            yield {"epochs": epochs}
        epochs, alive, due = 0, False, time.monotonic() + _EVERY
        match item:
            case RunRecord():
                yield {"record": plain(item)}
            case "done":
                return
            case BaseException():
                raise item


def _train_into(passed: queue.SimpleQueue[Any], task: Task, chunk: Chunk) -> None:
    try:
        torch.set_num_threads(1)  # each thread has a number of its own
        train_chunk(task, chunk, Watch(epochs=passed.put, alive=lambda: passed.put(0)), passed.put)
        passed.put("done")
    except BaseException as error:
        passed.put(error)
