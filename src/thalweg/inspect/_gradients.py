"""Backpropagation, made visible: what the chain rule gives at each layer of a model, on one batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import InputError
from thalweg.inspect._batches import check_numbers, check_open
from thalweg.inspect._picture import Pictured
from thalweg.inspect._table import aligned, number
from thalweg.key import Key
from thalweg.task.reading import apply, first_line

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Chained", "Gradients", "gradients"]

BINS = 40


@dataclass(eq=False)
class Chained:
    """One call of a module, y = f(x; θ), with what comes back through it.

    Attributes:
        module: its name; with a number behind it from its second call on.
        kind: its class.
        entering, leaving: the shapes of x and y, of the first tensor of each.
        dy: ‖∂L/∂y‖, of the whole of what follows; NaN where no gradient comes back.
        dx: ‖∂L/∂x‖, of what comes back through this module alone; NaN for inputs of whole numbers.
        weights: ‖θ‖ by the names of the module's own parameters.
        slopes: ‖∂L/∂θ‖ of the same, but for those that are frozen; NaN where none comes back. Of a module that is
            called more than once, or shares weights, it is of all calls together.
        in_place: whether y is written over x; then nothing else sees x, and ∂L/∂x is the whole of what comes back.
        mean, deviation: of y.
        zero: the share of y that is exactly 0.
        counts: how many numbers of y lie in each bin, int64, shape ``(40,)``.
        edges: of the bins, shape ``(41,)``.
    """

    module: str
    kind: str
    entering: tuple[int, ...]
    leaving: tuple[int, ...] = ()
    dy: float = math.nan
    dx: float = math.nan
    weights: dict[str, float] = field(default_factory=dict)
    slopes: dict[str, float] = field(default_factory=dict)
    in_place: bool = False
    mean: float = math.nan
    deviation: float = math.nan
    zero: float = math.nan
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    edges: np.ndarray = field(default_factory=lambda: np.linspace(0, 1, BINS + 1))


@dataclass(frozen=True, eq=False)
class Gradients(Pictured):
    """What `gradients` found; printed, a table.

    Attributes:
        loss: L, of the batch.
        rows: one for each call of a module, in their order.
    """

    loss: float
    rows: tuple[Chained, ...]

    def __str__(self) -> str:
        head = ("module", "", "x", "y", "‖∂L/∂y‖", "‖∂L/∂x‖", "‖θ‖", "‖∂L/∂θ‖", "y: mean", "deviation", "zero")
        rows = [
            (
                r.module, r.kind, _shape(r.entering), _shape(r.leaving), _number(r.dy), _number(r.dx),
                _number(_norm(r.weights)), _slopes(r), _number(r.mean), _number(r.deviation),
                "" if math.isnan(r.zero) else f"{r.zero:.0%}",
            )
            for r in self.rows
        ]  # fmt: skip
        rule = "∂L/∂x = (∂y/∂x)ᵀ ∂L/∂y and ∂L/∂θ = (∂y/∂θ)ᵀ ∂L/∂y"
        return f"{aligned(head, rows, 4)}\nL = {number(self.loss)}; read upwards, the chain rule: {rule}"

    def chart(self) -> alt.HConcatChart:
        """Return the picture, module by module: norms of what comes back, and histograms of what goes on."""
        import altair as alt

        names = [f"{row.module} {row.kind}" for row in self.rows]
        height = max(160, 18 * len(names))
        y = alt.Y("module:N", title=None, sort=names, axis=alt.Axis(labelLimit=160))
        rows = [
            {"module": name, "of": of, "norm": value}
            for name, r in zip(names, self.rows, strict=True)
            for of, value in (("∂L/∂x", r.dx), ("∂L/∂y", r.dy), ("∂L/∂θ", _norm(r.slopes)))
            if math.isfinite(value) and value > 0
        ]
        colour = alt.Color("of:N", title=None, sort=None, scale=alt.Scale(range=["#8a8f98", "#2b6cb0", "#c05621"]))
        x = alt.X(
            "norm:Q",
            title="norm",
            scale=alt.Scale(type="log", nice=False, padding=10),
            axis=alt.Axis(format=".0e", labelOverlap="greedy", labelSeparation=6),
        )
        norms = alt.Chart(alt.InlineData(values=rows), title="backward").mark_point(filled=True, size=50, opacity=0.9)
        norms = norms.encode(x=x, y=y, color=colour, shape=alt.Shape("of:N", title=None, sort=None))
        bins = [
            {"module": name, "low": float(a), "high": float(b), "share": float(n / r.counts.max())}
            for name, r in zip(names, self.rows, strict=True)
            if r.counts.sum()
            for a, b, n in zip(r.edges[:-1], r.edges[1:], r.counts, strict=True)
            if n
        ]
        seen = alt.Chart(alt.InlineData(values=bins), title="forward: what modules put out").mark_rect()
        seen = seen.encode(
            x=alt.X("low:Q", title="value", scale=alt.Scale(nice=False)), x2="high:Q", y=y,
            color=alt.Color("share:Q", title=["of the", "fullest bin"], scale=alt.Scale(scheme="blues", type="sqrt")),
        )  # fmt: skip
        panels = (norms.properties(width=260, height=height), seen.properties(width=320, height=height))
        chart = alt.hconcat(*panels).resolve_scale(color="independent", shape="independent")
        assert isinstance(chart, alt.HConcatChart)
        return chart


Loss = Callable[[Any, Tensor], Tensor]


def gradients(model: nn.Module, batch: Any, loss: Loss | None = None, *, seed: int = 0) -> Gradients:
    """Follow the chain rule through a model, module by module, on one batch.

    Of each call y = f(x; θ) of a module without parts, or with parameters of its own: the shapes and norms of what
    comes back, ∂L/∂y, ∂L/∂x and ∂L/∂θ, and how what it puts out is distributed. What a forward does with functions
    between modules counts for the module before or after it alone in the norms: no row of its own.

    Args:
        model: untouched; a copy runs, in the mode that the model is in.
        batch: ``(inputs, targets)``; inputs are a tensor, or a tuple or dict of them.
        loss: ``(output, targets) -> scalar``. Left out: cross entropy for targets that are whole numbers, else the
            mean squared error.
        seed: of dropout.

    Raises:
        InputError: no such batch, or a model or loss that cannot take it.

    Source: Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors.

    >>> import torch
    >>> from torch import nn
    >>> from thalweg import inspect
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> found = inspect.gradients(net, (torch.randn(16, 4), torch.zeros(16, dtype=torch.long)))
    >>> [(row.module, row.kind, row.leaving) for row in found.rows]
    [('0', 'Linear', (16, 8)), ('1', 'ReLU', (16, 8)), ('2', 'Linear', (16, 2))]
    >>> found.rows[0].dy == found.rows[1].dx, sorted(found.rows[2].slopes)
    (True, ['bias', 'weight'])
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"gradients takes an nn.Module, not {type(model).__name__}")
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not isinstance(batch[1], Tensor):
        raise InputError("gradients takes a batch (inputs, targets), the targets a tensor")
    inputs, targets = batch
    check_open(model)
    check_numbers(inputs, targets)
    try:
        apart = copy.deepcopy(model)
    except Exception as error:
        raise InputError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error
    chain = _Chain(apart)
    leaves: list[Tensor] = []

    def given(x: Any) -> Any:
        if not (isinstance(x, Tensor) and x.is_floating_point()):
            return x
        leaves.append(x.detach().clone().requires_grad_())
        return leaves[-1].clone()  # what a model may write into

    with (Key(seed) / "gradients").seeded(), torch.enable_grad():
        try:
            mine = tree_map(given, tuple(inputs) if isinstance(inputs, list) else inputs)
            value = (loss or _usual(targets))(apply(apart, mine), targets)
        except Exception as error:
            raise InputError(
                f"{type(model).__name__} or the loss cannot take the batch: {first_line(error)}"
            ) from error
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            raise InputError("the loss takes (output, targets) and returns one number that depends on the weights")
        named = [(p, row, name) for row, module in chain.called for name, p in _own(module)]
        wanted = [*(p for p, _, _ in named), *leaves]
        found = torch.autograd.grad(value.reshape(()), wanted, allow_unused=True)
    for row, module in chain.called:
        row.weights.update({name: _size(p) for name, p in module.named_parameters(recurse=False)})
    for (_, row, name), g in zip(named, found[: len(named)], strict=True):
        row.slopes[name] = math.nan if g is None else _size(g)
    return Gradients(float(value.detach()), tuple(row for row, _ in chain.called))


