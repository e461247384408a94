from thalweg.loss._technique import loss
from thalweg.loss._words import at_class, mean, over_others
from thalweg.optim._vocabulary import maximum


@loss(
    targets=("classes",),
    source="Weston & Watkins 1999, Support Vector Machines for Multi-Class Pattern Recognition",
)
def hinge(output, targets):
    """By how much each wrong class comes closer than 1 to the right one, summed over the wrong ones.

    What is right by a margin is left in peace, where ``cross_entropy`` goes on pulling.

    Use it for classes, where only the decision matters and not its probability.

    Source: Weston & Watkins 1999; torch: ``F.multi_margin_loss`` times the number of classes, by which it divides.
    """
    return mean(over_others(maximum(output - at_class(output, targets) + 1, 0.0), targets), targets)
