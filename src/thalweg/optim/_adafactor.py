from thalweg.optim._adafactor_unfactored import adafactor_unfactored
from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, minimum, sqrt
from thalweg.optim._vocabulary_whole import mean, spacing
from thalweg.technique import LogUniform, Uniform


def rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what is kept for each row."""
    return (*shape[:-1], 1)


def columns(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of what is kept for each column."""
    return (*shape[:-2], 1, shape[-1])


@optimizer(
    state=("R", "C"),
    shapes={"R": rows, "C": columns},
    scope="tensor",
    limits={"d": "[1, inf)"},
    vectors=adafactor_unfactored,
    source="Shazeer & Stern 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, Algorithm 4",
    space={"lr": LogUniform(1e-4, 1e0), "decay": Uniform(0.5, 1.0)},
)
def adafactor(p, g, R, C, *, t, lr=1e-2, decay=0.8, eps1=None, eps2=1e-3, d=1.0, weight_decay=0.0):
    """A second moment kept as means of rows and of columns: memory for n + m numbers where Adam has 2nm.

    The gradient over the root of their product; steps are relative to the weights' root mean square, and clipped
    where their own exceeds d. ``adafactor_unfactored`` keeps every element's, as is done here for vectors. ε1 is the
    number type's spacing if not given.

    Use it for models so large that Adam's state does not fit.

    Source: Shazeer & Stern 2018, in the form of torch's ``Adafactor``, which calls −decay ``beta2_decay``, and has ε1
    in the denominators where the paper adds it to g².
    """
    eps1 = spacing(p) if eps1 is None else eps1
    beta2 = 1 - t**-decay
    rate = maximum(eps2, sqrt(mean(p * p))) * minimum(lr, 1 / sqrt(t))
    R = beta2 * R + (1 - beta2) * mean(g * g, -1)
    C = beta2 * C + (1 - beta2) * mean(g * g, -2)
    v = R @ C / maximum(mean(R, -2), eps1)
    u = g / maximum(sqrt(v), eps1)
    return p - lr * weight_decay * p - rate / maximum(sqrt(mean(u * u)) / d, 1) * u, R, C
