from thalweg.init._technique import init
from thalweg.init._words import rank, rows
from thalweg.optim._vocabulary import where
from thalweg.technique import Choice, LogUniform


@init(
    source="Martens 2010, Deep Learning via Hessian-Free Optimization, section 5",
    noise=("normal", "uniform"),
    space={"sparsity": Choice((0.5, 0.8, 0.9)), "std": LogUniform(1e-3, 1e0)},
    limits={"sparsity": "[0, 1)"},
)
def sparse(z, u, *, sparsity=0.9, std=0.01):
    """Normal, but a share ``sparsity`` of what leads away from each input is 0, chosen at random.

    Units are told apart by where their weights are, so these may be larger than ``small_random``'s: the paper has 1.
    It counts by unit, and torch, which this follows, by input; so a layer of fewer than 1 / (1 − sparsity) outputs
    begins at 0.

    Use it for wide layers whose units are to differ from the beginning.

    Source: Martens 2010; torch: ``sparse_``.
    """
    return where(rank(u) < sparsity * rows(u), 0.0, std * z)
