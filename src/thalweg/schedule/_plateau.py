from math import copysign, inf

from thalweg.schedule._technique import schedule
from thalweg.technique import Choice


@schedule(
    source="Krizhevsky, Sutskever & Hinton 2012, section 5; torch's ReduceLROnPlateau",
    state={"level": 1.0, "best": inf, "bad": 0, "cooling": 0},
    limits={"factor": "[0, 1)"},
    space={"factor": Choice((0.1, 0.2, 0.5)), "patience": Choice((2, 5, 10))},
    generalises=("constant",),
    endless=True,
)
def plateau(
    metric, level, best, bad, cooling, *, steps=None, factor=0.1, patience=10, threshold=1e-4, cooldown=0, end=0.0
):
    """The rate times ``factor`` when the metric has not improved ``patience`` times in a row; never below ``end``.

    It follows the validation metric, which a recipe's run has after each epoch; a metric is read lower is better, so
    accuracy comes negated. An improvement is more than the share ``threshold`` of the best so far; ``cooldown``
    metrics after a fall are not held against it.
    torch: ``ReduceLROnPlateau``, with min_lr = end · lr. Its ``eps``, which keeps rates from falling by less than
    1e-8, is 0 here; and of a metric below 0 it counts what is the same or slightly worse as an improvement.

    Use it where no length can be planned and the metric is not too noisy to follow.
    """
    better = metric < best * (1 - copysign(threshold, best))
    best = metric if better else best
    bad = 0 if better or cooling > 0 else bad + 1
    cooling = cooldown if bad > patience else max(cooling - 1, 0)
    level = max(level * factor, min(level, end)) if bad > patience else level
    return level, best, 0 if bad > patience else bad, cooling
