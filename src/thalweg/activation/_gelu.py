from thalweg.activation._technique import activation
from thalweg.activation._words import erf
from thalweg.optim._vocabulary import sqrt


@activation(source="Hendrycks & Gimpel 2016, Gaussian Error Linear Units (GELUs), section 2", torchs="GELU")
def gelu(x):
    """The input times the share Φ(x) of a standard normal distribution that lies below it.

    A smooth ``relu`` that dips below 0 before it comes to rest there; ``silu`` has the sigmoid in Φ's place. This is
    the exact form, and not the one by tanh.

    Use it for transformers, which mostly have it.

    Source: Hendrycks & Gimpel 2016; torch: ``GELU``.
    """
    return x * (1 + erf(x / sqrt(2))) / 2
