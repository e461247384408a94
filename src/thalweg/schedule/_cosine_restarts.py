from math import cos, floor, log, pi

from thalweg.schedule._technique import schedule
from thalweg.technique import Choice


@schedule(
    source="Loshchilov & Hutter 2017, SGDR",
    counts=("period",),
    limits={"growth": "[1, inf)"},
    space={"growth": Choice((1.0, 2.0))},
    generalises=("cosine",),
    endless=True,
)
def cosine_restarts(step, *, steps=None, period=1 / 3, growth=1.0, end=0.0):
    """The rate falls along half a cosine and starts again at 1, each period ``growth`` times the one before.

    ``period`` counts steps; below 1 it is a share of the schedule's length, rounded to whole steps. The run should
    end where a period does. torch: ``CosineAnnealingWarmRestarts(period, growth, eta_min)`` with η_min = end · lr;
    its ``step(epoch)`` misses restarts by rounding, which the 1e-9 here is against.

    Use it to take a usable model at the end of each period, or an ensemble of them.
    """
    length = max(1, round(period * steps)) if period < 1 else period
    cycle = step // length if growth == 1 else floor(log(1 + step * (growth - 1) / length) / log(growth) + 1e-9)
    start = length * (cycle if growth == 1 else (growth**cycle - 1) / (growth - 1))
    return end + (1 - end) * (1 + cos(pi * (step - start) / (length * growth**cycle))) / 2
