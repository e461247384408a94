"""What is done on the nodes of a Ray cluster: a node shows what it has; a lane is trained, and told of."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from thalweg.key import Key
from thalweg.record import RunRecord
from thalweg.study.engines.lanes import Course, Lane, Watch, said, train_lane
from thalweg.study.engines.travelling import encoded, lane_from, opened, plain
from thalweg.task import Task
from thalweg.task.fitting import output_for
from thalweg.task.memory import is_memory
from thalweg.train.planner import ready

__all__ = ["beginning", "differs", "messages", "remote"]

_EVERY = 0.3  # seconds from one sign of life to the next, where there are more


def remote(ray: Any) -> tuple[Any, Any, Any]:
    """Return the tasks: a node shows what it has; a lane is trained; code is compiled, or asked for.

    They are local functions, which travel by value, and import nothing at first: a node may have another thalweg or
    none, and the number of threads must stand in the environment before torch is there.
    """

    def admit(task: list[Any], versions: dict[str, str], expected: dict[str, list[float]]) -> str:
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
            from thalweg.study.engines.travelling import opened
            from thalweg.study.engines.worker import differs

            made = opened(task)
        except Exception as error:
            return f"the task cannot be loaded there: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return differs(made, expected)

    def work(task: list[Any], lane: dict[str, Any]) -> Iterator[dict[str, Any]]:
        import os

        yield {"begun": True}  # before what takes long: what has not begun waits for a core
        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        from thalweg.study.engines.worker import messages

        yield from messages(task, lane)

    def code(task: list[Any], asked: dict[str, Any]) -> Any:
        import os

        os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        from thalweg.study.engines.compiling import answer

        return answer(task, asked)

    never = {"max_retries": 0, "retry_exceptions": False}
    return (
        ray.remote(num_cpus=0, **never)(admit),
        ray.remote(num_cpus=1, num_returns="streaming", **never)(work),
        ray.remote(num_cpus=0, **never)(code),
    )


# -- whether a model is the same here ----------------------------------------------------------------------------


def beginning(task: Task) -> dict[str, list[float]]:
    """Return what a task's model begins with, and its loss then, as a few numbers that machines can compare."""
    module = task.model(0)
    found = {
        f"weights {name}": x.detach().reshape(-1)[:4].tolist()
        for name, x in module.named_parameters()
        if x.is_floating_point()
    }
    few = task.train.at(torch.arange(min(16, len(task.train))))
    with (Key(0) / "fingerprint").seeded(), torch.no_grad():
        found["loss"] = [float(task.loss(output_for(task.loss, module, few), few.targets))]
    return found


def differs(task: Task, expected: Mapping[str, list[float]]) -> str:
    """Return in what a task is another here than where it comes from, or cannot be used; empty where it is the same.

    Numbers may differ by rounding, as they do between processors.

    Args:
        task: as it was loaded here.
        expected: its `beginning` where it comes from.
    """
    torch.set_num_threads(1)
    try:
        found = beginning(task)
    except Exception as error:
        return f"task {task.name} cannot be used there: {said(error).removeprefix('InputError: ')}"
    for name, values in expected.items():
        mine = found.get(name, [])
        if len(mine) == len(values) and np.allclose(mine, values, rtol=1e-3, atol=1e-6, equal_nan=True):
            continue
        if name == "loss":
            return f"the loss of task {task.name} is {mine[0]:.4g} there and {values[0]:.4g} here"
        return f"the model of task {task.name} begins with other weights there than here, under one seed"
    return ""


# -- training ----------------------------------------------------------------------------------------------------


def messages(sent: list[Any], lane: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Train a lane; yield each record when its run is done, as plain values, and now and then a sign of life.

    A sign of life says how many epochs were gone through since the last. It comes from what trains: where that
    stands still, nothing is yielded. In between come how far runs are (``courses``), and the lane as it is
    (``kept``), to be written down. Where training raises, the last message says what (``raised``), and whether it was
    for want of ``memory``.

    Args:
        sent: the task.
        lane: what `thalweg.study.engines.travelling.sent` returned, and under ``keep`` what `_Keeper` takes.
    """
    torch.set_num_threads(1)
    task = opened(sent)
    yield {"epochs": 0}
    passed: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A thread, since epochs are told by a call in the midst of training.
    threading.Thread(target=_train_into, args=(passed, task, lane_from(lane), lane["keep"]), daemon=True).start()
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
            case dict():
                yield item
            case "done":
                return
            case BaseException():
                raise item


def _train_into(passed: queue.SimpleQueue[Any], task: Task, lane: Lane, keep: tuple[float, float] | None) -> None:
    def courses(found: list[Course]) -> None:
        passed.put({"courses": found})

    def record(run: RunRecord) -> None:
        passed.put({"record": plain(run)})

    try:
        watch = Watch(epochs=passed.put, alive=lambda: passed.put(0), courses=courses)
        if keep is not None:
            watch.checkpoints, watch.seconds = _Keeper(passed, watch, *keep), keep[0]
        if lane.executor == "compiled":
            ready(task, lane.states[0].member.recipe.together(), lane.slots)
        train_lane(task, lane, watch, record)
    except Exception as error:
        passed.put({"raised": said(error), "memory": is_memory(error)})
    except BaseException as error:
        passed.put(error)
    passed.put("done")


class _Keeper:
    """Sends a lane's checkpoints to the process that writes them.

    Args:
        passed: where they go.
        watch: by which they come.
        seconds: from one to the next, at least.
        rate: bytes a second that may be sent; larger ones come more seldom.
    """

    def __init__(self, passed: queue.SimpleQueue[Any], watch: Watch, seconds: float, rate: float) -> None:
        self.passed, self.watch, self.seconds, self.rate = passed, watch, seconds, rate

    def save(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Any) -> None:  # noqa: ARG002
        """Send one; see `thalweg.train.checkpoint.Checkpoints.save`."""
        kept = encoded(tensors)
        self.watch.seconds = max(self.seconds, len(kept) / self.rate)
        # As text, since what trains goes on with the lists that facts are made of.
        self.passed.put({"kept": kept, "facts": json.dumps(facts)})
