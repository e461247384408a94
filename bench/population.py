"""Whole training steps of many models at once, beside the same steps taken one model after the other.

Every case is measured in a process of its own: `python bench/population.py CASE` prints what it found.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from clock import met, table
from thalweg.train import EXECUTORS, Member, train
from thalweg.train.population import Population
from thalweg.train.state import begin

Step = Callable[[], object]

RATE = 1e-6
"""Weights stay about where they are, so that every step is the same work as the one before."""

TURN = 0.04
"""CPU seconds in which a contender steps in a row, so that it finds the caches as its last step left them."""

SECONDS = 25.0
"""How long the contenders of a case take turns."""

MEMORY = 1.3
"""What a population may take, in parts of what its runs keep."""

GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Lets a process whose memory is measured give back at once what it frees of 64 KiB or more; what malloc keeps for
later is in nobody's use."""

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward")
"""The operations of torch whose arithmetic is counted."""

HEAD = [
    "model", "best executor", "at once", "× eager", "× torch.compile", "eager ÷ its products",
    "× eager at the core's peak",
]  # fmt: skip

TAKING = Path("/proc/self/clear_refs")
"""Where Linux lets a process begin anew to count its peak memory."""


# -- what is trained ---------------------------------------------------------------------------------------------


def layer_norm() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10))


def large() -> nn.Module:
    return nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


class LSTM(nn.Module):
    """A sequence in, its class out: the last hidden state of 64, through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 64, batch_first=True)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 10) for (N, T, 16)."""
        scores: Tensor = self.out(self.lstm(x)[0][:, -1])
        return scores


