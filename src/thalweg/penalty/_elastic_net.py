from thalweg.optim._vocabulary import absolute
from thalweg.penalty._technique import penalty
from thalweg.penalty._words import total
from thalweg.technique import LogUniform


@penalty(
    source="Zou & Hastie 2005, Regularization and Variable Selection via the Elastic Net",
    space={"strength": LogUniform(1e-7, 1e-2), "beta": LogUniform(1e-1, 1e2)},
    limits={"beta": "[0, inf)"},
    generalises=("l1",),
)
def elastic_net(w, *, strength=1e-5, beta=1.0):
    """β times the sum of the weights' squares plus the sum of their sizes, all times ``strength``.

    ``l1`` where β is 0. The paper has two strengths, λ₁ = strength and λ₂ = strength · β; scikit-learn's has
    ``alpha`` = strength · (2β + 1) and ``l1_ratio`` = 1 / (2β + 1).

    Use it where few inputs matter and those are alike, of which ``l1`` would keep one at random.

    Source: Zou & Hastie 2005.
    """
    return strength * (beta * total(w * w) + total(absolute(w)))
