from thalweg.average._technique import average
from thalweg.technique import Uniform


@average(
    source="Izmailov, Podoprikhin, Garipov, Vetrov & Wilson 2018, Averaging Weights Leads to Wider Optima and Better "
    "Generalization, Algorithm 1",
    space={"start": Uniform(0.5, 0.9)},
    limits={"start": "[0, 1)", "every": "whole [1, inf)"},
    when=("start", "every"),
)
def swa(mean, p, *, n, start=0.75, every=None):
    """The plain mean of the weights at the end of each epoch, in the last part of the run.

    ``start`` is the share of the run before it, ``every`` the distance in steps, an epoch's if not given. All weights
    count alike, where ``ema`` forgets the old. It wants a rate that stays high enough to move: a constant one, or
    cycles.

    Use it at the end of a run whose rate stays high, for a model that generalises a little better at no cost.

    Source: Izmailov et al. 2018; torch: ``AveragedModel``.
    """
    return mean + (p - mean) / (n + 1)
