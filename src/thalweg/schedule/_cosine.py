from math import cos, pi

from thalweg.schedule._technique import schedule


@schedule(source="Loshchilov & Hutter 2017, SGDR", generalises=("constant",))
def cosine(step, *, steps=None, end=0.0):
    """The rate falls along half a cosine, from 1 to ``end``: slowly, fast, slowly.

    torch: ``CosineAnnealingLR(steps, eta_min)`` with η_min = end · lr, which climbs again after its last step;
    this one stays. With restarts it is ``cosine_restarts``.

    Use it as the first choice where the length of the run is known, behind a warm-up for transformers.
    """
    return end + (1 - end) * (1 + cos(pi * step / steps)) / 2
