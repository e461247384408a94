from thalweg.loss._technique import loss
from thalweg.loss._words import at_class, class_mean, log_softmax, mean
from thalweg.optim._vocabulary import where
from thalweg.technique import Choice


@loss(
    targets=("classes",),
    source="Szegedy, Vanhoucke, Ioffe, Shlens & Wojna 2016, Rethinking the Inception Architecture, section 7",
    space={"smoothing": Choice((0.0, 0.05, 0.1, 0.2))},
    limits={"smoothing": "[0, 1)"},
)
def cross_entropy(output, targets, *, smoothing=0.0):
    """The negative logarithm of the right class's probability; with ``smoothing``, of all classes' in part.

    Of a share ``smoothing`` of the target each class has as much, so that the model need not be sure; ``hinge`` is
    content with a margin.

    Use it for classes, whenever probabilities are wanted; a smoothing of 0.1 guards against overconfidence.

    Source: Szegedy et al. 2016; torch: ``F.cross_entropy`` with ``label_smoothing``.
    """
    log_p = log_softmax(output)
    right = -at_class(log_p, targets)
    every = -class_mean(log_p)
    smooth = (1 - smoothing) * right + smoothing * every
    # A class that is ruled out by an output of −∞ may not enter, not even with the factor 0.
    return mean(where(smoothing > 0, smooth, right), targets)
