from thalweg.schedule._technique import schedule
from thalweg.technique import Uniform


@schedule(
    source="Smith & Topin 2018; Howard et al. 2018, fastai",
    limits={"pct_start": "[0, 1)", "div_factor": "[1, inf)", "final_div_factor": "[1, inf)"},
    space={"pct_start": Uniform(0.1, 0.5)},
)
def one_cycle_linear(step, *, steps=None, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """The rate climbs to its peak in a line, and falls in another, far below where it began.

    ``one_cycle`` with lines in place of cosines. torch: ``OneCycleLR(lr, steps, anneal_strategy="linear")``; see
    ``one_cycle`` for where that differs.

    Use it as ``one_cycle``, where the plainer form is wanted.
    """
    top = pct_start * steps - 1
    first = 1 / div_factor
    last = first / final_div_factor
    fall = min(1, (step - top) / (steps - 1 - top))
    return first + (1 - first) * step / top if step < top else 1 + (last - 1) * fall
