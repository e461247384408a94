from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Liu et al. 2020, On the Variance of the Adaptive Learning Rate and Beyond; Loshchilov & Hutter 2019",
    space={
        "lr": LogUniform(1e-5, 1e-1),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-4, 1e0),
    },
    generalises=("radam",),
)
def radamw(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
    """RAdam with weight decay apart from the gradient, as ``adamw`` has it.

    At ``weight_decay = 0`` it is ``radam``. The default decay is that of ``adamw``; torch has none.

    Use it where a warm-up is needed, its length is not to be tuned, and decay is wanted.

    Source: Liu et al. 2020; torch: ``RAdam(weight_decay, decoupled_weight_decay=True)``.
    """
    p = p - lr * weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) if rho > 5 else 0
    plain = 0 if rho > 5 else 1
    m_hat = m / (1 - beta1**t)
    scale = r * sqrt(1 - beta2**t) / (sqrt(v) + eps) + plain
    return p - lr * m_hat * scale, m, v
