from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    scalars=("mu_product",),
    start={"mu_product": 1.0},
    source="Dozat 2016, Incorporating Nesterov Momentum into Adam; Loshchilov & Hutter 2019",
    space={
        "lr": LogUniform(1e-5, 1e-1),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-4, 1e0),
    },
    generalises=("nadam",),
)
def nadamw(p, g, m, v, mu_product, *, t, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, psi=4e-3, weight_decay=1e-2):
    """Nadam with weight decay apart from the gradient, as ``adamw`` has it.

    At ``weight_decay = 0`` it is ``nadam``. The default decay is that of ``adamw``; torch has none.

    Use it in place of ``adamw`` when the number of steps counts; it did well in comparisons of tuned optimizers.

    Source: Dozat 2016; torch: ``NAdam(weight_decay, decoupled_weight_decay=True)``.
    """
    p = p - lr * weight_decay * p
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v, mu_product
