from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization, Algorithm 2",
    space={
        "lr": LogUniform(1e-5, 1e-1),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-4, 1e0),
    },
    generalises=("adam",),
)
def adamw(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """Adam with weight decay apart from the gradient: every weight shrinks by the same share.

    The decay is multiplied by the rate and so by its schedule, as in torch. At ``weight_decay = 0`` it is ``adam``;
    ``adam_l2`` is the form that it mends.

    Use it for transformers, and wherever nothing else is known: it is today's default.

    Source: Loshchilov & Hutter 2019; torch: ``AdamW``.
    """
    p = p - lr * weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v
