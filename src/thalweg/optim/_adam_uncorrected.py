from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Kingma & Ba 2015, Adam, Algorithm 1 without the correction of its section 3",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
    generalises=("rmsprop",),
)
def adam_uncorrected(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam without bias correction: momentum and ``rmsprop`` in one, too bold in its first steps.

    A form that is kept to show what the correction does: both means start at 0, the second
    stays near it for longer, and so a step is (1 − β1^t) / √(1 − β2^t) times too long: the first 3 times, the
    twelfth 6.6. At ``beta1 = 0`` it is ``rmsprop``.

    Use it to see what bias correction is for; never to train.

    Source: the form before section 3 of Kingma & Ba 2015.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    return p - lr * m / (sqrt(v) + eps), m, v
