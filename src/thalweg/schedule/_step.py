from thalweg.schedule._technique import schedule
from thalweg.technique import Choice


@schedule(
    source="Krizhevsky, Sutskever & Hinton 2012, section 5",
    counts=("every",),
    space={"gamma": Choice((0.1, 0.2, 0.5))},
    generalises=("constant",),
)
def step(step, *, steps=None, every=1 / 3, gamma=0.1):
    """The rate times ``gamma`` every so often: a staircase where ``exponential`` is a slope.

    ``every`` counts steps; below 1 it is a share of the schedule's length. torch: ``StepLR(every, gamma)``.

    Use it to repeat results that were trained so; ``cosine`` has nothing to tune in its place.
    """
    return gamma ** (step // (every * steps if every < 1 else every))
