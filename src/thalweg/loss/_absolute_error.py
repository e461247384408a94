from thalweg.loss._technique import loss
from thalweg.loss._words import mean
from thalweg.optim._vocabulary import absolute


@loss(
    targets=("numbers",),
    source="Laplace 1793, Sur quelques points du système du monde; Koenker & Bassett 1978, Regression Quantiles",
)
def absolute_error(output, targets):
    """The size of the error, whose best constant guess is the median of the targets, which outliers do not move.

    Its pull does not get weaker near the target, where that of ``huber`` does.

    Use it for quantities with heavy tails: it predicts the median.

    Source: Laplace 1793; torch: ``F.l1_loss``.
    """
    return mean(absolute(output - targets))
