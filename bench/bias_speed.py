"""What norms and dropout cost beside torch's own: forward and backward, CPU time on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clock import met, table
from thalweg import dropout, norm
from thalweg.train.dropout import KeyedDropout

SECONDS, LEAST, PLACES = 0.4, 10, 5
"""How long two are measured in turns, how often at least, and how many times all is built anew: where tensors lie in
memory moves a ratio by a third."""

NORM, FUSED, COMPILED, RECURRENT = 1.05, 0.4, 1.0, 1.15
SHAPES = {0: (256, 512), 2: (32, 64, 28, 28)}
SIZE = (1024, 1024)
RATE = 0.5

Pass = Callable[[], object]


def text() -> str:
    torch.set_num_threads(1)
    parts = [
        "Forward plus backward, ours ÷ torch's: medians of the ratios of neighbouring turns, CPU time on one thread;",
        f"of norms, the median of {PLACES} times that all was built anew. But for rms behind convolutions these are",
        "torch's own classes: by what such a ratio is off 1 is where tensors lie in memory, and the machine.",
        "",
        table(["norm", "of", "ms", "÷ torch's", "target", ""], norms()),
        "",
        table(["dropout", "ms", "÷ torch's", "target", ""], dropouts()),
        "",
        table(["RNN dropout, its loop", "ms", "÷ the loop without it", "target", ""], recurrent()),
    ]
    return "\n".join(parts)


def in_turns(ours: Pass, theirs: Pass) -> tuple[float, float]:
    """Return our median seconds, and the median of our ratio to theirs; they take turns, and turns at being first."""
    for _ in range(5):
        ours(), theirs()
    taken: list[tuple[float, float]] = []
    ends = time.perf_counter() + SECONDS
    while time.perf_counter() < ends or len(taken) < LEAST:
        if len(taken) % 2:
            other, own = _timed(theirs), _timed(ours)
        else:
            own, other = _timed(ours), _timed(theirs)
        taken.append((own, other))
    return median(own for own, _ in taken), median(own / other for own, other in taken)


def _timed(one: Pass) -> float:
    started = time.process_time()
    one()
    return time.process_time() - started


def _passes(module: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Pass:
    """Return a forward pass and a backward one, by the output's gradient ``g``."""
    x.requires_grad_()

    def both() -> None:
        x.grad = None
        module(x).backward(g)  # type: ignore[no-untyped-call]

    return both


def _row(name: Sequence[str], seconds: float, ratio: float, limit: float) -> list[str]:
    return [*name, f"{1e3 * seconds:.2f}", f"{ratio:.2f}", f"≤ {limit}", met(ratio <= limit)]


# -- norms ---------------------------------------------------------------------------------------------


def _torchs(name: str, shape: Sequence[int]) -> nn.Module:
    """Return torch's module that computes the same, as one writes it by hand."""
    features, dims = shape[1], len(shape) - 2
    batch: Any = nn.BatchNorm2d if dims else nn.BatchNorm1d
    made: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: batch(features),
        "batch_cumulative": lambda: batch(features, momentum=None),
        "batch_untracked": lambda: batch(features, track_running_stats=False),
        "layer": lambda: nn.GroupNorm(1, features) if dims else nn.LayerNorm(features),
        "group": lambda: nn.GroupNorm(8, features),
        "instance": lambda: nn.InstanceNorm2d(features),
        "rms": lambda: nn.RMSNorm(list(shape[1:])),
    }
    return made[name]()


def norms() -> list[list[str]]:
    rows = []
    for name, technique in norm.CATALOGUE.items():
        for dims, shape in SHAPES.items():
            if name == "removed" or (name == "instance" and not dims):
                continue
            ingredient = technique(groups=8) if name == "group" else technique()
            found = []
            for _ in range(PLACES):
                ours, theirs = ingredient.module(shape[1], dims), _torchs(name, shape)
                x, g = torch.randn(shape), torch.randn(shape)
                torch.testing.assert_close(ours(x), theirs(x))
                found.append(in_turns(_passes(ours, x, g), _passes(theirs, x, g)))
            seconds, ratios = zip(*found, strict=True)
            rows.append(_row([name, " × ".join(map(str, shape))], median(seconds), median(ratios), NORM))
    return rows


# -- dropout -------------------------------------------------------------------------------------------


def dropouts() -> list[list[str]]:
    x, g, size = torch.randn(SIZE), torch.randn(SIZE), " × ".join(map(str, SIZE))
    key = torch.tensor(12345)

    def keyed(x: Tensor) -> Tensor:
        with KeyedDropout(key):
            return F.dropout(x, RATE)

    fused = in_turns(_passes(keyed, x, g), _passes(lambda x: F.dropout(x, RATE), x, g))
    return [
        _row([f"keyed, fused, {size}"], *fused, FUSED),
        _row([f"keyed, inside a compiled step, {size}"], *_compiled(x.detach(), g, key), COMPILED),
    ]


def _compiled(x: Tensor, g: Tensor, key: Tensor) -> tuple[float, float]:
    """Compile a ReLU, a dropout and its gradient, as a population's step is compiled: ours and torch's."""

    def keyed(x: Tensor, g: Tensor, key: Tensor) -> list[Tensor]:
        x = x.detach().requires_grad_()
        with KeyedDropout(key):
            y = F.dropout(F.relu(x), RATE)
        return [y, *torch.autograd.grad(y, x, g)]

    def plain(x: Tensor, g: Tensor) -> list[Tensor]:
        x = x.detach().requires_grad_()
        y = F.dropout(F.relu(x), RATE)
        return [y, *torch.autograd.grad(y, x, g)]

    ours, theirs = _code(keyed, (x, g, key)), _code(plain, (x, g))
    for code, given in ((ours, [x, g, key]), (theirs, [x, g])):
        y, gradient = code(given)
        torch.testing.assert_close((y != 0).double().mean().item(), 0.5 * (1 - RATE), rtol=0.02, atol=0)
        torch.testing.assert_close(gradient[y != 0], g[y != 0] / (1 - RATE))
    return in_turns(lambda: ours([x, g, key]), lambda: theirs([x, g]))


def _code(function: Callable[..., Any], example: tuple[Tensor, ...]) -> Callable[[list[Tensor]], list[Tensor]]:
    from torch.fx.experimental.proxy_tensor import make_fx

    from thalweg.train.inductor import compile_graph

    with TemporaryDirectory() as folder:
        call = compile_graph(make_fx(function)(*example), example, Path(folder) / "code.pt2")

    def code(given: list[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return call(list(given))

    return code


# -- recurrent -----------------------------------------------------------------------------------------


def recurrent() -> list[list[str]]:
    rows = []
    x = torch.randn(50, 32, 64)
    for kind in (nn.LSTM, nn.GRU):
        layer = kind(64, 128)
        with_, without = (dropout.rnn(p).module(layer) for p in (0.25, 0.0))
        ours, theirs = (_loop(module, x) for module in (with_, without))
        rows.append(_row([f"{kind.__name__}(64, 128), 50 steps of 32"], *in_turns(ours, theirs), RECURRENT))

        def keyed(ours: Pass = ours) -> None:
            with KeyedDropout(torch.tensor(1)):
                ours()

        rows.append(_row([f"the same, {kind.__name__}, keyed"], *in_turns(keyed, theirs), RECURRENT))
    return rows


def _loop(module: nn.Module, x: Tensor) -> Pass:
    def both() -> None:
        for p in module.parameters():
            p.grad = None
        module(x)[0].square().mean().backward()

    return both
