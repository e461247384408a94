from thalweg.optim._vocabulary import absolute
from thalweg.penalty._technique import penalty
from thalweg.penalty._words import total
from thalweg.technique import LogUniform


@penalty(
    source="Tibshirani 1996, Regression Shrinkage and Selection via the Lasso",
    space={"strength": LogUniform(1e-7, 1e-2)},
)
def l1(w, *, strength=1e-5):
    """The sum of the weights' sizes, times ``strength``: all are pulled alike, so that small ones go to 0.

    ``l2`` pulls the large ones more. Its gradient at 0 is 0.

    Use it where few inputs matter, or weights are to be exactly 0 after a threshold.

    Source: Tibshirani 1996.
    """
    return strength * total(absolute(w))
