from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Kingma & Ba 2015, Adam, on a loss with an L2 penalty; Loshchilov & Hutter 2019, Algorithm 2",
    space={
        "lr": LogUniform(1e-5, 1e-1),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-6, 1e-1),
    },
    generalises=("adam",),
)
def adam_l2(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """Adam on the loss plus an L2 penalty: the decay passes through the adaptive denominator.

    So weights with large gradients decay less, which ``adamw`` mends. At ``weight_decay = 0`` it is ``adam``.

    Use it to repeat results that were trained with ``Adam(weight_decay)``; otherwise ``adamw``.

    Source: Kingma & Ba 2015 on a penalised loss; torch: ``Adam(weight_decay)``.
    """
    g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v
