from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import norm, where
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("v",),
    scope="tensor",
    source="You, Gitman & Ginsburg 2017, Large Batch Training of Convolutional Networks, Algorithm 1",
    space={"lr": LogUniform(1e-2, 1e2), "momentum": Uniform(0.0, 0.98)},
)
def lars(p, g, v, *, t, lr=1.0, momentum=0.9, weight_decay=5e-4, trust=1e-3):
    """Momentum with a rate of each tensor's own: its weights' length over its gradient's.

    ``momentum`` in which every tensor moves by about the same share, ``lr · trust``, of itself; ``lamb`` does so with
    Adam's step. A tensor of zeros, or a gradient of zeros, has ratio 1.

    Use it for convolutional networks with batches of thousands; with small ones it gains nothing.

    Source: You, Gitman & Ginsburg 2017, Algorithm 1, with η (``trust``), momentum and decay of its experiments; it
    states no rate by itself.
    """
    length = norm(g) + weight_decay * norm(p)
    ratio = where(norm(p) * norm(g) > 0, trust * norm(p) / length, 1.0)
    v = momentum * v + lr * ratio * (g + weight_decay * p)
    return p - v, v
