from thalweg.average._technique import average
from thalweg.technique import Choice


@average(
    source="Tarvainen & Valpola 2017, Mean Teachers Are Better Role Models, equation 1",
    space={"decay": Choice((0.9, 0.99, 0.999, 0.9999))},
    limits={"decay": "[0, 1)"},
)
def ema(mean, p, *, n, decay=0.999):
    """The exponential moving average: what is old fades by ``decay`` a step.

    It looks back some 1 / (1 − decay) steps, and until then leans on the first weights: on a run that is not much
    longer, take a smaller decay, ``ema_corrected`` or ``ema_warmup``. ``swa`` forgets nothing.

    Use it for noisy training, small batches and generative models; it makes evaluation smoother at any rate.

    Source: Tarvainen & Valpola 2017; torch: ``AveragedModel`` with ``get_ema_avg_fn(decay)``.
    """
    return decay * mean + (1 - decay) * p
