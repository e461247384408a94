from thalweg.loss._technique import loss
from thalweg.loss._words import each, least, mean
from thalweg.technique import Uniform


@loss(
    targets=("classes", "numbers"),
    source="Rousseeuw 1984, Least Median of Squares Regression; Shen & Sanghavi 2019, Learning with Bad Training "
    "Data via Iterative Trimmed Loss Minimization",
    space={"share": Uniform(0.0, 0.3)},
    limits={"share": "[0, 0.5)"},
    generalises=("cross_entropy", "squared_error"),
)
def trimmed(output, targets, *, share=0.1):
    """The plain loss without the ``share`` of the batch's examples whose losses are largest.

    The plain loss is cross entropy for classes and the squared error for numbers; the number of examples is rounded.
    Outliers and wrong labels pull not at all, and neither do right ones that are hard; ``huber`` lets both pull.

    Use it where a known share of the labels is wrong.

    Source: Rousseeuw 1984 (least trimmed squares); Shen & Sanghavi 2019, for deep models.
    """
    losses = each(output, targets)
    return mean(losses, targets, least(losses, targets, 1 - share))
