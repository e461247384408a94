from thalweg.schedule._technique import schedule


@schedule(source="Hägele et al. 2024, section 3.1")
def minus_sqrt(step, *, steps=None, end=0.0):
    """The rate falls as one minus the root of its share of the steps, to ``end``: fast, then slowly.

    Made for the end of a constant rate: ``warmup() >> constant() >> minus_sqrt(0.2)`` is warm-up, stable, decay (WSD)
    as its source found it best; ``linear`` in its place decays evenly. torch has none.

    Use it at the end of a long constant rate, to finish the model from any point of it.
    """
    return end + (1 - end) * (1 - (step / steps) ** 0.5)
