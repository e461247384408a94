from thalweg.init._technique import init
from thalweg.init._words import orthonormal
from thalweg.optim._vocabulary import sqrt


def rescaled(w, variance):
    return w / sqrt(variance)


@init(
    source="Mishkin & Matas 2016, All You Need Is a Good Init, Algorithm 1",
    fills=("linear", "convolution"),
    rescaled=rescaled,
    limits={"tolerance": "(0, inf)", "passes": "whole [1, inf)"},
)
def lsuv(z, *, tolerance=0.1, passes=10):
    """``orthogonal``, and then layer by layer divided by the deviation of what it puts out for a batch.

    So that outputs have variance 1 to within ``tolerance``, whatever activations, norms and branches there are; at
    most ``passes`` times a layer. It needs a batch.

    Use it where no formula fits: unusual activations, many branches; it measures instead.

    Source: Mishkin & Matas 2016.
    """
    return orthonormal(z)
