from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, minimum, sqrt
from thalweg.optim._vocabulary_whole import mean, spacing
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("v",),
    scope="tensor",
    limits={"d": "[1, inf)"},
    source="Shazeer & Stern 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, Algorithm 5",
    space={"lr": LogUniform(1e-4, 1e0), "decay": Uniform(0.5, 1.0)},
)
def adafactor_unfactored(p, g, v, *, t, lr=1e-2, decay=0.8, eps1=None, eps2=1e-3, d=1.0, weight_decay=0.0):
    """Adafactor with a second moment for every element: what its relative, clipped steps do by themselves.

    ``rmsprop`` with a mean that grows longer, steps relative to the weights' root mean square, and clipped where
    their own exceeds d. ``adafactor`` does this for vectors. ε1 is the number type's spacing if not given.

    Use it to see how much of a result of ``adafactor`` is due to its rate, and how much to its factors.

    Source: Shazeer & Stern 2018, in the form of torch's ``Adafactor`` on vectors.
    """
    eps1 = spacing(p) if eps1 is None else eps1
    beta2 = 1 - t**-decay
    rate = maximum(eps2, sqrt(mean(p * p))) * minimum(lr, 1 / sqrt(t))
    v = beta2 * v + (1 - beta2) * g * g
    u = g / maximum(sqrt(v), eps1)
    return p - lr * weight_decay * p - rate / maximum(sqrt(mean(u * u)) / d, 1) * u, v
