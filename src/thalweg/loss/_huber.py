from thalweg.loss._technique import loss
from thalweg.loss._words import mean
from thalweg.optim._vocabulary import absolute, where
from thalweg.technique import LogUniform


@loss(
    targets=("numbers",),
    source="Huber 1964, Robust Estimation of a Location Parameter",
    space={"delta": LogUniform(1e-1, 1e1)},
    limits={"delta": "(0, inf)"},
)
def huber(output, targets, *, delta=1.0):
    """Half the squared error up to δ, and from there on along its tangent, so that outliers pull no harder.

    ``squared_error`` near the target, ``absolute_error`` far from it; ``trimmed`` lets outliers pull not at all.

    Use it for quantities with some outliers, the usual compromise.

    Source: Huber 1964; torch: ``F.huber_loss``.
    """
    e = absolute(output - targets)
    return mean(where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta)))