def drawn(model: Callable[[], nn.Module], *shape: int) -> tw.Task:
    """Return a task on numbers that are drawn: 1,000 examples of a shape in 10 classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, *shape, generator=generator)
    y = torch.randint(10, (1000,), generator=generator)
    return tw.Task(model=model, data=(x, y), loss=F.cross_entropy, metric=tw.accuracy, splits=(0.8, 0.1, 0.1))


def digits(model: Callable[[], nn.Module]) -> tw.Task:
    made = tw.load_task("digits")
    parts = {
        word: (part.inputs, part.targets) for word, part in vars(made).items() if word in ("train", "valid", "test")
    }
    return tw.Task(model=model, loss=F.cross_entropy, metric=tw.accuracy, **parts)


@dataclass(frozen=True)
class Case:
    """What is trained and what is hoped of it.

    Attributes:
        task: makes it.
        batch: examples a step.
        counts: how many are trained at once.
        target: how many times as many steps as eager PyTorch, by the best executor.
        aim: beyond it.
        uncompiled: the target of the best executor that does not compile.
    """

    task: Callable[[], tw.Task]
    batch: int
    counts: tuple[int, ...]
    target: float
    aim: float | None = None
    uncompiled: float | None = None


CASES = {
    "MLP 64-64-10": Case(lambda: tw.load_task("digits"), 64, (8, 16, 32, 64), 8.0, uncompiled=3.0),
    "MLP with layer norm": Case(lambda: digits(layer_norm), 64, (8, 16, 32, 64), 5.0),
    "CNN on 8×8": Case(lambda: tw.load_task("digits-cnn"), 64, (8, 16, 32), 1.5, aim=2.0),
    "transformer, batch 16": Case(lambda: tw.load_task("pysource"), 16, (8, 16, 32), 4.0),
    "transformer, batch 64": Case(lambda: tw.load_task("pysource"), 64, (4, 8), 4.0),
    "LSTM": Case(lambda: drawn(LSTM, 32, 16), 64, (8, 16, 32), 0.97, aim=1.5),
    "MLP 1024-1024-1024-10": Case(lambda: drawn(large, 1024), 64, (2, 4, 8), 0.97),
}
KEPT = (("MLP 64-64-10", 64), ("CNN on 8×8", 8))
"""The cases whose memory is measured, and how many are trained at once."""


# -- the contenders ----------------------------------------------------------------------------------------------


def ours(task: tw.Task, executor: str, runs: int, batch: int) -> Step:
    """Return a step of a population, which is the library's own loop's: gather, forward, backward, update."""
    recipe = tw.Recipe(tw.optim.adam(lr=RATE), epochs=2000, batch_size=batch).resolved()
    states = [begin(task, Member(recipe, seed, str(seed))) for seed in range(runs)]
    rows = Population(task, executor, runs, states)._seated(states)  # noqa: SLF001 – its run() gives no single step
    cuts = _cuts(task, batch)

    def step() -> None:
        cut = cuts[rows.done[0] % len(cuts)]
        if cut.start == 0:
            rows._order()  # noqa: SLF001 – as at the end of every epoch
        rows.step(cut)

    return step


def eager(task: tw.Task, batch: int) -> Step:
    """Return a step of one model as it is written in plain PyTorch, with the fused Adam."""
    module = task.model(0).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    step = _plain(task, module, optimizer)
    return _in_turn(step, task, batch)


def compiled(task: tw.Task, batch: int) -> dict[str, Step]:
    """Return the same step by `torch.compile`: as a whole, and with the fused Adam left as it is."""
    module = task.model(0).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    whole = torch.compile(_plain(task, module, optimizer))
    other = task.model(0).train()
    fused = torch.optim.Adam(other.parameters(), lr=RATE, fused=True)

    @torch.compile
    def loss(rows: Tensor) -> Tensor:
        value: Tensor = task.loss(other(task.train.inputs[rows]), task.train.targets[rows])  # type: ignore[index,call-overload]
        return value

    def partly(rows: Tensor) -> None:
        fused.zero_grad()
        loss(rows).backward()  # type: ignore[no-untyped-call]
        fused.step()

    return {"whole": _in_turn(whole, task, batch), "fused Adam eager": _in_turn(partly, task, batch)}


def _plain(task: tw.Task, module: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[Tensor], None]:
    inputs, targets = task.train.inputs, task.train.targets
    assert isinstance(inputs, Tensor)

    def step(rows: Tensor) -> None:
        optimizer.zero_grad()
        task.loss(module(inputs[rows]), targets[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _in_turn(step: Callable[[Tensor], object], task: tw.Task, batch: int) -> Step:
    cuts, order, done = _cuts(task, batch), torch.arange(len(task.train)), 0

    def one() -> None:
        nonlocal order, done
        cut = cuts[done % len(cuts)]
        if cut.start == 0:
            order = torch.randperm(len(order))
        step(order[cut])
        done += 1

    return one


def _cuts(task: tw.Task, batch: int) -> list[slice]:
    """Return the batches of an epoch, all of the same size."""
    return [slice(start, start + batch) for start in range(0, len(task.train) - batch + 1, batch)]


# -- what is measured of them ------------------------------------------------------------------------------------


def speeds(case: Case, counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """Return CPU seconds a run and step of every contender, seconds until its first step, FLOPs, and the peak."""
    task = case.task()
    found: dict[str, Any] = {"flops": flops(task, case.batch), "refused": {}, "first": {}, "each": {}}
    runs, steps = dict[str, int](), dict[str, Step]()

    def add(name: str, count: int, make: Callable[[], Step]) -> None:
        try:
            started = time.perf_counter()
            step = make()
            step()
            found["first"][name] = time.perf_counter() - started
            step()
        except Exception as error:  # what an executor cannot take is what this table shows
            text = next(iter(str(error).strip().splitlines()), "")
            found["refused"][name] = f"{type(error).__name__}: {text[:160]}"
            return
        print(f"{name}: first step after {found['first'][name]:.1f} s", file=sys.stderr)
        runs[name], steps[name] = count, step

    add("eager", 1, lambda: eager(task, case.batch))
    for name in ("whole", "fused Adam eager"):
        add(f"torch.compile, {name}", 1, lambda name=name: compiled(task, case.batch)[name])  # type: ignore[misc]
    for executor in EXECUTORS:
        # One by one, as a study does it: the next run waits until the one before is done.
        for count in (1,) if executor == "one by one" else counts:
            add(f"{executor}, {count}", count, lambda e=executor, c=count: ours(task, e, c, case.batch))  # type: ignore[misc]
    found["each"] = measure(steps, runs, seconds)
    found["peak"], found["products"] = peak(), products(task, case.batch)
    return found


def measure(steps: Mapping[str, Step], runs: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Return the median CPU seconds a run and step; contenders take turns, so that all see the same machine."""
    lengths = {name: max(1, round(TURN / _spent(step, 3))) for name, step in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(taken["eager"]) < 5:
        for name, step in steps.items():
            taken[name].append(_spent(step, lengths[name]) / runs[name])
    return {name: median(values) for name, values in taken.items()}


def _spent(step: Step, times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - started) / times


def flops(task: tw.Task, batch: int) -> float:
    """Return the floating point operations of one step's products, counted on an eager one."""
    from torch.utils.flop_counter import FlopCounterMode

    step = eager(task, batch)
    # oneDNN's LSTM is one operation of which the counter knows nothing.
    with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def products(task: tw.Task, batch: int) -> float:
    """Return the CPU seconds of a step's products, each done again and again with all that it reads in the caches."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func.overloadpacket.__name__ in PRODUCTS:
                calls.append(lambda: func(*args, **(kwargs or {})))
            return func(*args, **(kwargs or {}))

    calls: list[Step] = []
    step = eager(task, batch)
    # oneDNN's LSTM hides its products; those of torch's own stand for them.
    with torch.backends.mkldnn.flags(enabled=False), Seen():
        step()
    with torch.no_grad():
        return sum(median(_spent(call, 20) for _ in range(5)) for call in calls)


def peak() -> float:
    """Return the most floating point operations a second that a float32 product reaches on one core."""
    best = 0.0
    for n, k, m in ((256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (64, 1024, 1024), (1024, 64, 1024)):
        a, b = torch.randn(n, k), torch.randn(k, m)
        out = torch.empty(n, m)
        times = max(1, round(1e9 / (2 * n * k * m)))
        # The best, not the median: it is a bound.
        best = max(best, *(2 * n * k * m / _spent(lambda: torch.mm(a, b, out=out), times) for _ in range(10)))  # noqa: B023
    return best


def memory(case: Case, executor: str, runs: int) -> dict[str, float]:
    """Return the bytes that a population takes at its peak, in steps alone and in all, and those that its runs keep.

    All is two epochs with their evaluations. A population of the same kind has come and gone before, so that what
    the process loads and compiles once is there already.
    """
    task = case.task()
    recipe = tw.Recipe(tw.optim.adam(), epochs=2, batch_size=case.batch).resolved()
    members = [Member(recipe, seed) for seed in range(runs)]
    for _ in range(2):
        train(task, members, executor)
        before = _trimmed()
    train(task, members, executor)
    found = {"peak": _status("VmHWM") - before, "kept": float(runs * kept(task, case.batch))}
    before = _trimmed()
    step = ours(task, executor, runs, case.batch)
    _trimmed()
    for _ in range(20):
        step()
    return found | {"steps": _status("VmHWM") - before}


def _trimmed() -> float:
    """Give back what is free, begin to count the peak anew, and return the bytes that the process has."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    TAKING.write_text("5")
    return _status("VmRSS")


def kept(task: tw.Task, batch: int) -> int:
    """Return the bytes of one run: weights, gradients, Adam's state, and what a step saves to go back."""
    module = task.model(0).train()
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    saved: dict[int, int] = {}

    def save(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    part = task.train.at(torch.arange(batch))
    with torch.autograd.graph.saved_tensors_hooks(save, lambda x: x):
        loss = task.loss(module(part.inputs), part.targets)
    del loss
    return 4 * weights + sum(saved.values())


def _status(what: str) -> float:
    """Return a line of the process's status in bytes. (A child's `ru_maxrss` begins at what its parent had.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


# -- the page ----------------------------------------------------------------------------------------------------


def section() -> str:
    with tempfile.TemporaryDirectory() as caches:  # so that seconds of compiling are those of a cold start
        cases = {name: _measured(caches, name) for name in CASES}
        weighed = [
            (name, e, n, _measured(caches, name, e, str(n), environment=GIVES_BACK))
            for name, n in KEPT
            for e in EXECUTORS
        ]
    best = max(found["peak"] for found in cases.values())
    counts = "; ".join(f"{', '.join(map(str, case.counts))} ({name})" for name, case in CASES.items())
    text = f"""## Populations

Whole training steps (order, gather, forward, backward, Adam) of one model among many, beside eager PyTorch with its
fused Adam, one model after the other; batch 64 unless said. CPU time on one thread, in one process a case, medians of
turns of {1e3 * TURN:.0f} ms. × says how many times as many steps a second as the other takes. The core's peak is
{best / 1e9:.0f} GFLOP/s, the most that a float32 product reached in this run; of a step, products alone are counted
(`FlopCounterMode`). Eager ÷ its products is how many times quicker a step would be that were its products and nothing
else, each done again and again by itself, with all that it reads in the caches: where these are large enough to fill
the core, no step that uses the same libraries can be quicker.

{table([*HEAD, "target", ""], _heads(cases, best))}

Each executor at its best number, of {counts}. `torch.compile` is the quicker of the whole step and of the step with
its fused Adam left eager. Compiling is the wall time until the first step is done, with nothing cached.

{table(["model", "by", "at once", "µs a step", "× eager", "of the peak", "compiling"], _rows(cases, best))}

Peak memory of a population that trains for two epochs, beside {MEMORY} times what its runs keep: weights, gradients,
Adam's state, and what a step saves for the way back. It is the resident memory of a process whose allocator gives
back at once what is freed of 64 KiB or more, after two such populations have come and gone. Where not all pass at
once, it is less than what they would keep together.

{table(["model", "executor", "at once", "peak", "of steps", "kept", "peak ÷ kept", "target", ""], _weights(weighed))}
"""
    refused = {f"{name}, {way}": why for name, found in cases.items() for way, why in found["refused"].items()}
    return text + ("\nNot taken: " + "; ".join(f"{what} ({why})" for what, why in refused.items()) if refused else "")


def _measured(caches: str, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    quiet = {"OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": caches, "THALWEG_CACHE": caches, **environment}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=os.environ | quiet, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _ways(found: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Return the quickest contender of each kind: its name with its number, and its seconds."""
    kinds: dict[str, tuple[str, float]] = {}
    for name, seconds in found["each"].items():
        kind = name.rpartition(", ")[0] or name
        if kind not in kinds or seconds < kinds[kind][1]:
            kinds[kind] = name, seconds
    return kinds


def _heads(cases: Mapping[str, Mapping[str, Any]], best: float) -> list[list[str]]:
    rows = []
    for name, found in cases.items():
        case, ways = CASES[name], _ways(found)
        executors = {kind: way for kind, way in ways.items() if kind in EXECUTORS}
        asked = [(executors, case.target, case.aim)]
        if case.uncompiled is not None:
            asked.append(
                ({kind: way for kind, way in executors.items() if kind != "compiled"}, case.uncompiled, None)
            )
        for some, target, aim in asked:
            kind = min(some, key=lambda kind: some[kind][1])
            way, seconds = some[kind]
            plain, other = ways["eager"][1], ways.get("torch.compile")
            rows.append([
                name if some is executors else f"{name}, uncompiled", kind, way.rpartition(", ")[2],
                f"{plain / seconds:.2f}", "" if other is None else f"{other[1] / seconds:.2f}",
                f"{plain / found['products']:.1f}", f"{plain * best / found['flops']:.1f}",
                f"≥ {target:g}" + (f", aim {aim:g}" if aim else ""), met(plain / seconds >= target),
            ])  # fmt: skip
    return rows


def _rows(cases: Mapping[str, Mapping[str, Any]], best: float) -> list[list[str]]:
    rows = []
    for name, found in cases.items():
        ways = _ways(found)
        for kind, (way, seconds) in ways.items():
            # The second of torch's two ways finds in the cache what the first has compiled, and so may other numbers.
            first = max(seconds for name, seconds in found["first"].items() if name.startswith(kind))
            rows.append([
                name, kind, way.rpartition(", ")[2] if kind in EXECUTORS else "1", f"{1e6 * seconds:.0f}",
                f"{ways['eager'][1] / seconds:.2f}", f"{found['flops'] / seconds / best:.0%}",
                f"{first:.0f} s" if "compile" in kind else "",
            ])  # fmt: skip
    return rows


def _weights(weighed: Sequence[tuple[str, str, int, Mapping[str, Any]]]) -> list[list[str]]:
    rows = []
    for name, executor, runs, found in weighed:
        if "refused" in found:
            rows.append([name, executor, str(runs), *[""] * 6])
            continue
        share = found["peak"] / found["kept"]
        sizes = [f"{found[what] / 2**20:.1f} MiB" for what in ("peak", "steps", "kept")]
        rows.append([name, executor, str(runs), *sizes, f"{share:.2f}", f"≤ {MEMORY}", met(share <= MEMORY)])
    return rows


def main() -> None:
    """Print what is measured of a case: its speeds; or, given an executor and a number, its memory."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of what vmap takes one by one, and the like: the figures say it
    name, *more = sys.argv[1:]
    if len(more) == 2:
        print(json.dumps(memory(CASES[name], more[0], int(more[1]))))
    else:
        counts = [int(count) for count in more[0].split(",")] if more else CASES[name].counts
        print(json.dumps(speeds(CASES[name], counts, 1.0 if more else SECONDS)))


if __name__ == "__main__":
    main()
