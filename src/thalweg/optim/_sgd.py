from thalweg.optim._technique import optimizer
from thalweg.technique import LogUniform


@optimizer(
    sparse=True,
    source="Robbins & Monro 1951, A Stochastic Approximation Method",
    space={"lr": LogUniform(1e-3, 1e1)},
)
def sgd(p, g, *, t, lr=1e-3):
    """Step against the gradient: the method that all others change.

    Use it as the baseline that every other optimizer has to beat, and with long schedules where memory is short.

    Source: Robbins & Monro 1951. torch: ``SGD(lr)``.
    """
    return (p - lr * g,)
