from thalweg.norm._technique import norm
from thalweg.norm._words import over_example
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Ba, Kiros & Hinton 2016, Layer Normalization, equation 3",
    modules=("LayerNorm", "GroupNorm", "GroupNorm", "GroupNorm"),
    over="example",
)
def layer(x, gamma, beta, *, eps=1e-5):
    """Each example brought to mean 0 and variance 1 over its features and places; then scaled and shifted by feature.

    The same in training and evaluation, for a batch of any size. ``group`` does so for parts of the features, ``rms``
    leaves the mean.

    Use it for transformers and recurrent networks, and where batches are small or differ in length.

    Source: Ba et al. 2016; torch: ``LayerNorm`` after a linear layer; after a convolution ``GroupNorm`` with one
    group, which needs no sizes of the axes.
    """
    mean = over_example(x)
    variance = over_example((x - mean) ** 2)
    return gamma * (x - mean) / sqrt(variance + eps) + beta
