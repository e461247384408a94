from thalweg.activation._technique import activation
from thalweg.activation._words import expm1
from thalweg.optim._vocabulary import minimum, where


@activation(
    source="Clevert, Unterthiner & Hochreiter 2016, Fast and Accurate Deep Network Learning by Exponential Linear "
    "Units (ELUs), equation 15",
    torchs="ELU",
)
def elu(x, *, alpha=1.0):
    """What is above 0 as it is; below it bends towards −``alpha``.

    Values below 0 bring the mean of a layer's outputs nearer to 0 than ``relu`` does, and they saturate, where those
    of ``leaky_relu`` go on falling. With alpha 1 it has no corner at 0.

    Use it in networks without norms, whose activations are to stay near mean 0.

    Source: Clevert et al. 2016; torch: ``ELU``.
    """
    return where(x > 0, x, alpha * expm1(minimum(x, 0.0)))
