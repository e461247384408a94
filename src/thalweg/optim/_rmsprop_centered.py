from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.technique import LogUniform


@optimizer(
    state=("c", "m"),
    source="Graves 2013, Generating Sequences With Recurrent Neural Networks, equations 38 to 40",
    space={"lr": LogUniform(1e-5, 1e-1)},
)
def rmsprop_centered(p, g, c, m, *, t, lr=1e-2, beta=0.99, eps=1e-8):
    """RMSProp over the gradient's standard deviation in place of its root mean square.

    ``rmsprop`` with the square of the mean taken off: steps grow where the gradient is steady, as in ``adabelief``.
    The variance is held at 0 from below, where rounding could take it.

    Use it where gradients have a steady part, and a larger state is no concern.

    Source: Graves 2013, in the form of torch's ``RMSprop(centered=True)``, which calls β ``alpha``.
    """
    c = beta * c + (1 - beta) * g * g
    m = beta * m + (1 - beta) * g
    v = maximum(c - m * m, 0.0)
    return p - lr * g / (sqrt(v) + eps), c, m
