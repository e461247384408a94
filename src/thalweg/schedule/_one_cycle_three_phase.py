from math import cos, pi

from thalweg.schedule._technique import schedule
from thalweg.technique import Uniform


@schedule(
    source="Smith & Topin 2018, section 3; Howard et al. 2018, fastai",
    limits={"pct_start": "[0, 0.5)", "div_factor": "[1, inf)", "final_div_factor": "[1, inf)"},
    space={"pct_start": Uniform(0.1, 0.45)},
)
def one_cycle_three_phase(step, *, steps=None, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """The rate climbs to its peak, comes back as fast, and then falls far below where it began; along cosines.

    ``one_cycle`` falls in one go. torch: ``OneCycleLR(lr, steps, three_phase=True)``; see ``one_cycle`` for where
    that differs.

    Use it to compare the source's three phases with the two of ``one_cycle``.
    """
    top = pct_start * steps - 1
    first = 1 / div_factor
    last = first / final_div_factor
    fall = min(1, (step - 2 * top) / (steps - 1 - 2 * top))
    return (
        1 + (first - 1) * (1 + cos(pi * step / top)) / 2
        if step < top
        else first + (1 - first) * (1 + cos(pi * (step - top) / top)) / 2
        if step < 2 * top
        else last + (first - last) * (1 + cos(pi * fall)) / 2
    )
