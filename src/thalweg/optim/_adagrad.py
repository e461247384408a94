from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform


@optimizer(
    state=("c",),
    sparse=True,
    source="Duchi, Hazan & Singer 2011, Adaptive Subgradient Methods",
    space={"lr": LogUniform(1e-4, 1e0)},
)
def adagrad(p, g, c, *, t, lr=1e-2, eps=1e-10, lr_decay=0.0):
    """Each coordinate's rate falls with the sum of its squared gradients.

    Use it for sparse features, such as rare words, which are to learn fast when they are seen; not for long runs.

    Source: Duchi, Hazan & Singer 2011, in the form of torch's ``Adagrad``, whose ``lr_decay`` divides the
    rate by ``1 + (t − 1) · lr_decay``.
    """
    c = c + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(c) + eps), c
