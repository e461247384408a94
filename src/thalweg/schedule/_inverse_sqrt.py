from thalweg.schedule._technique import schedule
from thalweg.technique import LogUniform


@schedule(
    source="Vaswani et al. 2017, section 5.3",
    counts=("timescale",),
    space={"timescale": LogUniform(0.01, 0.3)},
    endless=True,
)
def inverse_sqrt(step, *, steps=None, timescale=0.05):
    """The rate falls as one over the root of the steps, so that a run may be of any length.

    It is halved after three ``timescale``. That counts steps; below 1 it is a share of the schedule's length.
    After ``warmup(n)`` a timescale of n gives the source's schedule. torch has none; transformers calls it
    ``get_inverse_sqrt_schedule``.

    Use it where the length of the run is open, behind a warm-up.
    """
    scale = timescale * steps if timescale < 1 else timescale
    return (scale / (scale + step)) ** 0.5
