from thalweg.norm._technique import norm
from thalweg.norm._words import over_example, spacing
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Zhang & Sennrich 2019, Root Mean Square Layer Normalization, equation 4",
    modules=("RMSNorm", "SpatialRMSNorm", "SpatialRMSNorm", "SpatialRMSNorm"),
    over="example",
)
def rms(x, gamma, *, eps=None):
    """Each example divided by the root of its mean square over features and places; then scaled by feature.

    ``layer`` without taking the mean off, and without a shift. ``eps`` is the spacing of the numbers at 1 if not
    given.

    Use it for transformers, in place of ``layer``: the mean is seldom missed, and it is cheaper.

    Source: Zhang & Sennrich 2019; torch: ``RMSNorm`` after a linear layer; after a convolution the same over all
    axes of an example.
    """
    eps = spacing(x) if eps is None else eps
    return gamma * x / sqrt(over_example(x * x) + eps)
