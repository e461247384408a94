from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.technique import LogUniform, Uniform


def averaged(p, v, z, *, beta1):
    """Return the average x of all z, which lies beyond p as seen from z."""
    return (p - (1 - beta1) * z) / beta1


@optimizer(
    state=("v", "z"),
    scalars=("weights",),
    start={"z": "p"},
    source="Defazio et al. 2024, The Road Less Scheduled, Algorithm 1",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
    limits={"beta1": "(0, 1)"},
    evaluate=averaged,
)
def schedule_free_adamw(p, g, v, z, weights, *, t, lr=2.5e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    """AdamW whose running average is the model, in place of a schedule that decays.

    ``schedule_free_sgd`` with Adam's denominator; in place of ``adamw``'s mean of gradients stands the average of
    weights, from which gradients are taken. The decay acts at p. β1 must not be 0.

    Use it where the length of the run is not known beforehand, in place of ``adamw`` and a schedule.

    Source: Defazio et al. 2024, Algorithm 1 (y there is p here), in the form and with the defaults of its authors'
    code, which corrects v, and not the rate, for starting at 0: so the average is even at a constant rate.
    """
    weights = weights + lr * lr
    c = lr * lr / maximum(weights, 1e-300)
    v = beta2 * v + (1 - beta2) * g * g
    v_hat = v / (1 - beta2**t)
    x_bar = (p - (1 - beta1) * z) / beta1
    z = z - lr * (g / (sqrt(v_hat) + eps) + weight_decay * p)
    x_bar = (1 - c) * x_bar + c * z
    return (1 - beta1) * z + beta1 * x_bar, v, z, weights
