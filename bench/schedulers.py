"""Where torch's schedulers go on with other rates than there would have been, and whether ours do.

Each is stopped at every step in turn, saved, loaded in one of four orders, and compared with the run that did not
stop.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler as theirs

from thalweg import schedule

STEPS = 40
SAME = 1e-12

Make = Callable[[torch.optim.Optimizer], Any]


def sequence(at: int, *parts: Make) -> Make:
    return lambda o: theirs.SequentialLR(o, [part(o) for part in parts], [at])


def chained(*parts: Make) -> Make:
    return lambda o: theirs.ChainedScheduler([part(o) for part in parts], o)


def ours(whole: schedule.Schedule) -> Make:
    return lambda o: schedule.Scheduler(o, whole, STEPS)


def rise(o: torch.optim.Optimizer) -> Any:
    return theirs.LinearLR(o, 0.1, 1.0, 5)


TORCH: dict[str, Make] = {
    "ConstantLR": lambda o: theirs.ConstantLR(o, 1 / 3, 5),
    "StepLR": lambda o: theirs.StepLR(o, 7, 0.5),
    "MultiStepLR": lambda o: theirs.MultiStepLR(o, [5, 12, 20], 0.5),
    "LinearLR": rise,
    "ExponentialLR": lambda o: theirs.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: theirs.CosineAnnealingLR(o, STEPS),
    "PolynomialLR": lambda o: theirs.PolynomialLR(o, STEPS, 2.0),
    "CosineAnnealingWarmRestarts": lambda o: theirs.CosineAnnealingWarmRestarts(o, 5, 2),
    "OneCycleLR": lambda o: theirs.OneCycleLR(o, 1.0, STEPS),
    "CyclicLR": lambda o: theirs.CyclicLR(o, 0.1, 1.0, 5),
    "LambdaLR": lambda o: theirs.LambdaLR(o, lambda i: 1 / (1 + i)),
    "SequentialLR(LinearLR, CosineAnnealingLR)": sequence(5, rise, lambda o: theirs.CosineAnnealingLR(o, STEPS - 5)),
    "SequentialLR(LinearLR, StepLR)": sequence(5, rise, lambda o: theirs.StepLR(o, 7, 0.5)),
    "ChainedScheduler(LinearLR, CosineAnnealingLR)": chained(rise, lambda o: theirs.CosineAnnealingLR(o, STEPS)),
    "ChainedScheduler(ConstantLR, ExponentialLR)": chained(
        lambda o: theirs.ConstantLR(o, 0.1, 5), lambda o: theirs.ExponentialLR(o, 0.9)
    ),
}
OURS: dict[str, Make] = {
    **{name: ours(technique()) for name, technique in schedule.CATALOGUE.items() if not technique.state},
    "warmup >> cosine": ours(schedule.warmup(5) >> schedule.cosine()),
    "warmup >> constant >> minus_sqrt": ours(schedule.warmup(5) >> schedule.constant() >> schedule.minus_sqrt(10)),
}


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)


def go(o: torch.optim.Optimizer, scheduler: Any, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(float(o.param_groups[0]["lr"]))
        o.step()
        scheduler.step()
    return rates


def optimizer_then_scheduler(make: Make, saved: tuple[Any, Any]) -> tuple[torch.optim.Optimizer, Any]:
    o = optimizer()
    scheduler = make(o)
    o.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    return o, scheduler


def scheduler_then_optimizer(make: Make, saved: tuple[Any, Any]) -> tuple[torch.optim.Optimizer, Any]:
    o = optimizer()
    scheduler = make(o)
    scheduler.load_state_dict(saved[1])
    o.load_state_dict(saved[0])
    return o, scheduler


def made_after_loading(make: Make, saved: tuple[Any, Any]) -> tuple[torch.optim.Optimizer, Any]:
    o = optimizer()
    o.load_state_dict(saved[0])
    scheduler = make(o)
    scheduler.load_state_dict(saved[1])
    return o, scheduler


def scheduler_alone(make: Make, saved: tuple[Any, Any]) -> tuple[torch.optim.Optimizer, Any]:
    o = optimizer()
    scheduler = make(o)
    scheduler.load_state_dict(saved[1])
    return o, scheduler


ORDERS = {
    "both made, optimizer loaded first": optimizer_then_scheduler,
    "both made, scheduler loaded first": scheduler_then_optimizer,
    "optimizer loaded, then scheduler made and loaded": made_after_loading,
    "scheduler alone loaded": scheduler_alone,
}


def wrong(make: Make, load: Callable[..., Any]) -> tuple[int, float, bool]:
    """Return at how many saving points the rates differ, by how much at most, and whether the last ones do too."""
    o = optimizer()
    whole = go(o, make(o), STEPS)
    count, most, lasting = 0, 0.0, False
    for at in range(1, STEPS):
        o = optimizer()
        scheduler = make(o)
        before = go(o, scheduler, at)
        saved = copy.deepcopy((o.state_dict(), scheduler.state_dict()))
        again = before + go(*load(make, saved), STEPS - at)
        off = [abs(a - b) for a, b in zip(again, whole, strict=True)]
        count, most = count + (max(off) > SAME), max(most, *off)
        lasting |= off[-1] > SAME and at < STEPS - 2
    return count, most, lasting


def section() -> str:
    """Return the table as Markdown."""
    lines = [f"| | {' | '.join(ORDERS)} |", f"| --- |{' --- |' * len(ORDERS)}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in TORCH.items():
            found = [wrong(make, load) for load in ORDERS.values()]
            lines.append(f"| {name} | {' | '.join(cell(*triple) for triple in found)} |")
        mine = [[wrong(make, load) for make in OURS.values()] for load in ORDERS.values()]
    sums = [
        cell(sum(c for c, _, _ in each), max(m for _, m, _ in each), any(last for *_, last in each)) for each in mine
    ]
    lines.append(f"| all {len(OURS)} of `schedule.Scheduler` | {' | '.join(sums)} |")
    return (
        f"## Schedulers, stopped and resumed\n\nA run of {STEPS} steps at a rate of 1, stopped after each of its "
        f"steps in turn. At how many of the {STEPS - 1} saving points some later rate differs by more than {SAME:g}, "
        "by how much at most, and whether it stays so to the end.\n\n" + "\n".join(lines) + "\n"
    )


def cell(count: int, most: float, lasting: bool) -> str:
    return f"{count}, by {most:.2g}{', to the end' * lasting}" if count else "0"


if __name__ == "__main__":
    print(section())
