from thalweg.activation._technique import activation
from thalweg.optim._vocabulary import where
from thalweg.technique import Choice


@activation(
    source="Maas, Hannun & Ng 2013, Rectifier Nonlinearities Improve Neural Network Acoustic Models",
    torchs="LeakyReLU",
    spelled={"slope": "negative_slope"},
    space={"slope": Choice((0.01, 0.1, 0.2))},
)
def leaky_relu(x, *, slope=0.01):
    """``relu`` that lets a share ``slope`` of what is below 0 pass, so that every unit has a gradient.

    With slope 0 it is ``relu``; ``elu`` flattens out below 0 instead.

    Use it where units of ``relu`` die: high rates, generative networks.

    Source: Maas et al. 2013; torch: ``LeakyReLU``, whose ``negative_slope`` is ``slope``.
    """
    return where(x > 0, x, slope * x)
