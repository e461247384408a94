"""What dropout does to a model's activations, and that it saves no work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from thalweg.dropout._rates import checked
from thalweg.errors import InputError
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned
from thalweg.key import Key
from thalweg.task.reading import apply, leaves
from thalweg.train.dropout import KeyedDropout

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Activations", "DropoutEffect", "dropout"]

LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
"""Before which dropout is put, but for the first that a model calls: what enters it are the data."""

TURNS = 11
"""How often each pass is timed."""


@dataclass(frozen=True)
class Activations:
    """What enters one layer, over a batch, in a pass without dropout and in one with.

    Attributes:
        layer: its name; with a number behind it from its second call on.
        count: numbers an example.
        active: what share of them is not 0, ``(without, with)``.
        mean: of all of them, those that are 0 too, ``(without, with)``.
    """

    layer: str
    count: int
    active: tuple[float, float]
    mean: tuple[float, float]


@dataclass(frozen=True, eq=False)
class DropoutEffect(Pictured):
    """What dropout at a rate does to a model on a batch.

    Attributes:
        rate: at which each number leaves.
        activations: what enters each layer but the first, in the order of calls.
        operations: multiplications and additions of the model's layers in a forward pass, ``(without, with)``.
        added: numbers that dropout draws and multiplies, in a forward pass; the backward pass multiplies as many.
        seconds: of a forward pass on one thread, medians of CPU time, ``(without, with)``.
    """

    rate: float
    activations: tuple[Activations, ...]
    operations: tuple[int, int]
    added: int
    seconds: tuple[float, float]

    def __str__(self) -> str:
        head = ("before", "numbers", "active", f"at rate {self.rate:g}", "mean", f"at rate {self.rate:g}")
        rows = [
            (a.layer, f"{a.count:,}", *(f"{share:.1%}" for share in a.active), *(f"{mean:.4g}" for mean in a.mean))
            for a in self.activations
        ]
        without, with_ = self.operations
        same = "as many with dropout" if without == with_ else f"{with_:,} with dropout"
        return aligned(head, rows) + (
            f"\nlayers: {without:,} multiplications and additions, {same}; dropout draws {self.added:,} numbers and "
            f"multiplies by them\nforward pass: {self.seconds[0] * 1e3:.3g} ms, {self.seconds[1] * 1e3:.3g} ms with "
            "dropout"
        )

    def chart(self) -> alt.HConcatChart:
        """Return the picture, without dropout and with: what is active before each layer, its mean, and the cost."""
        import altair as alt

        names = ("without dropout", f"at rate {self.rate:g}")
        rows = [
            {"layer": a.layer, "pass": name, "active": a.active[i], "mean": a.mean[i]}
            for a in self.activations
            for i, name in enumerate(names)
        ]
        colour = alt.Color("pass:N", title=None, sort=None, scale=alt.Scale(range=["#8a8f98", "#2b6cb0"]))
        base = alt.Chart(alt.InlineData(values=rows)).mark_bar()
        base = base.encode(
            x=alt.X("layer:N", title="before layer", sort=None, axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("pass:N", sort=None),
            color=colour,
        )
        share = alt.Scale(domain=[0, 1])
        panels = [
            base.encode(y=alt.Y("active:Q", title="share that is not 0", scale=share, axis=alt.Axis(format="%"))),
            base.encode(y=alt.Y("mean:Q", title="mean")),
        ]
        costs = [
            {"pass": name, "of": of, "operations": count, "milliseconds": 1e3 * seconds}
            for name, layers, added, seconds in zip(
                names, self.operations, (0, self.added), self.seconds, strict=True
            )
            for of, count in (("layers", layers), ("dropout", added))
        ]
        cost = alt.Chart(alt.InlineData(values=costs)).mark_bar()
        cost = cost.encode(
            x=alt.X("pass:N", title=None, sort=None, axis=alt.Axis(labels=False, ticks=False)), color=colour
        )
        whole = cost.encode(
            y=alt.Y("sum(operations):Q", title="operations", axis=alt.Axis(format="~s")),
            opacity=alt.Opacity("of:N", title=None, sort=None, scale=alt.Scale(range=[1.0, 0.5])),
        )
        time_ = cost.transform_filter(alt.datum.of == "layers").encode(
            y=alt.Y("milliseconds:Q", title="forward pass, ms")
        )
        chart = alt.hconcat(
            *(panel.properties(width=240, height=220) for panel in panels),
            *(panel.properties(width=90, height=220) for panel in (whole, time_)),
        )
        assert isinstance(chart, alt.HConcatChart)
        return chart


@torch.no_grad()
def dropout(model: nn.Module, batch: Any, rate: float = 0.5, *, key: int = 0) -> DropoutEffect:
    """Return what dropout does to the activations of a model, put before each of its layers but the first.

    Both passes are in evaluation mode, with the same weights; the model is afterwards as before.

    Args:
        model: with at least two linear or convolution layers.
        batch: inputs: a tensor, or a tuple or dict of them, whose first axis counts the examples.
        rate: at which numbers leave, from 0 up to, but not, 1.
        key: of the masks.

    Raises:
        InputError: a rate outside, or a model that calls fewer than two such layers.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> found = inspect.dropout(net, torch.randn(500, 20), 0.5)
    >>> [a.layer for a in found.activations]
    ['2', '4']
    >>> without, with_ = found.activations[0].active
    >>> 0.45 < with_ / without < 0.55, found.operations[0] == found.operations[1]
    (True, True)
    """
    rate = checked("rate", rate)
    examples = len(leaves(batch)[0])
    mask_key = torch.tensor((Key(key) / "dropout").integer(63), device=leaves(batch)[0].device)

    def forward(seen: Seen | None, p: float) -> None:
        with KeyedDropout(mask_key), _thinned(model, seen, p):
            apply(model, batch)

    with _evaluated(model):
        found: list[list[tuple[str, int, float, float]]] = []
        operations = []
        for p in (0.0, rate):
            rows: list[tuple[str, int, float, float]] = []
            with FlopCounterMode(display=False) as counter:
                forward(rows.append, p)
            operations.append(counter.get_total_flops())
            found.append(rows)
        if not found[0]:
            raise InputError("the model calls no linear or convolution layer after its first, to put dropout before")
        seconds = _timed([partial(forward, None, p) for p in (0.0, rate)])
    activations = tuple(
        Activations(name, numbers // examples, (active, active_with), (mean, mean_with))
        for (name, numbers, active, mean), (_, _, active_with, mean_with) in zip(*found, strict=True)
    )
    added = sum(a.count for a in activations) * examples if rate else 0
    return DropoutEffect(rate, activations, (operations[0], operations[1]), added, (seconds[0], seconds[1]))


Seen = Callable[[tuple[str, int, float, float]], None]
"""Takes a layer's name, how many numbers enter it, what share of them is not 0, and their mean."""


