from thalweg.norm._batch import BATCH
from thalweg.norm._technique import norm
from thalweg.norm._words import over_batch
from thalweg.optim._vocabulary import sqrt


@norm(
    source="Ioffe & Szegedy 2015, Batch Normalization, Algorithm 1; torch: track_running_stats=False",
    modules=BATCH,
    over="batch",
    torchs={"track_running_stats": False},
    limits={"eps": "(0, inf)"},
)
def batch_untracked(x, gamma, beta, *, eps=1e-5):
    """``batch`` that keeps no statistics, and normalises by the batch in evaluation too.

    What it says of an example depends on the others that it is asked about at the same time.

    Use it to see what running statistics contribute; in use, answers depend on the batch.

    Source: Ioffe & Szegedy 2015, Algorithm 1; torch: ``BatchNorm1d`` to ``3d`` with ``track_running_stats=False``.
    """
    mean = over_batch(x)
    variance = over_batch((x - mean) ** 2)
    return gamma * (x - mean) / sqrt(variance + eps) + beta
