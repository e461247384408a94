from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("c", "m", "b"),
    source="Graves 2013, Generating Sequences With Recurrent Neural Networks, equations 38 to 41",
    space={"lr": LogUniform(1e-6, 1e-2), "momentum": Uniform(0.0, 0.95)},
    generalises=("rmsprop_centered",),
)
def rmsprop_centered_momentum(p, g, c, m, b, *, t, lr=1e-3, beta=0.99, eps=1e-8, momentum=0.9):
    """RMSProp over the standard deviation, whose steps roll on: the form in which Graves used it.

    At ``momentum = 0`` it is ``rmsprop_centered``; with the root mean square, ``rmsprop_momentum``. The default rate
    is a tenth of torch's, as the sum of steps is ten times one of them.

    Use it to repeat results of recurrent networks that were trained so.

    Source: Graves 2013, in the form of torch's ``RMSprop(momentum, centered=True)``.
    """
    c = beta * c + (1 - beta) * g * g
    m = beta * m + (1 - beta) * g
    v = maximum(c - m * m, 0.0)
    b = momentum * b + g / (sqrt(v) + eps)
    return p - lr * b, c, m, b
