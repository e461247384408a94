from thalweg.loss._technique import loss
from thalweg.loss._words import mean


@loss(
    targets=("numbers",),
    source="Gauss 1809, Theoria motus corporum coelestium, section 179",
)
def squared_error(output, targets):
    """The squared error, whose best constant guess is the mean of the targets; outliers weigh by their square.

    Use it for quantities without outliers: it predicts the mean.

    Source: Gauss 1809; torch: ``F.mse_loss``.
    """
    return mean((output - targets) * (output - targets))
