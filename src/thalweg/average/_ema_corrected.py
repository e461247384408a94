from thalweg.average._technique import average
from thalweg.technique import Choice


@average(
    source="Kingma & Ba 2015, Adam: A Method for Stochastic Optimization, section 7.2",
    space={"decay": Choice((0.9, 0.99, 0.999, 0.9999))},
    limits={"decay": "[0, 1)"},
)
def ema_corrected(mean, p, *, n, decay=0.999):
    """The exponential moving average without ``ema``'s leaning on the first weights.

    The same as a mean that starts at 0 and is divided by 1 − decay^n, as Adam corrects its moments: the first weights
    count no more than their age allows. With few steps it is their plain mean, later ``ema``.

    Use it in short runs, and wherever evaluation from the first epochs on matters.

    Source: Kingma & Ba 2015, section 7.2.
    """
    share = (1 - decay) / (1 - decay ** (n + 1))
    return mean + share * (p - mean)
