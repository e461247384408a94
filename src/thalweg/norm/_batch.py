from thalweg.norm._technique import norm
from thalweg.norm._words import count, over_batch
from thalweg.optim._vocabulary import sqrt

BATCH = ("BatchNorm1d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d")


def evaluated(x, gamma, beta, mean_kept, variance_kept, *, eps):
    return gamma * (x - mean_kept) / sqrt(variance_kept + eps) + beta


@norm(
    source="Ioffe & Szegedy 2015, Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
    "Covariate Shift, Algorithms 1 and 2",
    modules=BATCH,
    over="batch",
    evaluated=evaluated,
    selects={"track_running_stats": (False, "batch_untracked"), "momentum": (None, "batch_cumulative")},
    limits={"momentum": "[0, 1]", "eps": "(0, inf)"},
)
def batch(x, gamma, beta, mean_kept, variance_kept, *, momentum=0.1, eps=1e-5):
    """Each feature brought to mean 0 and variance 1 over the batch and all places; then scaled and shifted.

    Training divides by the variance of the batch, and keeps running means of mean and variance for evaluation, the
    variance there as n / (n − 1) times the batch's. An example's output depends on its batch; that of ``layer``,
    ``group`` and ``instance`` does not. ``batch_cumulative`` keeps plain means, ``batch_untracked`` nothing.

    Use it for convolutional networks with batches of 16 and more.

    Source: Ioffe & Szegedy 2015; torch: ``BatchNorm1d`` to ``3d``.
    """
    mean = over_batch(x)
    variance = over_batch((x - mean) ** 2)
    n = count(x)
    mean_kept = (1 - momentum) * mean_kept + momentum * mean
    variance_kept = (1 - momentum) * variance_kept + momentum * variance * n / (n - 1)
    return gamma * (x - mean) / sqrt(variance + eps) + beta, mean_kept, variance_kept
