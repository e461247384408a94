from thalweg.norm._technique import norm
from thalweg.norm._words import divided, joined, over_group
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Wu & He 2018, Group Normalization, equations 3 and 7",
    modules=("GroupNorm",) * 4,
    over="group",
    limits={"groups": "whole [1, inf)"},
)
def group(x, gamma, beta, *, groups=8, eps=1e-5):
    """Each of an example's groups of features brought to mean 0 and variance 1; then scaled and shifted by feature.

    With one group it is ``layer``, with as many as features ``instance``. The groups must divide the features; the
    paper takes 32 for its wide layers.

    Use it for convolutional networks with batches too small for ``batch``: detection, segmentation.

    Source: Wu & He 2018; torch: ``GroupNorm``, whose ``num_groups`` is ``groups``.
    """
    parts = divided(x, groups)
    mean = over_group(parts)
    variance = over_group((parts - mean) ** 2)
    return gamma * joined((parts - mean) / sqrt(variance + eps)) + beta
