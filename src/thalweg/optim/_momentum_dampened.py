from thalweg.optim._technique import optimizer
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("v",),
    source="Polyak 1964, Some methods of speeding up the convergence of iteration methods; torch's dampening",
    space={"lr": LogUniform(1e-3, 1e1), "dampening": Uniform(0.0, 0.95)},
    generalises=("momentum", "sgd"),
)
def momentum_dampened(p, g, v, *, t, lr=1e-2, momentum=0.9, dampening=0.9):
    """Momentum that adds only a share of each new gradient to the velocity.

    At ``dampening = 0`` it is ``momentum``; at ``dampening = momentum`` the velocity is a mean of gradients, of
    their size, as in ``adam``, and the rate keeps its meaning when the momentum changes. The first velocity is the
    whole first gradient. torch's default, 0, is ``momentum``; this default is the mean, at ten times the rate.

    Use it to vary the momentum without having to tune the rate anew.

    Source: Polyak 1964; in the form of torch's ``SGD(momentum, dampening)``.
    """
    share = 1 - dampening if t > 1 else 1
    v = momentum * v + share * g
    return p - lr * v, v
