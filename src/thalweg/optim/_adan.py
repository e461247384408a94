from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "d", "n", "g_last"),
    source="Xie et al. 2022, Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.9, 0.99)},
)
def adan(p, g, m, d, n, g_last, *, t, lr=1e-3, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8, weight_decay=0.0):
    """Adam with Nesterov's look ahead made of gradient differences: one mean of gradients, one of their changes.

    Where ``nadam`` looks ahead by weighing the mean anew, this adds how the gradient has been changing. Each mean is
    corrected for starting at 0, and the decay divides, so that it cannot overshoot. The first change is 0.

    Use it for vision transformers and large batches, where a third state can be afforded.

    Source: Xie et al. 2022, Algorithm 1 without restarts, in the form and with the defaults of its authors' code,
    whose β are 1 less the paper's.
    """
    share = 1 if t > 1 else 0
    change = share * (g - g_last)
    m = beta1 * m + (1 - beta1) * g
    d = beta2 * d + (1 - beta2) * change
    u = g + beta2 * change
    n = beta3 * n + (1 - beta3) * u * u
    m_hat = m / (1 - beta1**t)
    d_hat = d / (1 - beta2**t)
    n_hat = n / (1 - beta3**t)
    p = p - lr * (m_hat + beta2 * d_hat) / (sqrt(n_hat) + eps)
    return p / (1 + lr * weight_decay), m, d, n, g
