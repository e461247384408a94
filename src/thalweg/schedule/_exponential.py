from thalweg.schedule._technique import schedule
from thalweg.technique import LogUniform


@schedule(
    source="Robbins & Monro 1951; Darken & Moody 1990",
    space={"end": LogUniform(1e-3, 1e-1)},
    generalises=("constant",),
)
def exponential(step, *, steps=None, end=0.01):
    """The rate falls by the same factor each step, to ``end`` after its last.

    torch: ``ExponentialLR(gamma)`` with γ = end^(1 / steps). It starts falling at once, where ``cosine`` waits.

    Use it where a run is short and the rate is to come down early.
    """
    return end ** (step / steps)
