from math import cos, pi

from thalweg.schedule._technique import schedule
from thalweg.technique import Uniform


@schedule(
    source="Smith & Topin 2018; Howard et al. 2018, fastai",
    limits={"pct_start": "[0, 1)", "div_factor": "[1, inf)", "final_div_factor": "[1, inf)"},
    space={"pct_start": Uniform(0.1, 0.5)},
)
def one_cycle(step, *, steps=None, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """The rate climbs to its peak along half a cosine, and falls along another, far below where it began.

    The recipe's rate is the peak; the first step has 1 / ``div_factor`` of it, and the last 1 / ``final_div_factor``
    of that. This is fastai's form; the source's own is ``one_cycle_three_phase_linear``.
    torch: ``OneCycleLR(lr, steps)``, which moves the momentum too unless ``cycle_momentum=False``, divides by 0
    where the peak falls on the first step, and after its last step climbs again, then raises.

    Use it for short runs at a high rate: small convolutional networks and tables.
    """
    top = pct_start * steps - 1
    first = 1 / div_factor
    last = first / final_div_factor
    fall = min(1, (step - top) / (steps - 1 - top))
    return (
        1 + (first - 1) * (1 + cos(pi * step / top)) / 2
        if step < top
        else last + (1 - last) * (1 + cos(pi * fall)) / 2
    )
