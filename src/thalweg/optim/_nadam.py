from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    scalars=("mu_product",),
    start={"mu_product": 1.0},
    source="Dozat 2016, Incorporating Nesterov Momentum into Adam",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def nadam(p, g, m, v, mu_product, *, t, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, psi=4e-3):
    """Adam with Nesterov's look ahead: the coming step's momentum is applied now.

    ``mu_product`` is the product of all momenta so far: one number, not one an element. ψ sets how fast the momentum
    warms up from β1 / 2 to β1.

    Use it in place of ``adam`` for small models and recurrent ones, where it may save some epochs.

    Source: Dozat 2016, in the form of torch's ``NAdam``, which calls ψ ``momentum_decay``.
    """
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v, mu_product
