from thalweg.norm._batch import BATCH, evaluated
from thalweg.norm._technique import norm
from thalweg.norm._words import count, over_batch
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Ioffe & Szegedy 2015, Batch Normalization, section 3.1; torch: momentum=None",
    modules=BATCH,
    over="batch",
    evaluated=evaluated,
    given=("t",),
    torchs={"momentum": None},
    limits={"eps": "(0, inf)"},
)
def batch_cumulative(x, gamma, beta, mean_kept, variance_kept, *, t, eps=1e-5):
    """``batch``, whose running statistics are the plain means of all t batches so far.

    They never forget: the first batches, from weights long gone, count like the last. That suits a model whose
    weights no longer move.

    Use it to compute statistics anew for a model whose weights are done.

    Source: Ioffe & Szegedy 2015; torch: ``BatchNorm1d`` to ``3d`` with ``momentum=None``.
    """
    mean = over_batch(x)
    variance = over_batch((x - mean) ** 2)
    n = count(x)
    mean_kept = mean_kept + (mean - mean_kept) / t
    variance_kept = variance_kept + (variance * n / (n - 1) - variance_kept) / t
    return gamma * (x - mean) / sqrt(variance + eps) + beta, mean_kept, variance_kept
