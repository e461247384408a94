from thalweg.penalty._technique import penalty
from thalweg.penalty._words import total
from thalweg.technique import LogUniform


@penalty(
    source="Hoerl & Kennard 1970, Ridge Regression; Krogh & Hertz 1992, A Simple Weight Decay Can Improve "
    "Generalization",
    space={"strength": LogUniform(1e-6, 1e-1)},
)
def l2(w, *, strength=1e-4):
    """The sum of the weights' squares, times ``strength``: each is pulled in proportion to its size.

    Its gradient is 2 · strength · w, so that for weights ``weight_decay`` of torch's SGD and Adam is twice the
    strength; but theirs pulls biases and what belongs to norms too, which this leaves out. It goes through the
    optimizer with the loss's gradient, where the decay of ``adamw`` does not. ``l1`` pulls all weights alike.

    Use it with ``sgd`` and ``momentum``; with adaptive optimizers ``adamw``'s decay is mostly better.

    Source: Hoerl & Kennard 1970; Krogh & Hertz 1992.
    """
    return strength * total(w * w)
