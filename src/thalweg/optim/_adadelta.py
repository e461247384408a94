from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform


@optimizer(
    state=("v", "u"),
    source="Zeiler 2012, ADADELTA: An Adaptive Learning Rate Method",
    space={"lr": LogUniform(1e-2, 1e2)},
)
def adadelta(p, g, v, u, *, t, lr=1.0, rho=0.9, eps=1e-6):
    """Steps in the parameter's own units: past steps' size over past gradients' size.

    Where ``adagrad`` divides by a sum that only grows, this divides by a decaying mean, and needs no rate: torch
    adds one (1.0), which multiplies the step, and starts at ρ = 0.9 where the paper has 0.95.

    Use it where no rate can be tuned at all; with one tuned, ``adamw`` is mostly better.

    Source: Zeiler 2012, in the form of torch's ``Adadelta``.
    """
    v = rho * v + (1 - rho) * g * g
    delta = sqrt(u + eps) / sqrt(v + eps) * g
    u = rho * u + (1 - rho) * delta * delta
    return p - lr * delta, v, u