@contextmanager
def _thinned(model: nn.Module, seen: Seen | None, p: float) -> Iterator[None]:
    """Thin what enters a model's layers, but for the first one called, inside a ``with``, and look at it."""
    calls: dict[str, int] = {}

    def before(name: str) -> Callable[[nn.Module, tuple[Any, ...]], Any]:
        def hook(_: nn.Module, given: tuple[Any, ...]) -> Any:
            first = not calls
            calls[name] = calls.get(name, 0) + 1
            if first or not given or not isinstance(given[0], Tensor):
                return None
            x = F.dropout(given[0], p)
            if seen is not None:
                label = name if calls[name] == 1 else f"{name} ({calls[name]})"
                seen((label, x.numel(), float((x != 0).double().mean()), float(x.double().mean())))
            return (x, *given[1:])

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, LAYERS):
                stack.callback(module.register_forward_pre_hook(before(name or "the model")).remove)
        yield


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    """Let a model be in evaluation mode inside a ``with``."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


def _timed(passes: list[Callable[[], None]]) -> list[float]:
    """Return the median CPU seconds of each, taking turns."""
    taken: list[list[float]] = [[] for _ in passes]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other count as busy
    try:
        for _ in range(TURNS):
            for one, found in zip(passes, taken, strict=True):
                started = time.process_time()
                one()
                found.append(time.process_time() - started)
    finally:
        torch.set_num_threads(threads)
    return [statistics.median(found) for found in taken]
