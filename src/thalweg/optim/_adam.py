from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import sqrt
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    source="Kingma & Ba 2015, Adam: A Method for Stochastic Optimization, Algorithm 1",
    space={"lr": LogUniform(1e-5, 1e-1), "beta1": Uniform(0.8, 0.98)},
)
def adam(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """The mean of gradients over the root of the mean of their squares, both corrected for starting at 0.

    ``adam_uncorrected`` with the correction. A decoupled decay makes it ``adamw``; a coupled one, ``adam_l2``.

    Use it to get going: it trains most models passably at its defaults; with decay take ``adamw``.

    Source: Kingma & Ba 2015, Algorithm 1; torch: ``Adam``.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (sqrt(v_hat) + eps), m, v
