from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform


@optimizer(
    state=("c",),
    source="Tieleman & Hinton 2012, Lecture 6.5, Neural Networks for Machine Learning",
    space={"lr": LogUniform(1e-5, 1e-1)},
)
def rmsprop(p, g, c, *, t, lr=1e-2, beta=0.99, eps=1e-8):
    """The gradient over the root of a decaying mean of its squares.

    ``adagrad`` that forgets; ``adam_uncorrected`` without the mean of gradients.

    Use it for recurrent networks and reinforcement learning, in which it is still common.

    Source: Tieleman & Hinton 2012, in the form of torch's ``RMSprop``, which calls β ``alpha``.
    """
    c = beta * c + (1 - beta) * g * g
    return p - lr * g / (sqrt(c) + eps), c
