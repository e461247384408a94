from thalweg.schedule._technique import schedule


@schedule(source="Howard & Ruder 2018, section 3.2; Defazio et al. 2023", generalises=("constant",))
def linear(step, *, steps=None, start=1.0, end=0.0):
    """The rate moves in a line from ``start`` to ``end``, which it reaches after its last step.

    torch: ``LinearLR(start, end, steps)``, whose defaults rise from 1/3 in 5 steps, and which begins above 0.
    ``warmup`` rises too, and spends no step at ``start``; ``polynomial`` at power 1 is this fall.

    Use it behind a warm-up, to fine-tune a model that was trained before; to 0 it does well at any length.
    """
    return start + (end - start) * step / steps
