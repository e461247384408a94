from math import cos, pi

from thalweg.schedule._technique import schedule


@schedule(source="Loshchilov & Hutter 2017, SGDR")
def cosine(step, *, steps=None, end=0.0):
    """The rate falls along half a cosine, from 1 to ``end``: slowly, fast, slowly.

    torch: ``CosineAnnealingLR(steps, eta_min)`` with η_min = end · lr.
    """
    return end + (1 - end) * (1 + cos(pi * step / steps)) / 2
