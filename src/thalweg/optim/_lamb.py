from thalweg.optim._technique import optimizer
from thalweg.optim._vocabulary import norm, sqrt, where
from thalweg.technique import LogUniform, Uniform


@optimizer(
    state=("m", "v"),
    scope="tensor",
    source="You et al. 2020, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, Algorithm 2",
    space={
        "lr": LogUniform(1e-4, 1e0),
        "beta1": Uniform(0.8, 0.98),
        "weight_decay": LogUniform(1e-4, 1e0),
    },
)
def lamb(p, g, m, v, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=1e-2):
    """AdamW's step brought to the length of each tensor's own weights: the rate is a relative change.

    ``lars`` with Adam's step in place of the gradient. A tensor of zeros, or a step of zeros, has ratio 1. (φ of the
    paper is the identity, as in its experiments.)

    Use it for transformers with batches of thousands; with small ones it gains nothing.

    Source: You et al. 2020, Algorithm 2, with ε and decay of its experiments on BERT.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    u = m_hat / (sqrt(v_hat) + eps) + weight_decay * p
    trust = where(norm(p) * norm(u) > 0, norm(p) / norm(u), 1.0)
    return p - lr * trust * u, m, v
