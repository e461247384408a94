from thalweg.optim._technique import optimizer
from thalweg.technique import LogUniform


@optimizer(
    state=("v",),
    source="Polyak 1964, Some methods of speeding up the convergence of iteration methods",
    space={"lr": LogUniform(1e-4, 1e0)},
    generalises=("sgd",),
)
def momentum(p, g, v, *, t, lr=1e-3, momentum=0.9):
    """Stochastic gradient descent along a decaying sum of past gradients, as a heavy ball rolls.

    ``sgd`` with memory: at ``momentum = 0`` it is ``sgd``. The first velocity is the first gradient.

    Use it for convolutional networks with batch norm and a tuned, falling rate, where it is hard to beat.

    Source: Polyak 1964; in the form of torch's ``SGD(lr, momentum)``.
    """
    v = momentum * v + g
    return p - lr * v, v
