from thalweg.stop._technique import stop
from thalweg.technique import Choice


@stop(
    source="Morgan & Bourlard 1990, Generalization and Parameter Estimation in Feedforward Nets; Prechelt 1998, "
    "Early Stopping: But When?",
    space={"epochs": Choice((5, 10, 20))},
    limits={"epochs": "[1, inf)"},
)
def patience(metric, best, waited, *, epochs=10, min_delta=0.0):
    """Training ends when so many epochs in a row were no improvement, and takes the weights of the best one.

    An improvement is better than the best so far, by ``min_delta`` at least. ``never`` goes on to the end.

    Use it where data are few and the validation metric turns; with a constant rate or ``plateau``.

    Source: Morgan & Bourlard 1990; Prechelt 1998, criterion UP; Keras: ``EarlyStopping`` with
    ``restore_best_weights``.
    """
    better = metric < best and best - metric >= min_delta
    best = metric if better else best
    waited = 0 if better else waited + 1
    return best, waited, waited >= epochs
