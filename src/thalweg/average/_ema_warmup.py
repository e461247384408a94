from thalweg.average._technique import average
from thalweg.optim._vocabulary import minimum
from thalweg.technique import Choice


@average(
    source="Abadi et al. 2016, TensorFlow: ExponentialMovingAverage with num_updates",
    space={"decay": Choice((0.9, 0.99, 0.999, 0.9999))},
    limits={"decay": "[0, 1)"},
)
def ema_warmup(mean, p, *, n, decay=0.999):
    """The exponential moving average whose decay rises to ``decay``, so that the first weights fade soon.

    After n weights it looks back over about n / 9 of them, until that is more than ``ema`` does; ``ema_corrected``
    looks back over all of them so long.

    Use it where a very slow average is wanted at the end and a usable one at the beginning.

    Source: TensorFlow's ``ExponentialMovingAverage(decay, num_updates=n)``.
    """
    rising = minimum(decay, (1 + n) / (10 + n))
    return rising * mean + (1 - rising) * p
