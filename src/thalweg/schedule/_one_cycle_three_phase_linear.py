from thalweg.schedule._technique import schedule
from thalweg.technique import Uniform


@schedule(
    source="Smith & Topin 2018, section 3",
    limits={"pct_start": "[0, 0.5)", "div_factor": "[1, inf)", "final_div_factor": "[1, inf)"},
    space={"pct_start": Uniform(0.1, 0.45)},
)
def one_cycle_three_phase_linear(step, *, steps=None, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """The rate climbs to its peak, comes back as fast, and then falls far below where it began; in lines.

    The source's own form. torch: ``OneCycleLR(lr, steps, anneal_strategy="linear", three_phase=True)``; see
    ``one_cycle`` for where that differs.

    Use it to repeat the source's results.
    """
    top = pct_start * steps - 1
    first = 1 / div_factor
    last = first / final_div_factor
    fall = min(1, (step - 2 * top) / (steps - 1 - 2 * top))
    return (
        first + (1 - first) * step / top
        if step < top
        else 1 + (first - 1) * (step - top) / top
        if step < 2 * top
        else first + (last - first) * fall
    )
