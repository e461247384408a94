from thalweg.optim._technique import optimizer
from thalweg.technique import LogUniform


@optimizer(
    state=("v",),
    source="Nesterov 1983, A method for solving the convex programming problem with convergence rate O(1/k^2)",
    space={"lr": LogUniform(1e-4, 1e0)},
    generalises=("sgd",),
)
def nesterov(p, g, v, *, t, lr=1e-3, momentum=0.9):
    """Momentum whose gradient counts as taken one step ahead, where the velocity will have led.

    As first written it evaluates the gradient at x + ρv; this is the same trajectory in x̃ = x + ρv, so that
    the gradient at hand is the one needed. At ``momentum = 0`` it is ``sgd``.

    Use it in place of ``momentum``: it costs nothing more and overshoots a little less.

    Source: Nesterov 1983; Sutskever et al. 2013; in the form of torch's ``SGD(nesterov=True)``.
    """
    v = momentum * v + g
    return p - lr * (g + momentum * v), v
