from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import absolute, maximum, sqrt
from thalweg.optim._vocabulary_whole import total
from thalweg.technique import LogUniform


@optimizer(
    state=("m", "v", "s", "x0"),
    scalars=("d", "r"),
    start={"x0": "p", "d": 0.0},
    scope="model",
    limits={"d0": "(0, inf)"},
    source="Mishchenko & Defazio 2023, Prodigy: An Expeditiously Adaptive Parameter-Free Learner, Algorithm 4",
    space={"lr": LogUniform(0.1, 1e1), "d0": LogUniform(1e-8, 1e-4)},
)
def prodigy(p, g, m, v, s, x0, d, r, *, t, lr=1.0, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, d0=1e-6):
    """Adam that finds its rate: d, a bound from below on the distance from the start to the solution.

    Gradients that keep pointing away from the start raise d, which never falls; ``lr`` multiplies it, and is meant
    to stay at 1. r and d are of the whole model: of a parameter group, in torch's class. Means are not corrected for
    starting at 0.

    Use it where no rate can be tuned; with a schedule that falls, such as ``cosine``.

    Source: Mishchenko & Defazio 2023, Algorithm 4, with the defaults and the decoupled decay of its authors' code.
    """
    d = maximum(d, d0)
    beta3 = sqrt(beta2)
    m = beta1 * m + (1 - beta1) * d * g
    v = beta2 * v + (1 - beta2) * d * d * g * g
    r = beta3 * r + (1 - beta3) * lr * d * d * total(g * (x0 - p))
    s = beta3 * s + (1 - beta3) * lr * d * d * g
    u = m / (sqrt(v) + d * eps) + weight_decay * p
    d_next = maximum(d, r / maximum(total(absolute(s)), 1e-300))
    return p - lr * d * u, m, v, s, x0, d_next, r