class _Chain:
    """Notes the calls of a model's modules on their way forward, and the gradients on theirs back."""

    def __init__(self, model: nn.Module) -> None:
        self.called: list[tuple[Chained, nn.Module]] = []
        self._open: list[tuple[Chained, list[tuple[Tensor, int]]]] = []
        self._times: dict[str, int] = {}
        for name, module in model.named_modules():
            if not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False)):
                module.register_forward_pre_hook(self._enters(name or "the model"), with_kwargs=True)
                module.register_forward_hook(self._leaves)

    def _enters(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            times = self._times[name] = self._times.get(name, 0) + 1
            row = Chained(name if times == 1 else f"{name} ({times})", type(module).__name__, ())
            self.called.append((row, module))
            marks: list[tuple[Tensor, int]] = []
            self._open.append((row, marks))
            squares: dict[bool, list[float]] = {True: [], False: []}

            def back(g: Tensor, *, whole: bool) -> None:
                squares[whole].append(_size(g) ** 2)
                row.dx = math.sqrt(sum(squares[row.in_place]))

            def branch(x: Any) -> Any:
                if not isinstance(x, Tensor):
                    return x
                row.entering = row.entering or tuple(x.shape)
                if not x.requires_grad or isinstance(x, nn.Parameter):
                    return x
                mine = x.view_as(x)  # another place in the graph: what comes back here came through this module
                mine.register_hook(partial(back, whole=False))  # type: ignore[no-untyped-call]
                x.register_hook(partial(back, whole=True))  # type: ignore[no-untyped-call]
                marks.append((mine, mine._version))  # noqa: SLF001
                return mine

            return tree_map(branch, args), tree_map(branch, kwargs)

        return hook

    def _leaves(self, _module: nn.Module, _args: Any, output: Any) -> None:
        row, marks = self._open.pop()
        row.in_place = any(x._version != version for x, version in marks)  # noqa: SLF001
        tensors = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.is_floating_point() and x.numel()]
        if not tensors:
            return
        row.leaving = tuple(tensors[0].shape)
        values = torch.cat([x.detach().double().flatten() for x in tensors])
        row.mean, row.deviation = float(values.mean()), float(values.std(correction=0))
        row.zero = float((values == 0).double().mean())
        finite = values[torch.isfinite(values)].cpu().numpy()
        if len(finite):
            row.counts, row.edges = np.histogram(finite, BINS)
        squares: list[float] = []

        def back(g: Tensor) -> None:
            squares.append(_size(g) ** 2)
            row.dy = math.sqrt(sum(squares))

        for x in tensors:
            if x.requires_grad:
                x.register_hook(back)  # type: ignore[no-untyped-call]


def _own(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module.named_parameters(recurse=False) if p.requires_grad)


def _usual(targets: Tensor) -> Loss:
    """Return the loss that targets of their kind usually have."""
    return nn.functional.mse_loss if targets.is_floating_point() else nn.functional.cross_entropy


def _size(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.detach().to_dense().double()))


def _norm(parts: dict[str, float]) -> float:
    return math.sqrt(sum(x * x for x in parts.values())) if parts else math.nan


def _slopes(row: Chained) -> str:
    return _number(_norm(row.slopes)) if row.slopes else "frozen" * bool(row.weights)


def _number(value: float) -> str:
    return "" if math.isnan(value) else number(value)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
