from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import maximum, sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v", "v_max"),
    source="Reddi, Kale & Kumar 2018, On the Convergence of Adam and Beyond; Loshchilov & Hutter 2019",
    space={
        "lr": LogUniform(1e-5, 1e-1),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-4, 1e0),
    },
    generalises=("amsgrad",),
)
def amsgradw(p, g, m, v, v_max, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """AMSGrad with weight decay apart from the gradient, as ``adamw`` has it.

    At ``weight_decay = 0`` it is ``amsgrad``.

    Use it where ``adamw`` does not settle and decay is wanted.

    Source: Reddi, Kale & Kumar 2018; torch: ``AdamW(amsgrad=True)``.
    """
    p = p - lr * weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = maximum(v_max, v)
    m_hat = m / (1 - beta1**t)
    v_hat = v_max / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v, v_max
