from thalweg.schedule._technique import schedule


@schedule(source="Robbins & Monro 1951", endless=True)
def constant(step, *, steps=None):
    """The rate as it is: the multiplier 1.

    As a part, what stands between: ``warmup() >> constant() >> linear(0.2)`` is warm-up, stable, decay (WSD).
    torch: ``ConstantLR(optimizer, 1)``; a constant share of the rate is ``linear(start=share, end=share)``.

    Use it as the baseline, with schedule-free optimizers, and where the length of the run is open.
    """
    return 1.0
