from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum
from thalweg.technique import LogUniform, Uniform


def averaged(p, z, *, beta):
    """Return the average x of all z, which lies beyond p as seen from z."""
    return (p - (1 - beta) * z) / beta


@optimizer(
    state=("z",),
    scalars=("weights",),
    start={"z": "p"},
    source="Defazio et al. 2024, The Road Less Scheduled",
    space={"lr": LogUniform(1e-3, 1e1), "beta": Uniform(0.5, 0.98)},
    limits={"beta": "(0, 1)"},
    evaluate=averaged,
)
def schedule_free_sgd(p, g, z, weights, *, t, lr=1.0, beta=0.9):
    """Stochastic gradient descent whose running average is the model, in place of a schedule that decays.

    ``sgd`` moves z; x is the average of all z, weighted by the squares of their rates; gradients are taken at p,
    between the two. So p is what is trained, and x what is evaluated: see ``evaluate``. It wants a constant
    schedule, or a warm-up. β, in place of ``momentum``, must not be 0, for then p holds nothing of x.

    Use it where the length of the run is not known beforehand, in place of ``momentum`` and a schedule.

    Source: Defazio et al. 2024, Algorithm 1 (y there is p here), with the defaults of its authors' code.
    """
    weights = weights + lr * lr
    c = lr * lr / maximum(weights, 1e-300)
    x_bar = (p - (1 - beta) * z) / beta
    z = z - lr * g
    x_bar = (1 - c) * x_bar + c * z
    return (1 - beta) * z + beta * x_bar, z, weights
