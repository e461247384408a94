from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Liu et al. 2020, On the Variance of the Adaptive Learning Rate and Beyond, Algorithm 2",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def radam(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam that trusts its denominator only as far as it has seen gradients: a warm-up by formula.

    ρ counts the gradients that the second moment rests on. Up to 5 of them the step is that of ``momentum`` with a
    corrected mean; from there on, that of ``adam`` times r, which grows to 1. A decoupled decay makes it ``radamw``.

    Use it where a warm-up is needed and its length is not to be tuned.

    Source: Liu et al. 2020, Algorithm 2, in the form of torch's ``RAdam``.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) if rho > 5 else 0
    plain = 0 if rho > 5 else 1
    m_hat = m / (1 - beta1**t)
    scale = r * sqrt(1 - beta2**t) / (sqrt(v) + eps) + plain
    return p - lr * m_hat * scale, m, v
