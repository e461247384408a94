"""Memory: how much can be had, and models that are too large for it."""

from __future__ import annotations

import os
import resource
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from thalweg.errors import InputError, is_memory
from thalweg.task.waiting import Waiting

__all__ = ["TooLargeError", "at_most", "check_size", "free", "in_bounds", "is_memory", "size"]


class TooLargeError(InputError):
    """A model that memory has no room for."""


def free(processes: int = 1, system: Path = Path("/")) -> float:
    """Return the bytes of memory that each of so many processes can have.

    Bounds are the machine's memory, what files are cached in included, the control groups' that the process is in,
    and the limit on its address space (``ulimit -v``), which each process has for itself.

    Args:
        processes: that share what there is.
        system: where ``proc`` and ``sys`` are.
    """
    return max(0.0, min([min([_machine(system), *_groups(system)]) / processes, *_own(system)]))


def _machine(system: Path) -> float:
    try:
        lines = (system / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


def _groups(system: Path) -> Iterator[float]:
    """Yield the bytes left to each control group that has a limit: this process's, and those around it."""
    mount = system / "sys/fs/cgroup"
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, kinds, name in (line.split(":", 2) for line in lines if line.count(":") > 1):
        if kinds == "":
            root, limit, used, cached = mount, "memory.max", "memory.current", "inactive_file"
        elif "memory" in kinds.split(","):
            root, limit, used = mount / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_inactive_file"
        else:
            continue
        group = root / name.strip("/")
        # In a container the name is the host's, and what is there is the container's own, at the root.
        for place in (group, *(one for one in group.parents if one == root or root in one.parents)):
            try:
                bound, taken = (int((place / file).read_text(encoding="utf-8")) for file in (limit, used))
                stat = dict(line.split() for line in (place / "memory.stat").read_text(encoding="utf-8").splitlines())
            except (OSError, ValueError):  # there is none, or its limit is "max"
                continue
            yield float(bound - taken + int(stat.get(cached, 0)))


def _own(system: Path) -> Iterator[float]:
    """Yield the bytes by which this process's address space may grow, if that is limited."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return
    try:
        taken = int((system / "proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        taken = 0
    yield float(limit - taken)


@contextmanager
def at_most(room: float, system: Path = Path("/")) -> Iterator[None]:
    """Have memory run out inside a ``with`` where more than so many bytes are taken, as an exception.

    Otherwise the kernel ends a process that goes beyond its control group's limit, without a word.

    Args:
        room: bytes.
        system: where ``proc`` is.
    """
    try:
        lines = (system / "proc/self/status").read_text(encoding="utf-8").splitlines()
        taken = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData"))
    except (OSError, StopIteration):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([taken + int(room), *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def size(count: float) -> str:
    """Return a number of bytes in words.

    >>> size(3 * 2**30), size(5e6)
    ('3.0 GiB', '5 MiB')
    """
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


def check_size(task: str, module: nn.Module, state: int = 0, room: float | None = None) -> None:
    """Refuse a model that memory has no room to train.

    Args:
        task: its name.
        module: the model.
        state: numbers that the optimizer keeps for each weight that is trained: two for Adam.
        room: bytes that it may take, itself included; what is free and what it has taken if not given.

    Raises:
        TooLargeError: with the sizes.
    """
    every = [*module.parameters()]
    weights, trained = (sum(p.nbytes for p in some) for some in (every, [p for p in every if p.requires_grad]))
    room = free() + weights if room is None else room
    needed = weights + (1 + state) * trained
    if needed > room:
        raise TooLargeError(
            f"the model of task {task} has {_million(every)} weights, {size(weights)}; with the gradients "
            f"{'and the state of Adam ' * (state > 0)}it takes {size(needed)}, and there are {size(room)} of memory; "
            f"{_REMEDY}"
        )


@contextmanager
def in_bounds(task: str, waiting: Waiting, room: float | None = None) -> Iterator[None]:
    """Refuse a model while it is made inside a ``with``, as soon as two of its size do not fit into memory.

    Args:
        task: its name.
        waiting: for it to be made.
        room: bytes; what is free if not given.

    Raises:
        TooLargeError: with the sizes; out of whatever makes the model.
    """
    room = free() if room is None else room
    made: list[weakref.ref[nn.Parameter]] = []
    seen = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal seen
        if not isinstance(parameter, nn.Parameter) or is_lazy(parameter) or parameter.device.type != "cpu":
            return
        made.append(weakref.ref(parameter))
        seen += parameter.nbytes
        waiting.say(f"making the model of task {task}, of which there are {size(seen)} by now")
        if 2 * seen > room:  # of what was counted, some may be shared, and some be gone
            living = {id(p): p for one in made if (p := one()) is not None}
            made[:], seen = [weakref.ref(p) for p in living.values()], sum(p.nbytes for p in living.values())
            if 2 * seen > room:
                raise TooLargeError(
                    f"the model of task {task} has {_million(list(living.values()))} weights or more, {size(seen)}; "
                    f"their gradients take as much again, and there are {size(room)} of memory; {_REMEDY}"
                )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


_REMEDY = "make it smaller, or use a machine with more"


def _million(parameters: Sequence[nn.Parameter]) -> str:
    return f"{sum(p.numel() for p in parameters) / 1e6:,.1f} million"
